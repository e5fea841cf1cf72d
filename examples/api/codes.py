"""Lists every code with its texts: tables of API.md."""

from collections.abc import Iterator

from examples.api.guide import FOLDER
from examples.api.sources import Raised, raised_codes
from services.gateway.codes import CODES, GROUPS, Code

_INTRO = FOLDER / "codes.md"


def code_tables() -> Iterator[str]:
    """Yield the section of codes, a table for each group."""
    raised = raised_codes()
    yield _INTRO.read_text()
    for group, title in GROUPS.items():
        yield f"### {title}"
        rows = ["| code | canonical | English | Korean | what to do |", "|---|---|---|---|---|"]
        rows += [_row(name, code, raised.get(name)) for name, code in sorted(CODES.items()) if code.group == group]
        yield "\n".join(rows)


def _row(name: str, code: Code, raised: Raised | None) -> str:
    canonical = "" if raised is None else ", ".join(f"`{one}` {status}" for one, status in sorted(raised.statuses))
    return f"| `{name}` | {canonical} | {code.en} | {code.ko} | {code.do} |"
