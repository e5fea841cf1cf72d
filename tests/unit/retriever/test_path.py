from collections import Counter
from dataclasses import replace
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.retriever.errors import ConstraintsUnreachable, SeedsCancel
from services.retriever.filters import TrackFilter
from services.retriever.index.index import TrackIndex
from services.retriever.library import Nearest, Wanted
from services.retriever.playlist import path as path_module
from services.retriever.playlist.path import PathRecipe, build_path
from services.retriever.playlist.path_pool import great_circle
from services.retriever.playlist.playlist import Playlist
from services.retriever.playlist.recipe import Seed
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track


def at_angle(degrees: float) -> Float32Array:
    radians = np.deg2rad(degrees)
    return np.array([np.cos(radians), np.sin(radians)], dtype=np.float32)


def index_of(rows: dict[str, tuple[float, str]]) -> TrackIndex:
    """A library of tracks, each at an angle and by an artist."""
    index = TrackIndex("enc")
    for track_id, (degrees, artist) in rows.items():
        index.upsert(Track(track_id, artist=artist), at_angle(degrees))
    return index


def seed(index: TrackIndex, track_id: str) -> Seed:
    return Seed(index.vector(track_id), track=index.track(track_id))


def path(index: TrackIndex, length: int, max_per_artist: int = 3, wanted: TrackFilter | None = None) -> Playlist:
    return build_path(index, seed(index, "from"), seed(index, "to"), PathRecipe(length, max_per_artist), wanted=wanted)


def ids(playlist: Playlist) -> list[str]:
    return [each.track.track_id for each in playlist.tracks]


ENDS = {"from": (0.0, "F"), "to": (90.0, "T")}


def test_the_points_lie_at_equal_angles() -> None:
    points = great_circle(at_angle(0), at_angle(90), 2)
    assert points == pytest.approx(np.stack([at_angle(30), at_angle(60)]), abs=1e-6)
    assert great_circle(at_angle(10), at_angle(10), 2) == pytest.approx(np.stack([at_angle(10)] * 2), abs=1e-6)
    with pytest.raises(SeedsCancel):
        great_circle(at_angle(0), at_angle(180), 2)


def test_each_place_gets_the_track_nearest_to_its_point() -> None:
    index = index_of(ENDS | {f"t{degrees}": (degrees, f"{degrees}") for degrees in (5, 31, 44, 58, 85, 120)})
    found = path(index, 4)
    assert ids(found) == ["from", "t31", "t58", "to"]
    assert [each.is_seed for each in found.tracks] == [True, False, False, True]
    assert [each.nearest_seed for each in found.tracks] == [0, 0, 1, 1]


def test_a_path_between_two_pressings_of_one_recording_goes_around_it() -> None:
    index = index_of({"from": (0.0, "A"), "to": (0.0, "A"), "b": (3.0, "B"), "c": (-8.0, "C"), "d": (90.0, "D")})
    for track_id in ("from", "to"):
        index.upsert(Track(track_id, version=1, artist="A", audio_hash=b"1" * 32), at_angle(0))
    index.upsert(Track("again", artist="E", audio_hash=b"1" * 32), at_angle(0))
    found = path(index, 4)
    assert ids(found)[0] == "from"
    assert ids(found)[-1] == "to"
    assert set(ids(found)[1:3]) == {"b", "c"}
    assert found.removed["same_recording"] == 1
    assert all(np.isfinite(each.similarity) for each in found.tracks)


def test_a_filter_is_for_what_lies_between() -> None:
    index = index_of(ENDS | {"near": (45, "N"), "far": (-30, "Y")})
    assert ids(path(index, 3, wanted=TrackFilter(artists=frozenset({"y"})))) == ["from", "far", "to"]


def test_an_artist_has_its_share_between_the_ends() -> None:
    index = index_of(ENDS | {f"t{degrees}": (degrees, "A") for degrees in (20, 40, 60)} | {"b": (-40, "B")})
    found = path(index, 4, max_per_artist=1)
    assert "b" in ids(found)
    assert found.removed["max_per_artist"] == 2


def test_the_ends_do_not_count_for_their_artists() -> None:
    index = index_of(ENDS | {"a": (45, "F")})
    assert ids(path(index, 3, max_per_artist=1)) == ["from", "a", "to"]


