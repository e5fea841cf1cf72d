"""Writes dashboards and rules: `python -m deploy.observability`."""

import argparse
import sys

from deploy.observability import write

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m deploy.observability", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say whether they are fresh")
    if not parser.parse_args().check:
        write.write()
    elif found := write.stale():
        sys.exit(f"not fresh: {', '.join(found)}; run python -m deploy.observability")
