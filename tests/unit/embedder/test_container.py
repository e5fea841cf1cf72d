"""What a file's structure says of its own length, on files written here byte by byte."""

import os
import struct
from pathlib import Path

import pytest

from services.embedder.container import check_complete, ogg_span, states_samples
from services.embedder.errors import AudioTruncated


def check(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        check_complete(descriptor, len(data))
        assert os.lseek(descriptor, 0, os.SEEK_CUR) == 0
    finally:
        os.close(descriptor)


def riff(stated: int, present: int) -> bytes:
    return (b"RIFF" + struct.pack("<I", stated - 8) + b"WAVE").ljust(present, b"\0")


def form(stated: int, present: int) -> bytes:
    return (b"FORM" + struct.pack(">I", stated - 8) + b"AIFF").ljust(present, b"\0")


def box(name: bytes, length: int) -> bytes:
    return (struct.pack(">I", length) + name).ljust(length, b"\0")


def page(segments: bytes) -> bytes:
    return b"OggS".ljust(26, b"\0") + bytes([len(segments)]) + segments + b"\1" * sum(segments)


WHOLE = {
    "riff": riff(1000, 1000),
    "riff that lacks 5 %": riff(1000, 950),
    "riff with more than stated": riff(500, 1000),
    "riff from a pipe": b"RIFF\xff\xff\xff\xffWAVE".ljust(100, b"\0"),
    "riff from a pipe with zero": b"RIFF\0\0\0\0WAVE".ljust(100, b"\0"),
    "aiff": form(1000, 1000),
    "ogg": page(b"\x10\x20") + page(b"\xff\x07"),
    "ogg with a tag behind it": page(b"\xff") + b"TAG".ljust(128, b"\0"),
    "mp4": box(b"ftyp", 24) + box(b"mdat", 1000) + box(b"moov", 100),
    "mp4 with its index first that lacks 2 %": (box(b"ftyp", 24) + box(b"moov", 76) + box(b"mdat", 900))[:980],
    "mp4 with a box to the end": box(b"ftyp", 24) + b"\0\0\0\0mdat" + b"\0" * 50,
    "anything else": b"hello world" * 10,
    "four bytes": b"RIFF",
}
CUT = {
    "riff": riff(1000, 949),
    "aiff": form(1000, 500),
    "ogg within a page": (page(b"\x10\x20") + page(b"\xff\x07"))[:-1],
    "ogg within a page header": page(b"\x10") + page(b"\xff")[:20],
    "ogg within a segment table": page(b"\x10") + page(b"\xff\xff\xff")[:28],
    "mp4 before its index": (box(b"ftyp", 24) + box(b"mdat", 1000) + box(b"moov", 100))[:-1],
    "mp4 within its data": (box(b"ftyp", 24) + box(b"moov", 76) + box(b"mdat", 900))[:900],
    "mp4 with a long box": box(b"ftyp", 24) + struct.pack(">I4sQ", 1, b"mdat", 5000) + b"\0" * 100,
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_file_passes(tmp_path: Path, name: str) -> None:
    check(tmp_path, WHOLE[name])


@pytest.mark.parametrize("name", CUT)
def test_cut_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(AudioTruncated) as caught:
        check(tmp_path, CUT[name])
    assert caught.value.reason == "AUDIO_TRUNCATED"
    assert caught.value.field == "audio"
    assert caught.value.value is not None
    assert caught.value.limit is not None


def test_message_tells_both_lengths(tmp_path: Path) -> None:
    with pytest.raises(AudioTruncated, match="holds 500 of the 1000 bytes that its header states, at least 95%"):
        check(tmp_path, riff(1000, 500))


@pytest.mark.parametrize(
    ("data", "is_stated"),
    [
        (b"\xff\xfb" + b"\0" * 34 + b"Xing", True),
        (b"\xff\xfb" + b"\0" * 34 + b"Info", True),
        (b"\xff\xfb" + b"\0" * 400, False),
        (b"ID3\4\0\0\0\0\x4e\x20" + b"\0" * 10_016 + b"\xff\xfb" + b"\0" * 34 + b"Xing", True),
        (b"ID3\4\0\0\0\0\x4e\x20" + b"Xing" + b"\0" * 20_000, False),
        (b"ID", False),
    ],
)
def test_mp3_header_is_found_behind_tags(tmp_path: Path, data: bytes, is_stated: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        assert states_samples(descriptor) is is_stated
    finally:
        os.close(descriptor)


def at(position: int, serial: bytes = b"abcd", segments: bytes = b"\x10") -> bytes:
    head = b"OggS\0\0" + struct.pack("<q", position) + serial + b"\0" * 8
    return head + bytes([len(segments)]) + segments + b"\1" * sum(segments)


@pytest.mark.parametrize(
    ("data", "span"),
    [
        (at(0) + at(0) + at(500) + at(9000), (500, 9000)),
        (at(0) + at(-1) + at(500) + at(9000) + b"TAG".ljust(128, b"\0"), (500, 9000)),
        (at(0) + at(500), (500, 500)),
        (at(0) + at(500) + at(9000) + at(0, b"efgh") + at(700, b"efgh"), None),  # one file behind the other
        (at(0) + at(500) + at(-1), None),
        (at(0) + at(0), None),
        (at(0) + b"damaged" + at(500), None),
        (at(0)[:20], None),
        (b"", None),
    ],
)
def test_ogg_pages_tell_where_they_are(tmp_path: Path, data: bytes, span: tuple[int, int] | None) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        assert ogg_span(descriptor, len(data)) == span
    finally:
        os.close(descriptor)