class Counting(TrackIndex):
    """An index that notes how many tracks were asked for."""

    asked = 0

    def nearest(self, query: Float32Array, count: int, wanted: Wanted | None = None) -> Nearest:
        self.asked += count
        return super().nearest(query, count, wanted)


def test_a_library_is_fetched_a_few_times_at_most_however_long_the_path() -> None:
    index = Counting("enc")
    rng = np.random.default_rng(1)
    for number in range(3000):
        index.upsert(Track(f"t{number}", artist=f"{number % 9}"), rng.standard_normal(8).astype(np.float32))
    with pytest.raises(ConstraintsUnreachable) as refused:
        build_path(index, seed(index, "t1"), seed(index, "t2"), PathRecipe(100))
    assert refused.value.value == "29"
    assert index.asked <= 3 * 3000


def test_rules_that_eat_up_the_nearest_make_it_look_further() -> None:
    crowd = {f"t{number}": (44 + number / 200, "A") for number in range(400)}
    index = index_of(ENDS | crowd | {"b": (80, "B"), "c": (85, "C")})
    assert ids(path(index, 5, max_per_artist=1))[2:] == ["b", "c", "to"]


def test_artists_are_kept_apart_though_that_is_longer() -> None:
    index = index_of(ENDS | {"a1": (29, "A"), "a2": (46, "A"), "b": (75, "B"), "far": (-60, "C")})
    found = path(index, 5)
    assert [each.track.artist for each in found.tracks] == ["F", "A", "B", "A", "T"]
    assert "artist_in_a_row_allowed" not in found.removed


def test_a_path_that_cannot_be_filled_is_refused_with_the_number_that_can() -> None:
    index = index_of(ENDS | {f"t{degrees}": (degrees, "A") for degrees in (20, 40, 60)} | {"b": (30, "B")})
    with pytest.raises(ConstraintsUnreachable) as refused:
        path(index, 8, max_per_artist=2)
    assert (refused.value.field, refused.value.value, refused.value.limit) == ("length", "5", "8")
    with pytest.raises(ConstraintsUnreachable) as refused:
        path(index_of(ENDS), 3)
    assert (refused.value.value, refused.value.limit) == ("2", "3")


def test_an_artist_follows_itself_only_where_there_is_nobody_else_and_it_is_told() -> None:
    index = index_of(ENDS | {f"t{degrees}": (degrees, "A") for degrees in (20, 40, 60)})
    found = path(index, 5)
    assert ids(found) == ["from", "t20", "t40", "t60", "to"]
    assert found.removed == {"artist_in_a_row_allowed": 2, "seed": 2}


def test_neither_end_is_beside_its_own_artist_where_another_one_would_do() -> None:
    index = index_of(ENDS | {"f": (44, "F"), "t": (46, "T"), "b": (80, "B")})
    found = path(index, 3)
    assert ids(found) == ["from", "b", "to"]
    assert found.removed == {"artist_in_a_row": 2}


def plays_nobody_twice(artists: list[str], first: str, last: str, places: int, max_per_artist: int) -> bool:
    """Whether so many of these artists' tracks can be put between two others so that none follows itself."""
    if places == 0:
        return first != last
    return any(
        plays_nobody_twice(
            [other for other in artists if other != artist] + [artist] * (min(count, max_per_artist) - 1),
            artist,
            last,
            places - 1,
            max_per_artist,
        )
        for artist, count in Counter(artists).items()
        if artist != first
    )


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32 - 1), st.lists(st.sampled_from("FTAB"), min_size=1, max_size=8), st.integers(1, 5))
def test_no_artist_follows_itself_on_a_path_where_that_can_be_avoided(
    number: int, artists: list[str], places: int
) -> None:
    rng = np.random.default_rng(number)
    rows = {str(place): (float(rng.uniform(-30, 120)), artist) for place, artist in enumerate(artists)}
    if plays_nobody_twice(artists, "F", "T", places, len(artists)):
        found = path(index_of(ENDS | rows), places + 2, max_per_artist=len(artists))
        assert "artist_in_a_row_allowed" not in found.removed


