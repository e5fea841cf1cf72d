"""Names and words of GraphQL as Python has them."""

import keyword
import re
import textwrap

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WIDTH = 110


def python_name(name: str) -> str:
    """Turn `streamUrl` into `stream_url`; `__typename` becomes `typename`, a keyword gets an underscore."""
    found = _WORD_START.sub("_", name).lower().lstrip("_")
    return f"{found}_" if keyword.iskeyword(found) else found


def class_name(path: str, key: str) -> str:
    """Return the name of what lies behind a key of something that has a name."""
    return path + key[:1].upper() + key[1:]


def constant_name(name: str) -> str:
    """Turn `LogIn` into `LOG_IN`."""
    return python_name(name).upper()


def docstring(text: str | None, fallback: str, indent: str) -> str:
    """Return a description as a docstring at an indent, its lines broken."""
    words = " ".join((text or fallback).split()).replace("\\", "\\\\").replace('"""', "'''")
    lines = textwrap.wrap(words, _WIDTH - len(indent), break_long_words=False, break_on_hyphens=False)
    if len(lines) == 1 and not lines[0].endswith('"'):
        return f'{indent}"""{lines[0]}"""'
    return "\n".join([f'{indent}"""{lines[0]}', *(indent + line for line in lines[1:]), f'{indent}"""'])
