"""Requests that nobody means well: made from the contracts, so that a new RPC or field is in them by itself.

Some requests are sound, of things that are there, so that calls come far; in some a field is not, in others most are:
empty, huge, of the edge of their type, malformed, or made by hand.
"""

import base64
import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from services.social.domain.ids import new_id

_DEEPEST = 4
_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: (0, 2**64 - 1),
}
_FLOATS = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)
_TEXTS = (
    "",
    " ",
    "\0",
    "a\0b",
    "x",
    "하늘 ㅎㄴ",
    "\u202eabc\u200f",
    "%_\\'\";--",
    "../../etc/passwd",
    "{}[]$1 $2",
    "\U0010ffff\ufffe",
    "ﷺ" * 40,
    "nonsense@example.org",
    "deleted-0199aaaa-0000-7000-8000-000000000001",
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "0199AAAA-0000-7000-8000-000000000001",
    "{0199aaaa-0000-7000-8000-000000000001}",
    "nan",
    "1e400",
)
_LONG_TEXTS = ("x" * 201, "x" * 2_001, "x" * 100_000, "\u0300\u0316" * 20_000, " " * 50_000, "\n" * 5_000, "🙂" * 5_000)
_BYTES = (b"", b"\0", b"a/b.ogg", b"../a", b"/a", b"\xff\xfe" * 16, b"x" * 32, b"x" * 33, b"\xc3\x28", b"a\0b")
_LONG_BYTES = (b"x" * 5_000, b"\n" * 50_000, b"[" * 50_000, b"<a>" * 30_000, "\u0300\u0316".encode() * 20_000)
_SECONDS = (0, -1, 1, 253_402_300_799, 253_402_300_800, -62_135_596_800, -62_135_596_801, 2**63 - 1, -(2**63))
_NANOS = (0, 1, -1, 999_999_999, 1_000_000_000, 2**31 - 1, -(2**31))
# What pages of lists begin with: see `services/social/domain/paging.py`.
_TIMES = (
    "2026-01-02T03:04:05+00:00",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "2026-W01-1T00:00+00:00",
)
_NUMBERS = (0, 1, -1, 0.5, 1e30, 1e300, -1e300, 2**31, 2**63, 2**64, 10**400, True)
_KEY_TEXTS = ("", "x", "\U0010ffff", "x" * 3_000, "2026-01-02", "0001-01-01", "9999-12-31", "ab" * 32)

# Of all columns and things, by name.
Known = Mapping[str, Sequence[str]]


async def known_things(sql: "asyncpg.Connection[asyncpg.Record]", secrets: Mapping[str, Sequence[str]]) -> Known:
    """Return what the database holds, by the names of columns, and what it does not show."""
    columns = await sql.fetch(
        "SELECT table_name, column_name FROM information_schema.columns JOIN information_schema.tables"
        " USING (table_schema, table_name) WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
        " AND (data_type IN ('uuid', 'text'))"
    )
    known: dict[str, set[str]] = {name: set(values) for name, values in secrets.items()}
    for table, name in columns:
        rows = await sql.fetch(
            f'SELECT DISTINCT left("{name}"::text, 100) FROM "{table}" WHERE "{name}" IS NOT NULL LIMIT 20'
        )
        known.setdefault(name, set()).update(row[0] for row in rows)
    return {name: sorted(values) for name, values in known.items() if values}


