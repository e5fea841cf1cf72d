from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from training.listening.ratings import PlaylistUnknown, RatedAlready, Rating, RatingFile, read_ratings
from training.listening.study import StudyInvalid

_GOOD: dict[str, Any] = {"rater": "Ada", "playlist": "p1", "relevance": 4, "serendipity": 2, "satisfaction": 5}


def _rating(**changes: Any) -> Rating:
    return Rating(**(_GOOD | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"relevance": 6}, {"relevance": 0}, {"serendipity": True}, {"satisfaction": 3.5}, {"satisfaction": "3"},
        {"rater": "  "}, {"rater": "x" * 41}, {"rater": "a\nb"}, {"comment": "x" * 501}, {"encoder": "guess"},
    ],
)  # fmt: skip
def test_what_is_no_rating_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        _rating(**changes)


def test_ratings_are_read_back_as_they_were_given(tmp_path: Path) -> None:
    path = tmp_path / "ratings.jsonl"
    file = RatingFile(path, ["p1", "p2"])
    given = [_rating(rater='<img src=x onerror="1">'), _rating(playlist="p2", comment="schön,\nlaut")]
    for rating in given:
        file.append(rating)

    assert read_ratings(path) == given
    assert len(path.read_bytes().splitlines()) == 2


@pytest.mark.parametrize("comment", ["a\u2028b", "a\u2029b", "a\x85b", "a\x1cb", "a\x0bb", "a\rb", "a\r\nb"])
def test_a_comment_with_any_line_break_is_one_line(tmp_path: Path, comment: str) -> None:
    path = tmp_path / "ratings.jsonl"
    given = [_rating(comment=comment), _rating(playlist="p2")]
    for rating in given:
        RatingFile(path, ["p1", "p2"]).append(rating)

    assert read_ratings(path) == given


def test_a_listener_rates_a_playlist_once_also_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "ratings.jsonl"
    RatingFile(path, ["p1"]).append(_rating())
    file = RatingFile(path, ["p1"])
    before = path.read_bytes()

    with pytest.raises(RatedAlready, match="Ada has rated this playlist already"):
        file.append(_rating(relevance=1))

    assert path.read_bytes() == before
    file.append(_rating(rater="Bob"))
    assert file.rated_by("Bob") == ["p1"]


def test_a_playlist_of_another_test_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlaylistUnknown, match="no playlist 'p1' in this test"):
        RatingFile(tmp_path / "ratings.jsonl", ["p2"]).append(_rating())
    assert not (tmp_path / "ratings.jsonl").exists()


def test_a_line_that_a_crash_cut_is_dropped_and_may_be_given_again(tmp_path: Path) -> None:
    path = tmp_path / "ratings.jsonl"
    file = RatingFile(path, ["p1", "p2"])
    file.append(_rating())
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"rater": "Ada", "playl')

    RatingFile(path, ["p1", "p2"]).append(_rating(playlist="p2"))

    assert path.read_bytes().startswith(whole)
    assert [rating.playlist for rating in read_ratings(path)] == ["p1", "p2"]


@pytest.mark.parametrize("line", [b"[1, 2]", b"", b"\xff", b"[" * 100_000], ids=lambda line: repr(line[:9]))
def test_a_file_that_holds_something_else_is_refused_with_its_line(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "ratings.jsonl"
    RatingFile(path, ["p1"]).append(_rating())
    path.write_bytes(path.read_bytes() + line + b"\n")

    with pytest.raises(StudyInvalid, match="line 2 is no rating"):
        RatingFile(path, ["p1"])