def test_what_is_missing_for_a_path_adds_up_to_the_library() -> None:
    index = index_of(ENDS | {f"t{degrees}": (degrees, "A") for degrees in (20, 40, 60)} | {"b": (30, "B")})
    wanted = TrackFilter(blocked_artists=frozenset({"b"}))
    with pytest.raises(ConstraintsUnreachable) as refused:
        path(index, 6, max_per_artist=2, wanted=wanted)
    assert refused.value.message.endswith("removed: max_per_artist=1, seed=2, filter=1")
    assert refused.value.value == "4"  # with both ends


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(3, 40), st.integers(1, 4), st.integers(3, 30))
def test_every_path_keeps_its_length_its_ends_and_the_share_of_artists(
    number: int, count: int, max_per_artist: int, length: int
) -> None:
    rng = np.random.default_rng(number)
    index = TrackIndex("enc")
    for track_id in ("from", "to", *map(str, range(count))):
        vector = rng.standard_normal(6).astype(np.float32)
        artist = str(rng.integers(0, 8))
        index.upsert(Track(track_id, artist=artist), vector)
    possible = sum(
        min(many, max_per_artist)
        for many in Counter(track.artist for track in index.tracks if track.track_id not in ("from", "to")).values()
    )
    if length > possible + 2:
        with pytest.raises(ConstraintsUnreachable) as refused:
            path(index, length, max_per_artist)
        assert int(refused.value.value or 0) <= possible + 2
        return
    found = path(index, length, max_per_artist)
    assert len(found.tracks) == length
    assert len(set(ids(found))) == length
    assert (ids(found)[0], ids(found)[-1]) == ("from", "to")
    between = Counter(each.track.artist for each in found.tracks[1:-1])
    assert max(between.values()) <= max_per_artist
    assert ids(path(index, length, max_per_artist)) == ids(found)


def test_a_path_is_smoother_than_its_tracks_by_similarity_or_by_chance() -> None:
    rng = np.random.default_rng(5)
    index = TrackIndex("enc")
    for number in range(3000):
        index.upsert(Track(f"t{number}", artist=f"{number % 700}"), rng.standard_normal(12).astype(np.float32))
    found = build_path(index, seed(index, "t1"), seed(index, "t2"), PathRecipe(12))
    vectors = np.stack([index.vector(track_id) for track_id in ids(found)])

    def steps(order: list[int]) -> float:
        return float((1 - (vectors[order[:-1]] * vectors[order[1:]]).sum(axis=1)).sum())

    by_chance = np.mean([steps([0, *rng.permutation(range(1, 11)), 11]) for _ in range(200)])
    to_start = sorted(range(1, 11), key=lambda row: -float(vectors[row] @ vectors[0]))
    assert steps(list(range(12))) < steps([0, *to_start, 11]) < by_chance


def test_a_filter_that_takes_nothing_is_counted() -> None:
    index = index_of(ENDS | {"b": (30, "B"), "c": (40, "C")})
    with pytest.raises(ConstraintsUnreachable) as refused:
        path(index, 4, wanted=TrackFilter(artists=frozenset({"nobody"})))
    assert refused.value.message.endswith("removed: filter=4")


def longest_step(index: TrackIndex, playlist: Playlist) -> float:
    vectors = np.stack([index.vector(track_id) for track_id in ids(playlist)]).astype(np.float64)
    return float((1 - (vectors[1:] * vectors[:-1]).sum(axis=1)).max())


def random_index(number: int, count: int, artists: int) -> TrackIndex:
    rng = np.random.default_rng(number)
    index = TrackIndex("enc")
    for track_id in ("from", "to", *map(str, range(count))):
        vector = rng.standard_normal(6).astype(np.float32)
        index.upsert(Track(track_id, artist=str(rng.integers(0, artists))), vector)
    return index


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.integers(30, 120), st.integers(3, 36))
def test_no_step_is_longer_than_where_each_place_takes_its_nearest(number: int, count: int, length: int) -> None:
    index = random_index(number, count, 12)
    try:
        together = path(index, length)
    except ConstraintsUnreachable:
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(path_module, "_chosen_together", lambda *_: None)
        alone = path(index, length)
    repeated = [each.removed["artist_in_a_row_allowed"] for each in (together, alone)]
    assert repeated[0] <= repeated[1]
    if repeated[0] == repeated[1]:
        assert longest_step(index, together) <= longest_step(index, alone) + 1e-6


