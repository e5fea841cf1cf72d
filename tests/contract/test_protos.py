"""The contracts are well-formed, and the committed code is what they generate."""

import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_generated_code_is_fresh() -> None:
    done = subprocess.run([sys.executable, "protos/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_contracts_follow_the_standard_rules() -> None:
    buf = Path(sysconfig.get_path("scripts")) / "buf"
    done = subprocess.run([buf, "lint"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_museed_stays_a_namespace() -> None:
    # One hand-written museed/__init__.py would hide the packages of every other folder.
    assert not list((ROOT / "protos" / "gen").rglob("__init__.py"))
