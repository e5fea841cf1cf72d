"""Writes `schema.graphql`: `python -m services.gateway.export_schema`; with `--check` only says whether it is fresh."""

import sys
from pathlib import Path

from services.gateway.schema import make_schema

PATH = Path(__file__).with_name("schema.graphql")


def render() -> str:
    """Return the schema in GraphQL's own language."""
    return make_schema().as_str() + "\n"


def main(arguments: list[str]) -> int:
    """Write the file, or with `--check` only compare; returns the exit status."""
    fresh = render()
    if "--check" not in arguments:
        PATH.write_text(fresh)
        return 0
    if PATH.read_text() == fresh:
        return 0
    print(f"{PATH} is not fresh: run `make protos`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
