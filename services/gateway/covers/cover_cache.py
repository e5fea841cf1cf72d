"""Keeps covers in memory, the latest used, up to a sum of bytes. Pure."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

# What an entry costs beside its bytes, roughly.
_ENTRY_BYTES = 512

Key = tuple[bytes | int, ...]


@dataclass(frozen=True, slots=True)
class Cover:
    """A picture with its content type and its ETag."""

    content: bytes
    content_type: str
    etag: str

    @classmethod
    def of(cls, content: bytes, content_type: str) -> "Cover":
        """Make a cover of a picture."""
        return cls(content, content_type, f'"{hashlib.sha256(content).hexdigest()}"')


class CoverCache:
    """Covers, and the knowledge that there is none, by what they were read from.

    Args:
        max_bytes: The least recently used go beyond this.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._covers: OrderedDict[Key, Cover | None] = OrderedDict()
        self.size_bytes = 0

    def __contains__(self, key: Key) -> bool:
        return key in self._covers

    def get(self, key: Key) -> Cover | None:
        """Return the cover of a key that is contained; None means that there is none."""
        self._covers.move_to_end(key)
        return self._covers[key]

    def put(self, key: Key, cover: Cover | None) -> None:
        """Keep a cover, or that there is none."""
        if key in self._covers:
            self.size_bytes -= _cost(self._covers.pop(key))
        self._covers[key] = cover
        self.size_bytes += _cost(cover)
        while self.size_bytes > self._max_bytes:
            self.size_bytes -= _cost(self._covers.popitem(last=False)[1])


def _cost(cover: Cover | None) -> int:
    return _ENTRY_BYTES + (0 if cover is None else len(cover.content))
