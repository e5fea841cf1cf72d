"""Answers that nobody wrote: any message of the contracts, filled in from its descriptor."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

_TIMESTAMP = "google.protobuf.Timestamp"
_REALS = (FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE)
# Messages that hold each other end here.
_MAX_DEPTH = 6


def made_up(kind: Descriptor, size: int, request: Message | None = None, number: int = 0, depth: int = 0) -> Message:
    """Return a message with every field set, the first of each oneof.

    Args:
        kind: What message.
        size: Items of each list at the top; those below have 2.
        request: Ids that it names one by one, as `BatchGet…` do, are those of the items, in this order.
        number: Of the item in its list: ids and texts differ by it.
        depth: Below the top.
    """
    message = GetMessageClass(kind)()
    if kind.full_name == _TIMESTAMP:
        message.FromDatetime(NOW)  # type: ignore[attr-defined]  # a Timestamp
        return message
    done: set[str] = set()
    for field in kind.fields:
        oneof = field.containing_oneof
        if oneof is not None and oneof.name in done:
            continue
        if oneof is not None:
            done.add(oneof.name)
        if field.message_type is not None and (field.message_type.GetOptions().map_entry or depth >= _MAX_DEPTH):
            continue
        if not field.is_repeated:
            _put(message, field, _value(field, number, depth))
            continue
        wanted = _wanted_ids(request, field) if depth == 0 else None
        count = size if depth == 0 else 2
        for item in range(count if wanted is None else len(wanted)):
            if field.message_type is None:
                getattr(message, field.name).append(_value(field, item, depth))
                continue
            made = made_up(field.message_type, size, None, item, depth + 1)
            if wanted is not None:
                _rename(made, wanted[item])
            getattr(message, field.name).add().CopyFrom(made)
    return message


def made_up_id(name: str, number: int = 0) -> str:
    """Return the id that `made_up` gives the item of that number in a field of that name, for example "track_id"."""
    return str(UUID(int=(0x0190A000 << 96) | (0x7 << 76) | (0x2 << 62) | (sum(name.encode()) << 16) | number))


def _put(message: Message, field: FieldDescriptor, value: Any) -> None:
    if isinstance(value, Message):
        getattr(message, field.name).CopyFrom(value)
    else:
        setattr(message, field.name, value)


def _value(field: FieldDescriptor, number: int, depth: int) -> Any:
    if field.message_type is not None:
        return made_up(field.message_type, 2, None, number, depth + 1)
    if field.enum_type is not None:
        return field.enum_type.values[min(1, len(field.enum_type.values) - 1)].number
    if field.type == FieldDescriptor.TYPE_BYTES:
        return bytes([number % 256]) * 32
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        if field.name == "next_page_token":
            return ""
        if field.name.endswith(("_id", "_ids", "_from")):
            return made_up_id(field.name, number)
        if field.name.endswith("day"):
            return NOW.date().isoformat()
        return f"{field.name} {number}"
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return True
    return 0.5 if field.cpp_type in _REALS else 1 + number


def _wanted_ids(request: Message | None, field: FieldDescriptor) -> list[str] | None:
    """Return the ids by which a request names the items of a list of its answer."""
    if request is None or field.message_type is None:
        return None
    ids: Iterable[Any]
    for asked in request.DESCRIPTOR.fields:
        if asked.is_repeated and asked.name.endswith("_ids") and _id_fields(field.message_type, asked.name[:-1]):
            ids = getattr(request, asked.name)
            return [str(one) for one in ids]
    return None


def _id_fields(kind: Descriptor, name: str) -> bool:
    return any(
        field.name == name
        or (field.message_type is not None and not field.is_repeated and name in field.message_type.fields_by_name)
        for field in kind.fields
    )


def _rename(message: Message, own_id: str) -> None:
    """Give an item the id by which it was asked for: the first field of it, or of what it is about."""
    for field in message.DESCRIPTOR.fields:
        if field.message_type is not None and not field.is_repeated:
            _rename(getattr(message, field.name), own_id)
            return
        if field.name.endswith("_id"):
            setattr(message, field.name, own_id)
            return
