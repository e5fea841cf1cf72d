"""What a client may say over a socket: messages of graphql-transport-ws by their shape, before anybody acts on one."""

from collections.abc import Mapping
from typing import Any

# Comes back with each event.
MAX_ID_CHARACTERS = 128
# Of a frame that closes a socket: RFC 6455 leaves 123 bytes.
_MAX_REASON_BYTES = 123


def fault_of(message: Mapping[str, Any]) -> str | None:
    """Say what is wrong with a message; None where it can be acted on.

    The library takes shapes for granted, so that lists where it waits for a word are exceptions there.
    """
    kind = message.get("type")
    if not isinstance(kind, str):
        return "a message has a type"
    if kind not in ("subscribe", "complete"):
        return None
    id_ = message.get("id")
    if not isinstance(id_, str) or not 0 < len(id_) <= MAX_ID_CHARACTERS:
        return f"an id has 1 to {MAX_ID_CHARACTERS} characters"
    return _fault_of_request(message.get("payload")) if kind == "subscribe" else None


def close_reason(text: str) -> str:
    """Return as much of a text as a socket can be closed with."""
    return text.encode(errors="replace")[:_MAX_REASON_BYTES].decode(errors="ignore")


def _fault_of_request(payload: Any) -> str | None:
    if not isinstance(payload, dict) or not isinstance(payload.get("query"), str):
        return "a payload has a query"
    for name, kind in (("variables", dict), ("operationName", str), ("extensions", dict)):
        if not isinstance(payload.get(name), kind | None):
            return f"{name} is none"
    return None
