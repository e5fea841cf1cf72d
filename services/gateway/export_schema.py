"""Writes `schema.graphql`: `python -m services.gateway.export_schema`; with `--check` only says whether it is fresh.

`released.graphql` is what clients were promised last: what would break them is told by `--check` too. With `--release`
the schema of today becomes that promise.
"""

import sys
from pathlib import Path

from graphql import BreakingChangeType, build_schema, find_breaking_changes

from services.gateway.schema import make_schema

PATH = Path(__file__).with_name("schema.graphql")
RELEASED = Path(__file__).with_name("released.graphql")


def render() -> str:
    """Return the schema in GraphQL's own language."""
    return make_schema().as_str() + "\n"


def breaking_changes(released: str, fresh: str) -> list[str]:
    """Return what clients of a released schema would miss in a fresh one.

    A union that gets another error for mutations breaks nobody: each implements `UserError`, which clients ask for.
    """
    changes = find_breaking_changes(build_schema(released), build_schema(fresh))
    return [f"{BreakingChangeType(change.type).name}: {change.description}" for change in changes]


def main(arguments: list[str]) -> int:
    """Write the file, or with `--check` only compare; returns the exit status."""
    fresh = render()
    if "--release" in arguments:
        RELEASED.write_text(fresh)
    if "--check" not in arguments:
        PATH.write_text(fresh)
        return 0
    faults = [f"{RELEASED.name}: {change}" for change in breaking_changes(RELEASED.read_text(), fresh)]
    if PATH.read_text() != fresh:
        faults.append(f"{PATH} is not fresh: run `make protos`")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
