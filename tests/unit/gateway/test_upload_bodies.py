"""What is told of an upload without opening it: its name and its type."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.errors import DeadlineExceeded, InvalidArgument
from services.gateway.upload_bodies import Pace, file_name, sniff


@pytest.mark.parametrize(
    ("given_name", "wanted"),
    [
        ("song.mp3", "song.mp3"),
        ("%EC%A2%8B%EC%9D%80%20%EB%82%A0.flac", "좋은 날.flac"),
        ("../../etc/passwd", "passwd"),
        ("C:\\music\\a.mp3", "a.mp3"),
        ("a%2Fb.mp3", "b.mp3"),
        ("a%00b%0d%0a.mp3", "ab.mp3"),
        ("", "upload"),
        ("%2F", "upload"),
        ("   ", "upload"),
        ("%FF.mp3", "\ufffd.mp3"),
        ("x" * 300, "x" * 255),
    ],
)
def test_file_name_is_harmless(given_name: str, wanted: str) -> None:
    assert file_name(given_name) == wanted


@given(st.text(max_size=400))
def test_any_file_name_becomes_one_that_social_takes(given_name: str) -> None:
    name = file_name(given_name)
    assert 1 <= len(name) <= 255
    assert name.isprintable()
    assert "/" not in name


@pytest.mark.parametrize(
    ("head", "wanted"),
    [
        (b"ID3\x04" + bytes(100), "audio/mpeg"),
        (b"fLaC" + bytes(100), "audio/x-flac"),
        (b"OggS" + bytes(100), "audio/ogg"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(100), "audio/x-wav"),
        (b"\x00\x00\x00\x20ftypM4A " + bytes(100), "audio/mp4"),
        (b"\x00\x00\x00\x20ftypisom" + bytes(100), "video/mp4"),
        (b"hello world", "application/octet-stream"),
        (b"\x00", "application/octet-stream"),
    ],
)
def test_type_is_told_by_content(head: bytes, wanted: str) -> None:
    assert sniff(head) == wanted


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "image/png"),
        (b"%PDF-1.7\n" + bytes(100), "application/pdf"),
        (b"PK\x03\x04" + bytes(100), "application/zip"),
        (b"\x1f\x8b\x08" + bytes(100), "application/gzip"),
    ],
)
def test_what_is_something_else_is_refused(head: bytes, kind: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        sniff(head)
    assert (caught.value.reason, caught.value.value) == ("UPLOAD_NOT_AUDIO", kind)


@given(st.binary(max_size=300))
def test_no_head_breaks_the_sniffing(head: bytes) -> None:
    with contextlib.suppress(InvalidArgument):
        assert "/" in sniff(head)


def test_a_pace_is_judged_by_whole_windows_of_waiting() -> None:
    pace = Pace(600, 60.0)
    for _ in range(2):  # a good window leaves nothing to the next
        pace.take(0, 30.0)
        pace.take(600, 30.0)
    for _ in range(59):
        pace.take(9, 1.0)
    with pytest.raises(DeadlineExceeded) as caught:
        pace.take(9, 1.0)
    error = caught.value
    assert (error.reason, error.value, error.limit) == ("UPLOAD_STALLED", "540", "600")


def test_a_pace_asks_for_more_of_a_window_that_was_longer() -> None:
    with pytest.raises(DeadlineExceeded):
        Pace(600, 60.0).take(899, 90.0)
    Pace(600, 60.0).take(900, 90.0)
