import unicodedata

import pytest

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
