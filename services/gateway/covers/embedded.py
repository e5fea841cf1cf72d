"""Finds the picture in an audio file with mutagen. Files are hostile: only the process of `child` runs this."""

import base64
import binascii
import struct
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO

import mutagen
from mutagen.apev2 import APEv2
from mutagen.asf import ASFTags
from mutagen.flac import Picture
from mutagen.id3 import ID3
from mutagen.mp4 import MP4Tags

from services.gateway.covers.images import image_type

# Of one file, tags and all; pictures of 20 MB exist.
MAX_READ_BYTES = 64 << 20
_FRONT = 3
_MAX_PICTURES = 50


class _BoundedFile:
    """Gives mutagen the file to read, up to a sum of bytes; has no name, so that content alone decides."""

    name = ""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = MAX_READ_BYTES

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(self._left + 1 if size < 0 else min(size, self._left + 1))
        self._left -= len(data)
        if self._left < 0:
            raise ValueError(f"the tags take more than {MAX_READ_BYTES} bytes to read")
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def embedded_picture(file: BinaryIO, max_bytes: int) -> bytes:
    """Return the front cover of a file, else the first picture in it that browsers show; empty where there is none.

    Args:
        file: Open for reading and seeking.
        max_bytes: Larger pictures are passed over.

    Raises:
        Exception: Whatever mutagen's parsers of some twenty formats raise.
    """
    found = mutagen.File(_BoundedFile(file))
    others = b""
    for kind, data in shown_pictures(found) if found is not None else ():
        if len(data) <= max_bytes:
            if kind == _FRONT:
                return data
            others = others or data
    return others


def shown_pictures(found: Any) -> Iterator[tuple[int, bytes]]:  # mutagen has no types
    """Yield kind (3 is the front) and bytes of the pictures that browsers show, among the first 50 of a file.

    Raises:
        Exception: As `embedded_picture`.
    """
    return (each for each in islice(_pictures(found), _MAX_PICTURES) if image_type(each[1]) is not None)


def _pictures(file: Any) -> Iterator[tuple[int, bytes]]:  # mutagen has no types
    """Yield kind (3 is the front) and bytes of every picture."""
    for picture in getattr(file, "pictures", ()):
        yield int(picture.type), bytes(picture.data)
    tags = file.tags
    if isinstance(tags, ID3):
        yield from ((int(frame.type), bytes(frame.data)) for frame in tags.getall("APIC"))
    elif isinstance(tags, MP4Tags):
        yield from ((_FRONT, bytes(data)) for data in tags.get("covr", ()))
    elif isinstance(tags, ASFTags):
        yield from (_asf(bytes(attribute.value)) for attribute in tags.get("WM/Picture", ()))
    elif isinstance(tags, APEv2):
        for key, kind in (("Cover Art (Front)", _FRONT), ("Cover Art (Back)", 0)):
            if key in tags:
                yield kind, bytes(tags[key].value).partition(b"\0")[2]
    elif tags is not None:
        yield from (_vorbis(text) for text in tags.get("metadata_block_picture", ()))


def _asf(data: bytes) -> tuple[int, bytes]:
    """Read WM/Picture: kind, length, type and description as UTF-16, picture."""
    if len(data) < 5:
        return 0, b""
    kind, length = struct.unpack_from("<BI", data)
    return kind, data[-length:] if 0 < length < len(data) else b""


def _vorbis(text: str) -> tuple[int, bytes]:
    try:
        picture = Picture(base64.b64decode(text))
    except (binascii.Error, ValueError, mutagen.MutagenError):
        return 0, b""
    return int(picture.type), bytes(picture.data)
