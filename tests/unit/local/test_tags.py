import io
import struct
import zlib
from pathlib import Path

import mutagen
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutagen.apev2 import APEv2
from mutagen.id3 import ID3, TCON, TIT2, TSRC, TXXX, UFID

from deploy.local import tags
from deploy.local.tags import TagsError, TagsTooLargeError, clean_text, read_tags
from services.gateway.covers.embedded import embedded_picture
from tests.fixtures.recordings import TAGGED_FORMATS, write_recording, write_tags
from tests.unit.gateway.test_covers import JPEG

RECORDING_ID = "b1a9c0e9-d987-4042-ae91-78d6a3267d69"
ARTIST_ID, RELEASE_ID = "83d91898-7763-47d7-b03b-b92132375c47", "f5093c06-23e3-404f-aeaa-40f72885ee3a"


def read_from(path: Path, name: str | None = None) -> tags.Tags:
    with path.open("rb") as file:
        return read_tags(file, name or path.name)


@pytest.mark.parametrize("kind", TAGGED_FORMATS)
def test_every_format_gives_the_same_tags(kind: str, tmp_path: Path) -> None:
    path = write_recording(tmp_path / f"a.{kind}", kind)
    write_tags(path, title="제목", artist="Åse", picture=bytes(50_000))
    found = read_from(path)
    assert (found.title, found.artist, found.album, found.genre) == ("제목", "Åse", "Album", "Jazz")
    assert (found.year, found.track_number) == (1999, 3)
    assert found.duration_s == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize("kind", TAGGED_FORMATS)
def test_missing_tags_are_none(kind: str, tmp_path: Path) -> None:
    found = read_from(write_recording(tmp_path / f"a.{kind}", kind))
    assert (found.title, found.artist, found.album, found.genre, found.year) == (None,) * 5
    assert (found.track_number, found.isrc, found.musicbrainz_recording_id) == (None,) * 3


@pytest.mark.parametrize("kind", TAGGED_FORMATS)
def test_pictures_are_those_that_the_gateway_shows(kind: str, tmp_path: Path) -> None:
    path = write_recording(tmp_path / f"a.{kind}", kind)
    assert not read_from(path).has_picture
    for picture in (b"<svg/>", JPEG):
        header = struct.pack("<BI", 3, len(picture)) + "image/jpeg\0\0".encode("utf-16-le") if kind == "wma" else b""
        write_tags(path, picture=header + picture)
        assert read_from(path).has_picture == (picture == JPEG)
        with path.open("rb") as file:
            assert (embedded_picture(file, 1_000) == JPEG) == (picture == JPEG)


def test_picture_that_cannot_be_read_leaves_no_file_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_recording(tmp_path / "a.flac", "flac")
    write_tags(path, title="Here", picture=JPEG)

    def fail(found: object) -> None:
        raise TypeError("a parser's bug")

    monkeypatch.setattr(tags, "shown_pictures", fail)
    found = read_from(path)
    assert (found.title, found.has_picture) == ("Here", False)


