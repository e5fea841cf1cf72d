"""Reads the ids that clients send: Relay's global ids and plain UUIDs are both understood."""

import base64
import binascii
import re
from collections.abc import Iterable

from services.chassis.errors import InvalidArgument

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


def decode_id(value: str, kind: str, field: str) -> str:
    """Return the UUID, in lower case, that a client means.

    Args:
        value: A UUID, or a global id such as GraphQL's `id` field gives.
        kind: GraphQL type of the thing, for example "Track".
        field: Path of the input, for the error.

    Raises:
        InvalidArgument: ID_INVALID, or ID_OF_ANOTHER_TYPE for a global id of something else.
    """
    if _UUID.fullmatch(value):
        return value.lower()
    found, node_id = decode_global_id(value, field)
    if found != kind:
        raise InvalidArgument(
            f"this is the id of a {found}, not of a {kind}",
            reason="ID_OF_ANOTHER_TYPE",
            field=field,
            value=value,
            limit=kind,
        )
    return node_id


def decode_ids(values: Iterable[str], kind: str, field: str) -> list[str]:
    """Return the UUIDs that a client means by a list, as `decode_id` does; its errors name the item's place."""
    return [decode_id(value, kind, f"{field}[{place}]") for place, value in enumerate(values)]


def decode_global_id(value: str, field: str) -> tuple[str, str]:
    """Return type and UUID of a global id.

    Raises:
        InvalidArgument: ID_INVALID.
    """
    try:
        kind, _, node_id = base64.b64decode(value, validate=True).decode("ascii").partition(":")
    except (binascii.Error, ValueError):
        kind, node_id = "", ""
    if not kind.isidentifier() or not _UUID.fullmatch(node_id):
        raise InvalidArgument("this is not an id", reason="ID_INVALID", field=field, value=value)
    return kind, node_id.lower()


def encode_global_id(kind: str, node_id: str) -> str:
    """Return the global id of a thing."""
    return base64.b64encode(f"{kind}:{node_id}".encode()).decode()
