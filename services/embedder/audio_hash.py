"""Hashes a file's encoded audio without its tags and art, so that a re-tagged file keeps its identity.

Reads containers only: it decodes nothing and never trusts a length beyond the end of the file.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from functools import partial
from itertools import chain
from typing import BinaryIO

from services.embedder.ogg_audio import ogg_hash

_BLOCK_BYTES = 1 << 20
_MAX_TAGS = 32
# A file made of nothing but empty parts would take minutes; a fragmented MP4 of ten hours has some 40,000.
_MAX_PARTS = 1 << 17
_TO_THE_END = 1 << 62
_ASF_DATA = bytes.fromhex("3626b2758e66cf11a6d900aa0062ce6c")
_MP4_FIRST_ATOMS = {b"ftyp", b"moov", b"mdat", b"wide"}

# Where a part of a file begins and ends, in bytes.
Span = tuple[int, int]


class Container(StrEnum):
    """What a file is by its content; the value is its content type."""

    FLAC = "audio/flac"
    OGG = "audio/ogg"
    WAVE = "audio/wav"
    AIFF = "audio/aiff"
    MP4 = "audio/mp4"
    ASF = "audio/x-ms-wma"
    MPEG = "audio/mpeg"
    AAC = "audio/aac"
    UNKNOWN = "application/octet-stream"


def audio_hash(file: BinaryIO) -> tuple[Container, bytes]:
    """Hash the encoded audio of a file. Blocks on the disk; reads blocks of 1 MiB at most.

    A file of an unknown kind, or one in which no audio is found, is hashed whole, but for tags at its ends.

    Args:
        file: Open for reading and seeking; the position is moved.

    Returns:
        What the file is, and 32 bytes of SHA-256.
    """
    start, end = _strip_tags(file)
    file.seek(start)
    container = _sniff(file.read(16))
    if container is Container.OGG:
        return container, ogg_hash(file, start, end) or _hash(file, [(start, end)])
    if container in _SPANS:
        spans = iter(_SPANS[container](file, start + _FIRST_PART.get(container, 0), end))
        if first := next(spans, None):
            return container, _hash(file, chain([first], spans))
    return container, _hash(file, [(start, end)])


def _sniff(head: bytes) -> Container:
    if head[:4] in {b"RIFF", b"RF64", b"BW64"} and head[8:12] == b"WAVE":
        return Container.WAVE
    if head[:4] == b"FORM" and head[8:12] in {b"AIFF", b"AIFC"}:
        return Container.AIFF
    if head[4:8] in _MP4_FIRST_ATOMS:
        return Container.MP4
    if head.startswith(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")):
        return Container.ASF
    if head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xE0 == 0xE0:
        # Layer 0 does not exist in MPEG audio: it marks the ADTS frames of AAC.
        return Container.AAC if head[1] & 0x06 == 0 else Container.MPEG
    return {b"fLaC": Container.FLAC, b"OggS": Container.OGG}.get(head[:4], Container.UNKNOWN)


def _hash(file: BinaryIO, spans: Iterable[Span]) -> bytes:
    digest = hashlib.sha256()
    for start, end in spans:
        file.seek(start)
        while start < end and (block := file.read(min(_BLOCK_BYTES, end - start))):
            digest.update(block)
            start += len(block)
    return digest.digest()


def _at(file: BinaryIO, position: int, length: int) -> bytes:
    file.seek(max(position, 0))
    return file.read(length)


def _strip_tags(file: BinaryIO) -> Span:
    start, end = 0, file.seek(0, 2)
    for _ in range(_MAX_TAGS):
        length = _leading_tag_bytes(_at(file, start, 32))
        if not length or start + length >= end:
            break
        start += length
    for _ in range(_MAX_TAGS):
        length = _trailing_tag_bytes(file, start, end)
        if not length or end - length <= start:
            break
        end -= length
    return start, end


def _synchsafe(four: bytes) -> int:
    return sum((byte & 0x7F) << shift for byte, shift in zip(four, (21, 14, 7, 0), strict=True))


def _leading_tag_bytes(head: bytes) -> int:
    if len(head) >= 10 and head[:3] == b"ID3" and max(head[6:10]) < 0x80:
        has_footer = head[5] & 0x10
        return 10 + _synchsafe(head[6:10]) + (10 if has_footer else 0)
    if len(head) == 32 and head[:8] == b"APETAGEX":
        return 32 + int.from_bytes(head[12:16], "little")
    if head and not head.strip(b"\0"):
        # Padding that a tagger left outside of its tag.
        return len(head)
    return 0


def _trailing_tag_bytes(file: BinaryIO, start: int, end: int) -> int:
    tail = _at(file, max(start, end - 5200), min(5200, end - start))
    if tail[-128:-125] == b"TAG":
        return 355 if tail[-355:-351] == b"TAG+" else 128
    if tail[-32:-24] == b"APETAGEX":
        has_header = tail[-9] & 0x80
        return int.from_bytes(tail[-20:-16], "little") + (32 if has_header else 0)
    if tail[-10:-7] == b"3DI" and max(tail[-4:]) < 0x80:
        return 20 + _synchsafe(tail[-4:])
    if tail.endswith(b"LYRICS200") and tail[-15:-9].isdigit():
        return 15 + int(tail[-15:-9])
    if tail.endswith(b"LYRICSEND") and (begin := tail.rfind(b"LYRICSBEGIN")) >= 0:
        return len(tail) - begin
    return 0


def _flac_spans(file: BinaryIO, start: int, end: int) -> Iterator[Span]:
    position, is_last = start + 4, False
    for _ in range(_MAX_PARTS):
        if is_last:
            break
        head = _at(file, position, 4)
        if len(head) < 4:
            return
        is_last = bool(head[0] & 0x80)
        if head[0] & 0x7F == 0:
            # Of STREAMINFO the sample rate, channels and depth: frames may refer to them.
            yield position + 14, position + 17
        position += 4 + int.from_bytes(head[1:], "big")
    yield position, end


# Of the first 24 bytes of a part: its name, the bytes of its header, and its length from header to next part.
Measure = Callable[[bytes], tuple[bytes, int, int]]


def _riff_part(head: bytes) -> tuple[bytes, int, int]:
    length = int.from_bytes(head[4:8], "little")
    return head[:4], 8, 8 + length


def _iff_part(head: bytes) -> tuple[bytes, int, int]:
    return head[:4], 8, 8 + int.from_bytes(head[4:8], "big")


def _mp4_part(head: bytes) -> tuple[bytes, int, int]:
    length = int.from_bytes(head[:4], "big")
    if length == 1:
        return head[4:8], 16, int.from_bytes(head[8:16], "big")
    return head[4:8], 8, length or _TO_THE_END


def _asf_part(head: bytes) -> tuple[bytes, int, int]:
    return head[:16], 24, int.from_bytes(head[16:], "little")


def _part_spans(
    file: BinaryIO, start: int, end: int, *, measure: Measure, wanted: frozenset[bytes], alignment: int
) -> Iterator[Span]:
    for _ in range(_MAX_PARTS):
        if start >= end or len(head := _at(file, start, 24)) < 8:
            return
        name, header, length = measure(head)
        if length < header:
            return
        if name in wanted:
            yield start + header, min(start + length, end)
        start += length + length % alignment
    yield start, end


_SPANS: dict[Container, Callable[[BinaryIO, int, int], Iterator[Span]]] = {
    Container.FLAC: _flac_spans,
    Container.WAVE: partial(_part_spans, measure=_riff_part, wanted=frozenset({b"fmt ", b"data"}), alignment=2),
    Container.AIFF: partial(_part_spans, measure=_iff_part, wanted=frozenset({b"COMM", b"SSND"}), alignment=2),
    Container.MP4: partial(_part_spans, measure=_mp4_part, wanted=frozenset({b"mdat"}), alignment=1),
    Container.ASF: partial(_part_spans, measure=_asf_part, wanted=frozenset({_ASF_DATA}), alignment=1),
}
_FIRST_PART = {Container.WAVE: 12, Container.AIFF: 12}