def test_the_longest_step_is_nearly_as_short_as_it_can_be() -> None:
    found, least, alone = [], [], []
    for number in range(40):
        index = random_index(number, 9, 100)
        between = [str(row) for row in range(9)]
        vectors = {track_id: index.vector(track_id).astype(np.float64) for track_id in ("from", "to", *between)}
        playlist = path(index, 5)
        found.append(longest_step(index, playlist))
        keys = {each.track_id: each.artist_key for each in index.tracks}
        least.append(
            min(
                max(1 - vectors[one] @ vectors[other] for one, other in pairwise(("from", *way, "to")))
                for way in permutations(between, 3)
                if all(keys[one] != keys[other] for one, other in pairwise(("from", *way, "to")))
            )
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(path_module, "_chosen_together", lambda *_: None)
            alone.append(longest_step(index, path(index, 5)))
    assert np.min(np.array(found) - least) >= -1e-6
    assert np.mean(found) <= np.mean(least) + 0.02
    assert np.mean(alone) >= np.mean(least) + 0.1


def test_a_recording_stands_on_a_path_once_though_all_places_are_chosen_together() -> None:
    rows = {f"t{degrees}{copy}": (degrees, f"{degrees}{copy}") for degrees in (22, 45, 67) for copy in "ab"}
    index = index_of(ENDS | rows | {f"u{degrees}": (degrees, f"{degrees}") for degrees in (-30, 120)})
    for track_id, (degrees, artist) in rows.items():
        audio_hash = bytes([int(degrees)]) * 32
        index.upsert(Track(track_id, version=1, artist=artist, audio_hash=audio_hash), at_angle(degrees))
    found = path(index, 5)
    assert [track_id[:-1] for track_id in ids(found)[1:-1]] == ["t22", "t45", "t67"]


def test_recordings_that_are_there_twice_make_no_step_longer() -> None:
    once, twice = [], []
    for number in range(25):
        index = random_index(number, 60, 20)
        once.append(longest_step(index, path(index, 8)))
        for track in list(index.tracks):
            if track.track_id not in ("from", "to"):
                vector, audio_hash = index.vector(track.track_id), track.track_id.encode().ljust(32)
                index.upsert(replace(track, version=1, audio_hash=audio_hash), vector)
                again = replace(track, track_id=f"{track.track_id}+", artist=f"{track.artist}+", audio_hash=audio_hash)
                index.upsert(again, vector)
        found = path(index, 8)
        assert len({track_id.rstrip("+") for track_id in ids(found)}) == 8
        twice.append(longest_step(index, found))
    # The second ones are of other artists, who may stand where the first ones' may not.
    assert np.mean(twice) <= np.mean(once) + 0.01


def test_tracks_of_few_artists_around_the_way_make_it_look_at_more_of_them() -> None:
    steps: dict[int, list[float]] = {1: [], 2: []}
    for number in range(8):
        rng = np.random.default_rng(number)
        index = TrackIndex("enc")
        middle = rng.standard_normal(6)
        for track_id in ("from", "to"):
            index.upsert(Track(track_id, artist=track_id), (middle + 0.3 * rng.standard_normal(6)).astype(np.float32))
        for artist in range(30):
            own = middle + 0.1 * artist * rng.standard_normal(6)
            for track in range(20):
                vector = (own + 0.1 * rng.standard_normal(6)).astype(np.float32)
                index.upsert(Track(f"{artist}.{track}", artist=f"{artist}"), vector)
        for breadth, found in steps.items():
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(path_module, "_MOST_BREADTH", min(breadth, path_module._MOST_BREADTH))
                found.append(longest_step(index, path(index, 20, max_per_artist=1)))
    assert np.mean(steps[2]) < np.mean(steps[1]) - 0.01


def test_a_crowd_of_one_artist_around_the_way_makes_it_look_further() -> None:
    crowd = {f"t{number}": (30 + number / 40, "A") for number in range(1200)}
    others = {f"u{number}": (150 + number, f"{number}") for number in range(20)}
    found = path(index_of(ENDS | crowd | others), 12, max_per_artist=100)
    artists = [each.track.artist for each in found.tracks]
    assert all(one != other for one, other in pairwise(artists))
