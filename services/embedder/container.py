"""Reads what a file's structure says about its own length, and decodes nothing.

The check is for files that were cut off. What is knowable differs: RIFF, AIFF and MP4 state how many bytes there must
be; an Ogg page states its own length only, so that a cut Ogg file shows where it was cut and not how much is missing;
FLAC and an MP3 with a Xing header state samples, which `services.embedder.audio` compares with what it decoded; an MP3
without that header states nothing.
"""

import os
import struct

from services.embedder.errors import AudioTruncated

# Players play files that lack their last bytes, and so does everybody's music folder.
TOLERATED_SHARE = 0.95
_OGG_PAGE_BYTES = 65_307
_OGG_HEADER_BYTES = 27
# Those of a large picture among the comments come first.
_OGG_HEADER_PAGES = 4096
_UNKNOWN_SIZES = (0, 0xFFFFFFFF)


def check_complete(descriptor: int, size_bytes: int) -> None:
    """Refuse a file whose structure says that it was cut off. Leaves the position of the descriptor alone.

    Raises:
        AudioTruncated: Fewer than 95 % of the stated bytes are there, an Ogg file ends within a page, or an MP4 file
            ends before its index.
    """
    head = os.pread(descriptor, 12, 0)
    declared: int | None = None
    if head[:4] == b"RIFF":
        declared = _chunk_end(head, "<I")
    elif head[:4] == b"FORM":
        declared = _chunk_end(head, ">I")
    elif head[4:8] == b"ftyp":
        declared, is_indexed = _last_box_end(descriptor, size_bytes)
        if declared is not None and declared > size_bytes and not is_indexed:
            raise AudioTruncated(
                f"the last {declared - size_bytes} bytes of the file are missing, its index among them",
                field="audio",
                value=size_bytes,
                limit=declared,
            )
    elif head[:4] == b"OggS":
        declared = _last_page_end(descriptor, size_bytes)
        if declared is not None and declared > size_bytes:
            raise AudioTruncated(
                f"the file ends {declared - size_bytes} bytes before the end of its last Ogg page",
                field="audio",
                value=size_bytes,
                limit=declared,
            )
    if declared is not None and size_bytes < TOLERATED_SHARE * declared:
        raise AudioTruncated.after(size_bytes, declared, "bytes", TOLERATED_SHARE)


def states_samples(descriptor: int) -> bool:
    """Say whether an MP3 file states its length in a Xing, Info or VBRI header, rather than having it estimated."""
    head = os.pread(descriptor, 10, 0)
    start = 0
    if head[:3] == b"ID3" and len(head) == 10:
        start = 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])
    frame = os.pread(descriptor, 4096, start)
    return any(mark in frame for mark in (b"Xing", b"Info", b"VBRI"))


def _chunk_end(head: bytes, number: str) -> int | None:
    stated: int = struct.unpack_from(number, head, 4)[0] if len(head) >= 8 else 0
    # A recorder that writes to a pipe cannot know the size.
    return None if stated in _UNKNOWN_SIZES else stated + 8


def _last_box_end(descriptor: int, size_bytes: int) -> tuple[int | None, bool]:
    """Walk the top-level boxes of an MP4 file; return where the last one states to end, and whether `moov` is there."""
    position = 0
    is_indexed = False
    while position + 8 <= size_bytes:
        head = os.pread(descriptor, 16, position)
        length: int = struct.unpack_from(">I", head)[0]
        if length == 1 and len(head) == 16:
            length = struct.unpack_from(">Q", head, 8)[0]
        if length < 8:  # 0 reaches to the end of the file, wherever that is; the others are nonsense
            return None, is_indexed
        position += length
        is_indexed = is_indexed or (head[4:8] == b"moov" and position <= size_bytes)
    return position, is_indexed


def ogg_span(descriptor: int, size_bytes: int) -> tuple[int, int] | None:
    """Return the positions in samples that the first page with sound and the last page of an Ogg file state.

    They are right even where the pages themselves are damaged. None where a page states none, and for a file of several
    streams, in which each counts for itself.
    """
    first = _first_page_with_sound(descriptor)
    _, last = _last_page(descriptor, size_bytes)
    if first is None or len(last) < _OGG_HEADER_BYTES or os.pread(descriptor, 4, 14) != last[14:18]:
        return None
    end: int = struct.unpack_from("<q", last, 6)[0]
    return (first, end) if end > 0 else None


def _first_page_with_sound(descriptor: int) -> int | None:
    at = 0
    for _ in range(_OGG_HEADER_PAGES):
        page = os.pread(descriptor, _OGG_HEADER_BYTES + 255, at)
        if page[:4] != b"OggS" or len(page) < _OGG_HEADER_BYTES:
            return None
        position: int = struct.unpack_from("<q", page, 6)[0]
        if position > 0:
            return position
        at += _OGG_HEADER_BYTES + page[26] + sum(page[_OGG_HEADER_BYTES : _OGG_HEADER_BYTES + page[26]])
    return None


def _last_page_end(descriptor: int, size_bytes: int) -> int | None:
    """Return where the last page of an Ogg file states to end, None where no page begins near the end."""
    at, page = _last_page(descriptor, size_bytes)
    if not page:
        return None
    if len(page) < _OGG_HEADER_BYTES:
        return at + _OGG_HEADER_BYTES
    count = page[26]
    segments = page[_OGG_HEADER_BYTES : _OGG_HEADER_BYTES + count]
    return at + _OGG_HEADER_BYTES + count + (sum(segments) if len(segments) == count else 0)


def _last_page(descriptor: int, size_bytes: int) -> tuple[int, bytes]:
    """Find the last Ogg page; return where it begins and what there is of it, nothing where there is none."""
    start = max(0, size_bytes - _OGG_PAGE_BYTES)
    tail = os.pread(descriptor, _OGG_PAGE_BYTES, start)
    at = tail.rfind(b"OggS")
    return (start + at, tail[at:]) if at >= 0 else (start, b"")