def test_identifiers_are_read_where_they_are_well_formed(tmp_path: Path) -> None:
    ogg = write_recording(tmp_path / "a.ogg", "ogg")
    file = mutagen.File(ogg)
    file["isrc"], file["musicbrainz_trackid"] = "us-rc1-76-07839", RECORDING_ID.upper()
    file["musicbrainz_artistid"], file["musicbrainz_albumid"] = ARTIST_ID, RELEASE_ID
    file.save()
    mp3 = write_recording(tmp_path / "a.mp3", "mp3")
    id3 = ID3()
    id3.add(TSRC(encoding=3, text=["not an isrc"]))
    id3.add(UFID(owner="http://musicbrainz.org", data=RECORDING_ID.encode()))
    id3.add(TXXX(encoding=3, desc="MusicBrainz Artist Id", text=[ARTIST_ID, RELEASE_ID]))
    id3.add(TXXX(encoding=3, desc="MusicBrainz Album Id", text=[RELEASE_ID]))
    id3.save(mp3)
    m4a = write_recording(tmp_path / "a.m4a", "m4a")
    file = mutagen.File(m4a)
    file["----:com.apple.iTunes:ISRC"] = [b"USRC17607839"]
    file["----:com.apple.iTunes:MusicBrainz Track Id"] = [RECORDING_ID.encode()]
    file["----:com.apple.iTunes:MusicBrainz Artist Id"] = [ARTIST_ID.encode()]
    file["----:com.apple.iTunes:MusicBrainz Album Id"] = [b"none"]
    file.save()
    read = [(found.isrc, found.musicbrainz_recording_id) for found in map(read_from, (ogg, mp3, m4a))]
    assert read == [("USRC17607839", RECORDING_ID), (None, RECORDING_ID), ("USRC17607839", RECORDING_ID)]
    # Several artists are nobody's id.
    ids = [(found.musicbrainz_artist_id, found.musicbrainz_release_id) for found in map(read_from, (ogg, mp3, m4a))]
    assert ids == [(ARTIST_ID, RELEASE_ID), (None, RELEASE_ID), (ARTIST_ID, None)]


