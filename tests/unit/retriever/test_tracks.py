import unicodedata

import pytest

from services.retriever.recordings import Recordings
from services.retriever.tracks import Track, fold

DECOMPOSED = unicodedata.normalize("NFD", "좋은 날")


@pytest.mark.parametrize(
    ("text", "folded"),
    [("  Motörhead ", "motörhead"), ("STRASSE", "strasse"), ("Straße", "strasse"), (DECOMPOSED, "좋은 날"), (" ", "")],
)
def test_fold_makes_spellings_of_one_name_equal(text: str, folded: str) -> None:
    assert fold(text) == folded


@pytest.mark.parametrize(
    ("track", "key"),
    [
        (Track("t", artist="Björk", album="Post", folder="b"), ("artist", "björk")),
        (Track("t", artist="  ", album="Post", folder="b"), ("album", "post")),
        (Track("t", folder="games/Wesnoth"), ("folder", "games/Wesnoth")),
        (Track("t"), ("track", "t")),
    ],
)
def test_artist_key_falls_back_to_album_then_folder_then_the_track_itself(track: Track, key: tuple[str, str]) -> None:
    assert track.artist_key == key


def test_an_artist_and_an_album_of_one_name_are_not_the_same() -> None:
    assert Track("a", artist="Weezer").artist_key != Track("b", album="Weezer").artist_key


HASH = b"\1" * 32
KNOWN = Track("known", title="Song", artist="Band", duration_s=200.0, audio_hash=HASH)


@pytest.mark.parametrize(
    ("track", "is_same"),
    [
        (Track("other", audio_hash=HASH), True),
        (Track("other", title="SONG ", artist="band", duration_s=202.0), True),
        (Track("other", title="song", artist="Band", duration_s=198.0), True),
        (Track("other", title="Song", artist="Band", duration_s=202.001), False),
        (Track("other", title="Song", artist="Cover Band", duration_s=200.0), False),
        (Track("other", title="Song", duration_s=200.0), False),
        (Track("other", artist="Band", duration_s=200.0), False),
        (Track("other", audio_hash=b"\2" * 32), False),
    ],
)
def test_same_recording(track: Track, is_same: bool) -> None:
    recordings = Recordings()
    recordings.add(KNOWN)
    assert (track in recordings) is is_same


def test_tracks_without_any_description_are_different_recordings() -> None:
    recordings = Recordings()
    recordings.add(Track("a"))
    recordings.add_hash(b"")
    assert Track("b") not in recordings
