from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.social.domain.avatar import PALETTE, draw, etag_of
from services.social.domain.genres import GENRES
from services.social.domain.ranges import shares

GOLDEN = Path(__file__).parents[2] / "fixtures" / "avatars"
PICTURES: dict[str, dict[str, int]] = {
    "nothing": {},
    "one": {"Jazz": 12},
    "two": {"Rock": 3, "Pop": 1},
    "rare": {"Electronic": 995, "Spoken": 5},
    "all": {genre: number + 1 for number, genre in enumerate(GENRES)},
}


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_are_those_that_were_drawn_before(name: str) -> None:
    assert draw(shares(PICTURES[name])) == (GOLDEN / f"{name}.svg").read_bytes()


@given(st.dictionaries(st.sampled_from([*GENRES, "<script>", "Unheard"]), st.integers(0, 10**6)))
def test_any_taste_is_a_small_picture_of_known_colours_without_words(counts: dict[str, int]) -> None:
    svg = draw(shares(counts))
    assert svg == draw(shares(dict(reversed(counts.items()))))
    assert len(svg) < 8 * 1024
    root = ElementTree.fromstring(svg)
    assert {element.tag.rpartition("}")[2] for element in root.iter()} <= {"svg", "path", "circle"}
    colours = {value for element in root for name, value in element.items() if name in ("fill", "stroke")}
    assert colours <= {*PALETTE, "#c3c8cf", "none"}
    assert not "".join(root.itertext()).strip()


def test_no_two_genres_share_a_colour() -> None:
    assert len(set(PALETTE)) == len(GENRES) == 16


def test_another_picture_has_another_mark() -> None:
    marks = [etag_of(draw(shares(counts))) for counts in PICTURES.values()]
    assert len(set(marks)) == len(marks)
    assert all(len(mark) == 32 for mark in marks)


def test_one_more_play_among_thousands_changes_nothing() -> None:
    assert draw(shares({"Rock": 3_000, "Pop": 1_000})) == draw(shares({"Rock": 3_001, "Pop": 1_000}))
