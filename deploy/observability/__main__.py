"""`python -m deploy.observability` writes dashboards and rules; with `--check` it only says whether they are fresh."""

import sys

from deploy.observability import write

if __name__ == "__main__":
    if "--check" not in sys.argv[1:]:
        write.write()
    elif found := write.stale():
        sys.exit(f"not fresh: {', '.join(found)}; run python -m deploy.observability")
