"""Registrations: checked one by one, cleaned, and compared with what was there."""

import hashlib
import math
from dataclasses import replace

import pytest

from services.chassis.errors import DomainError
from services.social.domain.catalog import (
    Outcome,
    Registration,
    TrackFile,
    check_location,
    check_registration,
    check_registrations,
    folder_of,
    is_news_to_index,
    outcome_of,
    title_of,
)


def sha(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


GIVEN = Registration(
    relative_path=b"Album/01 - Song.ogg",
    file_hash=sha("file"),
    audio_hash=sha("audio"),
    size_bytes=1_000,
    content_type="audio/ogg",
    title="Sóng",
    artist="Bänd",
    album="Album",
    raw_genre="Post-Punk",
    year=1980,
    duration_seconds=61.5,
)


def test_registration_is_kept_with_what_follows_from_it() -> None:
    assert check_registration(GIVEN) == TrackFile(
        relative_path=b"Album/01 - Song.ogg",
        file_hash=sha("file"),
        audio_hash=sha("audio"),
        size_bytes=1_000,
        content_type="audio/ogg",
        title="Sóng",
        artist="Bänd",
        album="Album",
        raw_genre="Post-Punk",
        genre="Rock",
        is_genre_known=True,
        year=1980,
        header_seconds=61.5,
        sub_genres=["Post-Punk"],
        source_tags=[],
        isrc=None,
        musicbrainz_recording_id=None,
        musicbrainz_artist_id=None,
        musicbrainz_release_id=None,
        licence="",
        source="",
        mtime_ns=None,
        has_cover=None,
        artist_key="band",
        search_title="song",
        search_text="song band album",
        search_jamo="",
        search_initials="",
    )


SAID = replace(
    GIVEN,
    genre="Jazz",
    sub_genres=["Free Jazz", " Free Jazz", "Be-Bop"],
    tags=["live", "2 a.m."],
    isrc="KRA381001057",
    musicbrainz_recording_id="0f5ab3c4-6a3c-4d3c-9f6e-0d1c3b8f5b11",
    licence="CC BY 4.0",
    source="fma",
    mtime_ns=1_700_000_000_123_456_789,
    previous_path=b"Old/song.ogg",
)


def test_what_a_source_says_is_kept() -> None:
    file = check_registration(SAID)
    assert (file.genre, file.is_genre_known, file.raw_genre) == ("Jazz", True, "Post-Punk")
    assert (file.sub_genres, file.source_tags) == (["Free Jazz", "Be-Bop"], ["live", "2 a.m."])
    assert (file.isrc, file.musicbrainz_recording_id) == ("KRA381001057", SAID.musicbrainz_recording_id)
    assert (file.licence, file.source, file.mtime_ns) == ("CC BY 4.0", "fma", 1_700_000_000_123_456_789)
    loud = replace(SAID, isrc="kra381001057", musicbrainz_recording_id=SAID.musicbrainz_recording_id.upper())
    assert check_registration(loud) == file


@pytest.mark.parametrize(
    ("changes", "field", "reason"),
    [
        ({"genre": "Zeuhl"}, "genre", "MALFORMED"),
        ({"isrc": "KR-A38-10-01057"}, "isrc", "MALFORMED"),
        ({"isrc": "KR1381001057A"}, "isrc", "MALFORMED"),
        ({"isrc": "KRA38100105٧"}, "isrc", "MALFORMED"),
        ({"musicbrainz_recording_id": "0f5ab3c46a3c4d3c9f6e0d1c3b8f5b11"}, "musicbrainz_recording_id", "MALFORMED"),
        ({"musicbrainz_artist_id": "x"}, "musicbrainz_artist_id", "MALFORMED"),
        ({"musicbrainz_release_id": "x"}, "musicbrainz_release_id", "MALFORMED"),
        ({"sub_genres": ["a"] * 21}, "sub_genres", "OUT_OF_RANGE"),
        ({"sub_genres": ["a" * 101]}, "sub_genres", "OUT_OF_RANGE"),
        ({"tags": ["a"] * 51}, "tags", "OUT_OF_RANGE"),
        ({"tags": ["a", " "]}, "tags", "REQUIRED"),
        ({"licence": "a" * 501}, "licence", "OUT_OF_RANGE"),
        ({"source": "a" * 51}, "source", "OUT_OF_RANGE"),
        ({"mtime_ns": -1}, "mtime_ns", "OUT_OF_RANGE"),
        ({"previous_path": b"/a"}, "previous_path", "MALFORMED"),
        ({"previous_path": b"a" * 4_097}, "previous_path", "OUT_OF_RANGE"),
    ],
)
def test_what_a_source_cannot_say_is_refused(changes: dict[str, object], field: str, reason: str) -> None:
    with pytest.raises(DomainError) as refusal:
        check_registration(replace(SAID, **changes))  # type: ignore[arg-type]  # any field
    assert (refusal.value.field, refusal.value.reason) == (field, reason)


@pytest.mark.parametrize(
    ("raw_genre", "names"),
    [
        ("Rock", []),
        ("", []),
        ("Indie; rock ;Zeuhl; Indie", ["Indie", "Zeuhl"]),
        ("Big Band/Swing", ["Big Band/Swing"]),
        ("x" * 101 + ";y", ["y"]),
        (";".join(f"g{number}" for number in range(30)), [f"g{number}" for number in range(20)]),
    ],
)
def test_genres_beside_the_sixteen_are_sub_genres(raw_genre: str, names: list[str]) -> None:
    assert check_registration(replace(GIVEN, raw_genre=raw_genre)).sub_genres == names


def test_only_what_indexes_know_is_their_news() -> None:
    file = check_registration(SAID)
    for same in ({"licence": "CC0"}, {"mtime_ns": 5}, {"relative_path": b"Album/02 - Song.ogg"}, {"isrc": ""}):
        assert not is_news_to_index(check_registration(replace(SAID, **same)), file), same
    for other in ({"title": "Song"}, {"genre": "Pop"}, {"relative_path": b"Else/01 - Song.ogg"}, {"year": 1981}):
        assert is_news_to_index(check_registration(replace(SAID, **other)), file), other


def test_text_becomes_nfc_on_one_line() -> None:
    file = check_registration(replace(GIVEN, title=" A\u0308\n\x00B ", artist="\t"))
    assert (file.title, file.artist) == ("Ä B", "")


@pytest.mark.parametrize(
    ("path", "title"),
    [
        (b"a/01 - Some_Song.ogg", "Some Song"),
        (b"1-07. Intro.flac", "Intro"),
        (b"03 Song.mp3", "Song"),
        (b"12. Song.mp3", "Song"),
        (b"07_-_song_of__joy.ogg", "song of joy"),
        (b"24-7.mp3", "24-7"),
        (b"Vol. 1.5.flac", "Vol. 1.5"),
        (b"Wait....mp3", "Wait..."),
        ("\u1100\u1161.mp3".encode(), "가"),
        (b"99 Luftballons.mp3", "99 Luftballons"),
        (b"1999.mp3", "1999"),
        (b"07.mp3", "07"),
        (b".hidden", "hidden"),
        (b"___.mp3", "Untitled"),
        (b"\xff\xfe.ogg", "\ufffd\ufffd"),
        ("좋은 날.mp3".encode(), "좋은 날"),
        (b"x" * 600 + b".ogg", "x" * 500),
    ],
)
def test_missing_title_is_the_cleaned_file_name(path: bytes, title: str) -> None:
    assert title_of(path) == title
    assert check_registration(replace(GIVEN, relative_path=path, title="  ")).title == title


def test_folder_stands_below_the_root() -> None:
    assert (folder_of(b"a/b/c.ogg"), folder_of(b"c.ogg"), folder_of(b"\xff/c.ogg")) == ("a/b", "", "\ufffd")


@pytest.mark.parametrize(
    ("change", "reason", "field"),
    [
        ({"relative_path": b""}, "REQUIRED", "relative_path"),
        ({"relative_path": b"a" * 4_097}, "OUT_OF_RANGE", "relative_path"),
        ({"relative_path": b"/etc/passwd"}, "MALFORMED", "relative_path"),
        ({"relative_path": b"a/../../b"}, "MALFORMED", "relative_path"),
        ({"relative_path": b"a//b"}, "MALFORMED", "relative_path"),
        ({"relative_path": b"a\0b"}, "MALFORMED", "relative_path"),
        ({"file_hash": b"short"}, "MALFORMED", "file_hash"),
        ({"audio_hash": b""}, "MALFORMED", "audio_hash"),
        ({"size_bytes": 0}, "OUT_OF_RANGE", "size_bytes"),
        ({"content_type": ""}, "REQUIRED", "content_type"),
        ({"title": "t" * 501}, "OUT_OF_RANGE", "title"),
        ({"raw_genre": "g" * 501}, "OUT_OF_RANGE", "raw_genre"),
        ({"year": -1}, "OUT_OF_RANGE", "year"),
        ({"duration_seconds": math.nan}, "MALFORMED", "duration_seconds"),
        ({"duration_seconds": -0.1}, "OUT_OF_RANGE", "duration_seconds"),
        ({"duration_seconds": math.inf}, "OUT_OF_RANGE", "duration_seconds"),
    ],
)
def test_wrong_registration_is_refused_and_spoils_no_other(change: dict[str, object], reason: str, field: str) -> None:
    wrong = replace(GIVEN, **change)  # type: ignore[arg-type]  # any field
    good = replace(GIVEN, relative_path=b"other.ogg")
    refusal, kept = check_registrations([wrong, good])
    assert isinstance(refusal, DomainError)
    assert (refusal.reason, refusal.field) == (reason, field)
    assert kept == check_registration(good)


def test_second_registration_of_a_path_in_a_call_is_refused() -> None:
    first, second = check_registrations([GIVEN, GIVEN])
    assert isinstance(first, TrackFile)
    assert isinstance(second, DomainError)


def test_outcome_follows_from_what_was_there() -> None:
    file = check_registration(GIVEN)
    assert outcome_of(file, None) is Outcome.CREATED
    assert outcome_of(file, file) is Outcome.UNCHANGED
    assert outcome_of(file, replace(file, title="Other")) is Outcome.RETAGGED
    assert outcome_of(file, replace(file, file_hash=sha("re-tagged"))) is Outcome.RETAGGED
    assert outcome_of(file, replace(file, audio_hash=sha("other"))) is Outcome.REPLACED


@pytest.mark.parametrize(
    ("given", "kept"), [("/music", "/music"), ("/music//a/", "/music/a"), ("//music", "/music"), ("/", "/")]
)
def test_location_is_normalised(given: str, kept: str) -> None:
    assert check_location(given) == kept


@pytest.mark.parametrize("location", ["", "music", "./music", "/music/../etc", "/a\0b", "/" + "a" * 4_096])
def test_location_that_is_no_absolute_path_is_refused(location: str) -> None:
    with pytest.raises(DomainError) as refusal:
        check_location(location)
    assert refusal.value.field == "location"