class Hostile:
    """Makes requests.

    Args:
        seed: The same makes the same, of the same things.
        known: What is there.
        sound: Values that calls can come far with, by the name of a field, beside those that are known.
        mark: With which page tokens begin, see `paging.encode_token`.
    """

    def __init__(self, seed: str, known: Known, sound: Mapping[str, Sequence[Any]], mark: str) -> None:
        self._random = random.Random(seed)
        # How likely it is that a value is meant well.
        self._soundness = 1.0
        self._known = known
        self._sound = sound
        self._mark = mark
        self._ids = sorted({one for name, values in known.items() if name.endswith("_id") for one in values})

    def request(self, descriptor: Descriptor) -> Message:
        """Return a request of a type: sound, or but for one of its fields, or not at all."""
        way = self._random.random()
        if not descriptor.fields or way < 0.2:
            return self._message(descriptor)
        if way < 0.4:
            self._soundness = 0.5
            return self._message(descriptor)
        made = self._message(descriptor)
        self._soundness = self._random.choice((0.0, 0.6))
        self._fill(made, self._random.choice(descriptor.fields), 0, is_short=False)
        return made

    def _message(self, descriptor: Descriptor, depth: int = 0, *, is_short: bool = False) -> Message:
        made: Message = message_factory.GetMessageClass(descriptor)()
        if descriptor.full_name == "google.protobuf.Timestamp":
            self._fill_time(made)
            return made
        for field in descriptor.fields:
            if self._random.random() >= 0.1 and (field.message_type is None or depth < _DEEPEST):
                self._fill(made, field, depth, is_short=is_short)
        return made

    def _fill(self, made: Message, field: FieldDescriptor, depth: int, *, is_short: bool) -> None:
        made.ClearField(field.name)
        if field.is_repeated:
            is_long = self._random.random() > self._soundness
            count = self._random.choice((0, 5, 101, 501, 1_001, 5_001) if is_long else (1, 1, 2, 3))
            values = [self._value(field, depth, is_short=is_short or count > 5) for _ in range(min(count, 5))]
            getattr(made, field.name).extend(values[number % 5] for number in range(count))
        elif field.message_type is not None:
            getattr(made, field.name).CopyFrom(self._value(field, depth, is_short=is_short))
        else:
            setattr(made, field.name, self._value(field, depth, is_short=is_short))

    def noise(self) -> bytes:
        """Return bytes that are no message, or a strange one."""
        return self._random.randbytes(self._random.choice((1, 7, 300)))

    def _value(self, field: FieldDescriptor, depth: int, *, is_short: bool) -> Any:  # of the field's type
        kind = field.cpp_type
        if field.message_type is not None:
            return self._message(field.message_type, depth + 1, is_short=is_short)
        is_sound = self._random.random() < self._soundness
        if is_sound and field.name in self._sound:
            return self._random.choice(self._sound[field.name])
        if kind in _INTEGERS:
            lowest, highest = _INTEGERS[kind]
            return self._random.choice((1, 2, 3) if is_sound else (0, 1, max(-1, lowest), 101, 501, lowest, highest))
        if kind in _FLOATS:
            sane = (0.0, 0.5, 1.0, 30.0)
            return self._random.choice(
                sane if is_sound else (-0.0, -1.0, 3e38, -3e38, 1e-45, float("inf"), float("-inf"), float("nan"))
            )
        if kind == FieldDescriptor.CPPTYPE_BOOL:
            return self._random.random() < 0.5
        if field.enum_type is not None:
            numbers = [value.number for value in field.enum_type.values]
            return self._random.choice(numbers if is_sound else [*numbers, 99, -1])
        if field.type == FieldDescriptor.TYPE_BYTES:
            return b"x" * 32 if is_sound else self._random.choice(_BYTES if is_short else _BYTES + _LONG_BYTES)
        return self._text(field.name, is_sound=is_sound, is_short=is_short)

    def _text(self, name: str, *, is_sound: bool, is_short: bool) -> str:
        if name == "page_token":
            return "" if is_sound else self._token()
        if not is_sound:
            return self._random.choice(_TEXTS if is_short else _TEXTS + _LONG_TEXTS)
        if name == "idempotency_key":
            return new_id()
        one = name.removesuffix("s") if name.endswith("_ids") else name
        fitting = [key for key in self._known if one == key or one.endswith(f"_{key}")]
        if fitting:
            return self._random.choice(self._known[max(fitting, key=len)])
        return self._random.choice(self._ids) if one == "id" or one.endswith("_id") else "x"

    def _token(self) -> str:
        """Return a page token as somebody makes it by hand, of one of the shapes that lists have."""
        ids = [*self._ids[:20], "nonsense", "ffffffff-ffff-ffff-ffff-ffffffffffff"]
        shapes: tuple[tuple[Sequence[object], ...], ...] = (
            (ids,),
            (_NUMBERS,),
            (_KEY_TEXTS,),
            (_TIMES, ids),
            (_NUMBERS, ids),
            (_KEY_TEXTS, ids),
            (_KEY_TEXTS, _KEY_TEXTS),
            (_NUMBERS, _NUMBERS),
            (_NUMBERS, _KEY_TEXTS, ids),
        )
        parts = [self._random.choice(values) for values in self._random.choice(shapes)]
        data = json.dumps([self._mark, *parts]).encode()
        return base64.urlsafe_b64encode(data).decode().rstrip("=") if self._random.random() < 0.9 else "nonsense"

    def _fill_time(self, made: Any) -> None:  # a Timestamp
        if self._random.random() < self._soundness:
            made.GetCurrentTime()
            made.seconds += self._random.choice((0, 60, 86_400, -60, -86_400))
        else:
            made.seconds, made.nanos = self._random.choice(_SECONDS), self._random.choice(_NANOS)
