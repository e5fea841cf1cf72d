"""Every command of RUNBOOKS.md: kubectl knows it and its options, what it names is there, and `museed` takes it."""

import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from deploy.k8s.manifests import FOLDER, Document, named, parse, pods_of, render
from tests.unit.k8s.test_walk_through import parse_museed

_KUBECTL = Path(sysconfig.get_path("scripts", vars={"base": sys.prefix})) / "kubectl"
_QUOTED = re.findall(r"`([^`]+)`", (FOLDER / "RUNBOOKS.md").read_text())
ON_KUBERNETES = sorted({one.partition(" | ")[0] for one in _QUOTED if one.startswith("kubectl ")})
ON_ONE_MACHINE = sorted({one for one in _QUOTED if one.startswith("museed ")})
# Whose pods the operator of PostgreSQL makes, with this label.
_MADE_BY_OPERATOR = {"cnpg.io/cluster": "Cluster"}
_KINDS = {
    "pods": "",
    # Of components/tls.
    "certificates": "",
    # Which CloudNativePG makes.
    "backups": "",
    "cluster": "Cluster",
    "deployments": "Deployment",
    "statefulsets": "StatefulSet",
    "podmonitors": "",
}


@pytest.fixture(scope="module")
def production() -> list[Document]:
    return parse(render(FOLDER / "overlays" / "production"))


def test_runbooks_have_commands() -> None:
    assert len(ON_KUBERNETES) >= 10
    assert len(ON_ONE_MACHINE) >= 5


@pytest.mark.parametrize("command", ON_KUBERNETES)
def test_kubectl_can_run_it_and_what_it_names_is_there(command: str, production: list[Document]) -> None:
    words = shlex.split(command)[1:]
    own = words[: words.index("--")] if "--" in words else words
    verb = own[:2] if own[0] == "rollout" else own[:1]
    done = subprocess.run([_KUBECTL, *verb, "--help"], capture_output=True, text=True, timeout=60, check=True)
    everywhere = subprocess.run([_KUBECTL, "options"], capture_output=True, text=True, timeout=60, check=True)
    known = set(re.findall(r"^ +(?:(-[a-zA-Z]), )?(--[a-z-]+)=", done.stdout + everywhere.stdout, re.MULTILINE))
    flags = {word.partition("=")[0] for word in own if word.startswith("-")}
    assert flags - {flag for pair in known for flag in pair} == set()
    assert verb == ["taint"] or own[own.index("-n") + 1] == "museed"
    if verb == ["get"]:
        kinds = own[1].split(",")
        assert all(not _KINDS[kind] or any(one["kind"] == _KINDS[kind] for one in production) for kind in kinds)
    labels = [pods.labels for pods in pods_of(production)]
    for key, value in re.findall(r"-l ([^ =]+)=([^ ]+)", command):
        if key in _MADE_BY_OPERATOR:
            assert named(production, _MADE_BY_OPERATOR[key], value) is not None
        else:
            assert any(one.get(key) == value for one in labels)
    for name in re.findall(r"deployment/([a-z-]+)", command):
        assert named(production, "Deployment", name) is not None
    for name in re.findall(r"\b([a-z]+)-0\b", command):
        assert named(production, "StatefulSet", name) is not None


@pytest.mark.parametrize("command", ON_ONE_MACHINE)
def test_museed_takes_it(command: str) -> None:
    parse_museed(shlex.split(command.replace("NAME", "social"))[1:])