def test_several_artists_are_joined_and_of_several_titles_the_first_is_taken(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.flac", "flac")
    file = mutagen.File(path)
    file["artist"], file["title"], file["genre"] = ["A", " ", "B"], ["", "one", "two"], ["Jazz", "Funk"]
    file.save()
    found = read_from(path)
    assert (found.artist, found.title, found.genre) == ("A, B", "one", "Jazz")


def test_an_mp3_with_only_an_ape_tag_is_read(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.mp3", "mp3")
    tag = APEv2()
    tag["Title"], tag["Artist"], tag["Year"], tag["Track"] = "T", ["A", "B"], "2001", "7/8"
    tag.save(path)
    found = read_from(path)
    assert (found.title, found.artist, found.year, found.track_number) == ("T", "A, B", 2001, 7)


def test_numbers_of_genres_are_resolved(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.mp3", "mp3")
    id3 = ID3()
    id3.add(TCON(encoding=3, text=["(17)"]))
    id3.save(path)
    assert read_from(path).genre == "Rock"


@pytest.mark.parametrize(
    ("text", "year"),
    [("1999-05-06", 1999), ("06.05.1999", 1999), ("99", None), ("12345", None), ("", None), ("0000", None)],
)
def test_years_are_four_digits(text: str, year: int | None) -> None:
    assert tags._year(text) == year


@pytest.mark.parametrize(("text", "number"), [("3/12", 3), ("007", 7), ("0", None), ("A1", None), ("12345", None)])
def test_track_numbers_are_read_before_the_total(text: str, number: int | None) -> None:
    assert tags._track_number(text) == number


@pytest.mark.parametrize("kind", TAGGED_FORMATS)
@pytest.mark.parametrize("name", ["a.mp3", "a.ogg", "a.flac", "a.wav", "a.m4a", "a.ac3", "a"])
def test_any_name_will_do(kind: str, name: str, tmp_path: Path) -> None:
    path = write_recording(tmp_path / f"a.{kind}", kind)
    write_tags(path, title="Title", artist="Artist")
    assert read_from(path, name) == read_from(path)


def test_the_content_decides_not_the_extension(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.ogg", "mp3")
    write_tags(path)
    assert read_from(path).title == "Title"


@pytest.mark.parametrize("data", [b"no audio at all" * 100, b"RIFF", b"OggS", b"fLaC", b"\0" * 4096, b"ID3"])
def test_what_is_no_audio_is_refused(data: bytes) -> None:
    with pytest.raises(TagsError):
        read_tags(io.BytesIO(data), "a.ogg")


def test_a_midi_file_is_no_audio() -> None:
    midi = b"MThd\0\0\0\6\0\0\0\1\0\x60" + b"MTrk\0\0\0\x04\0\xff\x2f\0"
    with pytest.raises(TagsError, match="no audio format is recognised"):
        read_tags(io.BytesIO(midi), "a.mid")


@pytest.mark.parametrize("kind", ["mp3", "flac", "ogg"])
def test_tags_over_the_limit_are_refused_before_they_are_read(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tags, "MAX_TAG_BYTES", 600_000)
    path = write_recording(tmp_path / f"a.{kind}", kind)
    write_tags(path, picture=bytes(200_000))
    assert read_from(path).title == "Title"
    write_tags(path, picture=bytes(700_000))
    with pytest.raises(TagsTooLargeError, match="tags take more than 600000 bytes to read"):
        read_from(path)


def test_a_file_that_grows_without_end_is_read_to_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.mp3"
    with path.open("wb") as file:
        # Declares the longest tag there is, 256 MiB, on a sparse file.
        file.write(b"ID3\x04\0\0\x7f\x7f\x7f\x7f")
        file.truncate(300 << 20)
    with pytest.raises(TagsTooLargeError):
        read_from(path)


def test_a_failing_disk_is_told_from_a_bad_file(tmp_path: Path) -> None:
    class FailingFile(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 100:
                raise OSError(5, "Input/output error")
            return super().read(size)

    data = write_recording(tmp_path / "a.flac", "flac").read_bytes()
    with pytest.raises(OSError, match="Input/output error"):
        read_tags(FailingFile(data), "a.flac")


def test_text_is_composed_freed_of_controls_and_cut() -> None:
    assert clean_text("  a\x00\tb\n\u202ec\x1b[31m \ud800d ") == "a b c[31m d"
    assert clean_text("e\u0301\u1112\u1161\u11ab") == "é한"
    assert clean_text("e\x07\u0301") == "é"
    assert clean_text("x" * 501) == "x" * 500
    assert clean_text(" \x00 ") == ""
    assert len(clean_text("e" + "\u0301\u0327" * 1_000_000)) <= 500


@given(st.text())
def test_cleaning_is_idempotent(text: str) -> None:
    once = clean_text(text)
    assert clean_text(once) == once
    once.encode()


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tagged")
    for kind in TAGGED_FORMATS:
        write_tags(write_recording(folder / f"a.{kind}", kind), picture=bytes(500))
    return folder


@pytest.mark.parametrize("kind", TAGGED_FORMATS)
@settings(max_examples=80, deadline=None)
@given(length=st.integers(0, 9000), edits=st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=4)), max_size=6))
def test_damaged_tags_raise_nothing_else(kind: str, tagged: Path, length: int, edits: list[tuple[int, bytes]]) -> None:
    damaged = bytearray((tagged / f"a.{kind}").read_bytes()[:length])
    for position, piece in edits:
        damaged[position : position + len(piece)] = piece
    try:
        found = read_tags(io.BytesIO(damaged), f"a.{kind}")
    except TagsError:
        return
    assert 0 <= found.duration_s < float("inf")
    assert all(len(text) <= 500 for text in (found.title, found.artist, found.album, found.genre) if text)


def test_a_compressed_frame_is_read(tmp_path: Path) -> None:
    # The bomb of the integration tests is of this make: this one shows that it would have gone off.
    path = write_recording(tmp_path / "a.mp3", "mp3")
    path.write_bytes(compressed_title(b"\x03Squeezed") + path.read_bytes())
    assert read_from(path).title == "Squeezed"


def compressed_title(content: bytes) -> bytes:
    packed = struct.pack(">I", len(content)) + zlib.compress(content, 9)
    frame = b"TIT2" + struct.pack(">I", len(packed)) + b"\x00\x80" + packed
    size = len(frame)
    return b"ID3\x03\0\0" + bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0)) + frame


def test_unknown_frames_do_not_matter(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.mp3", "mp3")
    id3 = ID3()
    id3.add(TXXX(encoding=3, desc="x", text=["y" * 10_000]))
    id3.add(TIT2(encoding=3, text=["t" * 10_000]))
    id3.save(path)
    assert read_from(path).title == "t" * 500
