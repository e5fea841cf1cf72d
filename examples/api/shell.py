"""Writes an example as the commands of a shell: curl, and jq for what is kept. Pure."""

import re

from examples.api.calls import Call, call_of
from examples.api.guide import Example

ANSWER = "answer.json"
_HEADERS = "headers.txt"
_ESCAPED = re.compile(r"\\|`|\$(?![A-Z][A-Z_])")
_MAKERS = {"uuid": "$(uuidgen)", "now": "$(date -u +%Y-%m-%dT%H:%M:%SZ)"}
_END = "END"


def commands(example: Example) -> str:
    """Return what one types to run an example that goes over no socket."""
    lines = [f"{name}={_maker(how)}" for name, how in example.make.items()]
    lines.append(_curl(example, call_of(example)))
    lines += [f"{name}={_reader(where)}" for name, where in example.keep.items()]
    return "\n".join(lines)


def _maker(how: str) -> str:
    what, _, where = how.partition(" of ")
    return _MAKERS.get(what) or f'$(wc -c < "${where}" | tr -d " ")'


def _curl(example: Example, call: Call) -> str:
    keeps_json = any(where.startswith(".") for where in example.keep.values())
    keeps_header = len(example.keep) > 0 and not keeps_json
    words = ["curl -sS"]
    if call.method == "HEAD":
        words.append("-I")
    elif not example.is_graphql:
        words.append(f"-D {_HEADERS}" if keeps_header else "-D /dev/stderr")
        if call.method != "GET":
            words.append(f"-X {call.method}")
        elif "Range" in call.headers:
            words.append("-o part")
    words.append(f'"{call.url}"')
    lines = [" ".join(words)]
    lines += [f"  -H {_quoted(f'{name}: {value}')}" for name, value in call.headers.items()]
    if call.file:
        lines.append(f'  --data-binary @"${call.file}"')
    after = f" | tee {ANSWER}" if keeps_json else ""
    if call.body is None:
        return " \\\n".join(lines) + after
    lines.append(f"  --data-binary @- <<{_END}{after}")
    return " \\\n".join(lines) + f"\n{_here(call.body)}\n{_END}"


def _reader(where: str) -> str:
    if where.startswith("."):
        return f"$(jq -r '{where}' {ANSWER})"
    return f"$(sed -n 's/^{where}: //ip' {_HEADERS} | tr -d '\\r')"


def _quoted(text: str) -> str:
    return f'"{text}"' if "$" in text else f"'{text}'"


def _here(text: str) -> str:
    """Write a text so that a here-document with variables of the shell in it says it."""
    return _ESCAPED.sub(lambda found: "\\" + found[0], text)
