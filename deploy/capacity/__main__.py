"""Computes deploy/k8s/CAPACITY.md: `python -m deploy.capacity [--set NAME=NUMBER]… [--write | --check]`."""

import argparse
import sys
from pathlib import Path

from deploy.capacity.document import render
from deploy.capacity.figures import GROUPS, FigureError, changed

DOCUMENT = Path(__file__).resolve().parents[1] / "k8s" / "CAPACITY.md"


def main(arguments: list[str] | None = None) -> int:
    """Print the document, write it, or say whether the committed one is what these figures give.

    Returns:
        0; 1 where the committed one is another, or a setting is none.
    """
    parser = argparse.ArgumentParser(prog="python -m deploy.capacity", description=__doc__)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER", dest="settings")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--write", action="store_true", help=f"write {DOCUMENT.name}")
    what.add_argument("--check", action="store_true", help=f"compare with {DOCUMENT.name}")
    chosen = parser.parse_args(arguments)
    try:
        text = render(changed(GROUPS, chosen.settings))
    except FigureError as error:
        print(error, file=sys.stderr)
        return 1
    if chosen.write:
        DOCUMENT.write_text(text, encoding="utf-8")
    elif chosen.check:
        if DOCUMENT.read_text(encoding="utf-8") != text:
            print(f"{DOCUMENT} is not what the figures give: run python -m deploy.capacity --write", file=sys.stderr)
            return 1
    else:
        print(text, end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
