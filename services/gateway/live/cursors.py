"""Cursors of what is followed live: where somebody stood, signed, so that another socket goes on right there. Pure."""

import binascii
import hashlib
import hmac
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from services.chassis.errors import InvalidArgument

_CONTEXT = b"museed live v1"
_HEAD = struct.Struct(">BqqQ")
_VERSION = 1
_MARK_BYTES = 6
_MAC_BYTES = 12
# What was shown of late and is told with a cursor, so that rows that are read again are not shown again.
MOST_SHOWN = 12


class Place(NamedTuple):
    """A point of a stream: everything up to `sequence` of the stream that was made at `epoch`.

    Attributes:
        epoch: Microseconds since 1970; 0 is no point of any stream, and goes on from rows.
        sequence: Of the last message that was looked at.
    """

    epoch: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where somebody stood.

    Attributes:
        place: In the stream.
        at: Rows that were written longer before than events take to be published were looked at.
        shown: Marks of what was shown last, oldest first.
    """

    place: Place
    at: datetime
    shown: tuple[bytes, ...] = ()


def mark_of(thing_id: str) -> bytes:
    """Return the few bytes by which a cursor knows something that was shown."""
    return hashlib.sha256(thing_id.encode()).digest()[:_MARK_BYTES]


class CursorSigner:
    """Writes and reads cursors, which hold for one person and one list.

    Args:
        key: At least 32 bytes, the same in every replica.
    """

    def __init__(self, key: bytes) -> None:
        self._key = hmac.digest(key, _CONTEXT, hashlib.sha256)

    def write(self, cursor: Cursor, topic: str, user_id: str) -> str:
        """Return a cursor as clients keep it."""
        body = _HEAD.pack(_VERSION, *cursor.place, round(cursor.at.timestamp() * 1000))
        body += b"".join(cursor.shown[-MOST_SHOWN:])
        return urlsafe_b64encode(body + self._mac(body, topic, user_id)).rstrip(b"=").decode()

    def read(self, text: str, topic: str, user_id: str) -> Cursor:
        """Read what a client kept.

        Raises:
            InvalidArgument: CURSOR_INVALID: made up, of another list, or of somebody else.
        """
        try:
            raw = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        except (binascii.Error, ValueError):
            raw = b""
        body, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
        if len(body) < _HEAD.size or not hmac.compare_digest(mac, self._mac(body, topic, user_id)):
            raise InvalidArgument("this is not a cursor of yours", reason="CURSOR_INVALID", field="after", value=text)
        _, epoch, sequence, milliseconds = _HEAD.unpack_from(body)
        marks = body[_HEAD.size :]
        shown = tuple(marks[start : start + _MARK_BYTES] for start in range(0, len(marks), _MARK_BYTES))
        return Cursor(Place(epoch, sequence), datetime.fromtimestamp(milliseconds / 1000, UTC), shown)

    def _mac(self, body: bytes, topic: str, user_id: str) -> bytes:
        # Topics and ids hold no NUL, and a body begins behind the second one.
        text = b"\0".join((topic.encode(), user_id.encode(), body))
        return hmac.digest(self._key, text, hashlib.sha256)[:_MAC_BYTES]
