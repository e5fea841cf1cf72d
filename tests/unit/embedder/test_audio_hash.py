import hashlib
import io
import struct
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path

import mutagen
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutagen.apev2 import APEv2
from mutagen.id3 import ID3, TIT2

from services.embedder.audio_hash import Container, audio_hash
from tests.fixtures.recordings import FORMATS, TAGGED_FORMATS, make_samples, remove_tags, write_recording, write_tags

PICTURE = b"\xff\xd8\xff" + bytes(300_000)
CONTAINERS = {
    "wav": Container.WAVE,
    "flac": Container.FLAC,
    "ogg": Container.OGG,
    "opus": Container.OGG,
    "oga": Container.OGG,
    "mp3": Container.MPEG,
    "aiff": Container.AIFF,
    "m4a": Container.MP4,
    "wma": Container.ASF,
    "aac": Container.AAC,
}


def hash_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return audio_hash(file)[1]


def hash_of_bytes(data: bytes) -> bytes:
    return audio_hash(io.BytesIO(data))[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recordings")
    for kind in FORMATS:
        write_recording(path / f"a.{kind}", kind)
    return path


@pytest.fixture(scope="module")
def recordings(folder: Path) -> dict[str, bytes]:
    return {kind: (folder / f"a.{kind}").read_bytes() for kind in FORMATS}


@pytest.mark.parametrize("kind", TAGGED_FORMATS)
def test_tags_and_pictures_never_change_the_audio_hash(kind: str, tmp_path: Path, recordings: dict[str, bytes]) -> None:
    path = tmp_path / f"a.{kind}"
    path.write_bytes(recordings[kind])
    expected = hash_of(path)
    seen = {hashlib.sha256(path.read_bytes()).digest()}
    steps: list[Callable[[], None]] = [
        lambda: write_tags(path, title="One"),
        lambda: write_tags(path, title="다른 제목 " * 40, picture=PICTURE),
        lambda: write_tags(path, title="Three"),
        lambda: remove_tags(path),
    ]
    for number, step in enumerate(steps):
        step()
        seen.add(hashlib.sha256(path.read_bytes()).digest())
        assert hash_of(path) == expected, number
    assert len(seen) >= len(steps)  # the last may lead back to the first, byte by byte


@pytest.mark.parametrize("kind", FORMATS)
def test_other_audio_has_another_hash(kind: str, tmp_path: Path, recordings: dict[str, bytes]) -> None:
    samples = make_samples()
    samples[samples.size // 2] ^= 0x2000
    other = write_recording(tmp_path / f"b.{kind}", kind, samples)
    assert hash_of(other) != hash_of_bytes(recordings[kind])


@pytest.mark.parametrize("kind", FORMATS)
def test_the_content_names_the_container(kind: str, recordings: dict[str, bytes]) -> None:
    assert audio_hash(io.BytesIO(recordings[kind]))[0] is CONTAINERS[kind]


@pytest.mark.parametrize("kind", FORMATS)
def test_the_last_byte_of_audio_counts(kind: str, recordings: dict[str, bytes]) -> None:
    data = recordings[kind]
    # MP4 and ASF end with an index; WAV and AIFF of libsndfile end with a chunk of its own or with samples.
    position = {"m4a": data.find(b"mdat") + 4 + 100, "wma": len(data) // 2, "wav": 4000, "aiff": 4000}.get(kind, -1)
    changed = bytearray(data)
    changed[position] ^= 1
    assert hash_of_bytes(bytes(changed)) != hash_of_bytes(data)


def test_every_tag_at_the_ends_of_an_mp3_is_left_out(tmp_path: Path, recordings: dict[str, bytes]) -> None:
    frames = recordings["mp3"]
    expected = hash_of_bytes(frames)
    path = tmp_path / "a.mp3"
    path.write_bytes(frames)
    tag = APEv2()
    tag["Title"] = "ape"
    tag.save(path)
    id3 = ID3()
    id3.add(TIT2(encoding=3, text=["both"]))
    id3.save(path, v1=2)
    data = path.read_bytes()
    assert b"APETAGEX" in data
    assert data[-128:-125] == b"TAG"
    assert hash_of_bytes(data) == expected
    lyrics = b"LYRICSBEGININD0000200" + b"LYR00005la la"
    lyrics += b"%06d" % len(lyrics) + b"LYRICS200"
    with_footer = b"ID3\x04\x00\x10\x00\x00\x00\x05" + b"\0" * 5 + b"3DI\x04\x00\x10\x00\x00\x00\x05"
    assert hash_of_bytes(with_footer + data[:-128] + lyrics + data[-128:]) == expected
    assert hash_of_bytes(frames + b"LYRICSBEGINla la laLYRICSEND" + data[-128:]) == expected
    assert hash_of_bytes(frames + with_footer) == expected
    assert hash_of_bytes(b"\0" * 64 + frames) == expected
    assert expected == hashlib.sha256(frames).digest()


def test_id3_around_a_flac_is_left_out(tmp_path: Path, recordings: dict[str, bytes]) -> None:
    path = tmp_path / "a.flac"
    path.write_bytes(recordings["flac"])
    ID3().save(path)
    id3 = ID3()
    id3.add(TIT2(encoding=3, text=["t"]))
    id3.save(path, v1=2)
    assert path.read_bytes()[:3] == b"ID3"
    assert hash_of(path) == hash_of_bytes(recordings["flac"])


def pages_of(data: bytes) -> list[bytes]:
    return [b"OggS" + page for page in data.split(b"OggS")[1:]]


def test_interleaving_of_ogg_streams_does_not_count_but_their_packets_do(recordings: dict[str, bytes]) -> None:
    first, second = pages_of(recordings["ogg"]), pages_of(recordings["opus"])
    in_turn = [page for pair in zip_longest(first, second, fillvalue=b"") for page in pair]
    one_after_other = [first[0], second[0], *first[1:], *second[1:]]
    assert hash_of_bytes(b"".join(in_turn)) == hash_of_bytes(b"".join(one_after_other))
    assert hash_of_bytes(b"".join(in_turn)) != hash_of_bytes(b"".join(in_turn[:-2]))


def test_chained_ogg_streams_all_count(recordings: dict[str, bytes]) -> None:
    # The same serial number twice: a new first page begins a new stream.
    once, twice = recordings["ogg"], recordings["ogg"] * 2
    first, chained = hash_of_bytes(once), hash_of_bytes(twice)
    assert chained == hashlib.sha256(first + first).digest()


def test_ogg_pages_may_be_laid_out_otherwise(recordings: dict[str, bytes]) -> None:
    def page(flags: int, sequence: int, lacing: bytes, body: bytes) -> bytes:
        return b"OggS" + struct.pack("<BBqIIIB", 0, flags, 0, 7, sequence, 0, len(lacing)) + lacing + body

    ident, comment, setup, audio = b"\x01vorbis" + b"i" * 23, b"\x03vorbis" + b"c" * 300, b"s" * 255, b"a" * 100
    narrow = (
        page(2, 0, bytes([30]), ident)
        + page(0, 1, bytes([255, 52]), comment)
        + page(0, 2, bytes([255]), setup)
        + page(1, 3, bytes([0]), b"")
        + page(0, 4, bytes([100]), audio)
    )
    wide = page(2, 0, bytes([30]), ident) + page(
        0, 1, bytes([255, 52, 255, 0, 100]), comment.replace(b"c", b"d") + setup + audio
    )
    expected = hashlib.sha256(ident + setup + audio).digest()
    assert hash_of_bytes(narrow) == hash_of_bytes(wide) == expected


def test_a_tag_behind_a_truncated_ogg_is_left_out(recordings: dict[str, bytes]) -> None:
    truncated = recordings["ogg"][:-50]
    assert hash_of_bytes(truncated + b"TAG" + bytes(125)) == hash_of_bytes(truncated) != hash_of_bytes(truncated[:-1])


def test_chunks_of_odd_length_are_stepped_over(recordings: dict[str, bytes]) -> None:
    data = recordings["wav"]
    assert hash_of_bytes(data[:12] + b"LIST\5\0\0\0abcde\0" + data[12:]) == hash_of_bytes(data)


def test_length_of_a_streamed_wav_may_be_unknown(recordings: dict[str, bytes]) -> None:
    data = recordings["wav"]
    at = data.index(b"data") + 4
    streamed = data[:at] + b"\xff" * 4 + data[at + 4 :]
    assert hash_of_bytes(streamed) == hash_of_bytes(data)


def test_unknown_content_is_hashed_whole() -> None:
    data = b"neither fish nor flesh" * 100
    assert audio_hash(io.BytesIO(data)) == (Container.UNKNOWN, hashlib.sha256(data).digest())


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=60, deadline=None)
@given(length=st.integers(0, 6000), edits=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=8))
def test_damaged_files_have_a_hash_too(kind: str, folder: Path, length: int, edits: list[tuple[int, int]]) -> None:
    damaged = bytearray((folder / f"a.{kind}").read_bytes()[:length])
    for position, byte in edits:
        damaged[position : position + 1] = bytes([byte])
    assert len(hash_of_bytes(bytes(damaged))) == 32


def test_a_file_of_empty_parts_ends() -> None:
    hostile = b"RIFF\0\0\0\0WAVE" + b"data\0\0\0\0" * 400_000
    assert len(hash_of_bytes(hostile)) == 32


def test_mutagen_writes_what_these_tests_are_about(tmp_path: Path, recordings: dict[str, bytes]) -> None:
    path = tmp_path / "a.ogg"
    path.write_bytes(recordings["ogg"])
    write_tags(path, picture=PICTURE)
    assert len(pages_of(path.read_bytes())) > len(pages_of(recordings["ogg"]))
    assert mutagen.File(path).tags["title"] == ["Title"]
