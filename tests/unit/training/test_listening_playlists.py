import numpy as np
import pytest

from training.catalogue import Track
from training.listening.playlists import ListeningTestImpossible, PlaylistRules, choose_seeds, make_playlist


def _track(group: str, name: str) -> Track:
    return Track(f"{group}/{name}.ogg", group, "", "none", name, "", "", 60.0)


_LIBRARY = [_track(group, str(number)) for group in "abc" for number in range(4)]


def _on_circle(*degrees: float) -> np.ndarray:
    turn = np.radians(np.array(degrees))
    return np.stack([np.cos(turn), np.sin(turn)], axis=1).astype(np.float32)


def test_a_playlist_holds_the_nearest_tracks_with_at_most_so_many_of_a_soundtrack() -> None:
    vectors = _on_circle(0, 1, 2, 3, 10, 40, 30, 20, 90, 80, 70, 60)

    playlist = make_playlist(_LIBRARY, vectors, 0, PlaylistRules(length=6, per_soundtrack=2))

    assert playlist == [1, 2, 4, 7, 11, 10]


def test_equally_near_tracks_are_ordered_by_path() -> None:
    vectors = np.ones((12, 1), np.float32)

    assert make_playlist(_LIBRARY, vectors, 5, PlaylistRules(length=5, per_soundtrack=4)) == [0, 1, 2, 3, 4]


def test_a_library_that_is_too_small_for_the_rules_is_refused() -> None:
    with pytest.raises(ListeningTestImpossible, match="needs 7 tracks, 6 are left of 12 with at most 2 per soundtrack"):
        make_playlist(_LIBRARY, np.ones((12, 1), np.float32), 0, PlaylistRules(length=7, per_soundtrack=2))


def test_seeds_come_from_all_soundtracks_and_are_the_same_for_any_order_of_the_library() -> None:
    chosen = choose_seeds(_LIBRARY, 5, 1)

    assert {_LIBRARY[at].group for at in chosen[:3]} == {"a", "b", "c"}
    assert len(set(chosen)) == 5
    backwards = _LIBRARY[::-1]
    assert [backwards[at] for at in choose_seeds(backwards, 5, 1)] == [_LIBRARY[at] for at in chosen]
    assert choose_seeds(_LIBRARY, 5, 2) != chosen


def test_named_seeds_are_taken_and_unknown_ones_refused() -> None:
    assert choose_seeds(_LIBRARY, 5, 1, ["c/3.ogg", "a/0.ogg", "c/3.ogg"]) == [11, 0]
    with pytest.raises(ListeningTestImpossible, match=r"not among the 12 tracks: d/0\.ogg"):
        choose_seeds(_LIBRARY, 5, 1, ["a/0.ogg", "d/0.ogg"])


def test_more_seeds_than_tracks_are_refused() -> None:
    with pytest.raises(ListeningTestImpossible, match="13 seeds are wanted, the library has 12 tracks"):
        choose_seeds(_LIBRARY, 13, 1)
