from collections.abc import Sequence

import numpy as np
import pytest

from services.retriever.index.index import TrackIndex
from services.retriever.library import Nearest, Wanted
from services.retriever.playlist.candidates import Candidates, scored
from services.retriever.playlist.chance import Gumbel
from services.retriever.playlist.recipe import Recipe, Seed
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track


def at_angle(degrees: float) -> Float32Array:
    radians = np.deg2rad(degrees)
    return np.array([np.cos(radians), np.sin(radians)], dtype=np.float32)


def row_of(*angles: float) -> TrackIndex:
    index = TrackIndex("enc")
    for number, degrees in enumerate(angles):
        index.upsert(Track(f"t{number}"), at_angle(degrees))
    return index


class Counting:
    """A library that notes how much it was asked for, and answers loosely when asked for more, as HNSW may."""

    def __init__(self, index: TrackIndex, missed_at_first: str = "") -> None:
        self.index = index
        self.asked: list[int] = []
        self._missed_at_first = missed_at_first

    def __len__(self) -> int:
        return len(self.index)

    def track(self, track_id: str) -> Track | None:
        return self.index.track(track_id)

    def vector(self, track_id: str) -> Float32Array:
        return self.index.vector(track_id)

    def nearest(self, query: Float32Array, count: int, wanted: Wanted | None = None) -> Nearest:
        self.asked.append(count)
        missed = self._missed_at_first if len(self.asked) == 1 else ""
        return self.index.nearest(query, count, lambda track: track.track_id != missed)

    def sample(self, count: int) -> Float32Array:
        return self.index.sample(count)

    def neighbour_means(self, track_ids: Sequence[str]) -> Float32Array:
        return self.index.neighbour_means(track_ids)


def test_batches_double_until_the_library_is_exhausted_and_no_track_comes_twice() -> None:
    library = Counting(row_of(*range(11)))
    candidates = Candidates(library, at_angle(0), None, 2)
    batches = [[track.track_id for track in found.tracks] for found in candidates]
    assert batches == [["t0", "t1"], ["t2", "t3"], ["t4", "t5", "t6", "t7"], ["t8", "t9", "t10"]]
    assert library.asked == [2, 4, 8, 16]
    assert (candidates.seen_count, candidates.is_exhausted) == (11, True)


def test_a_track_that_an_approximate_index_missed_at_first_comes_later() -> None:
    candidates = Candidates(Counting(row_of(*range(4)), missed_at_first="t0"), at_angle(0), None, 2)
    assert [[track.track_id for track in found.tracks] for found in candidates] == [["t1", "t2"], ["t0", "t3"]]


def test_no_more_is_fetched_than_is_asked_for() -> None:
    library = Counting(row_of(*range(100)))
    next(iter(Candidates(library, at_angle(0), None, 10)))
    assert library.asked == [10]


def test_the_penalty_is_that_of_the_nearest_negative_seed_by_its_weight() -> None:
    index = row_of(0, 40, 60)
    seeds = [Seed(at_angle(0)), Seed(at_angle(60), -2.0), Seed(at_angle(180), -2.0), Seed(at_angle(30), -1.0)]
    batch = scored(index, index.nearest(at_angle(0), 3), seeds, Recipe(negative_penalty=0.5), None)
    cos = {degrees: float(np.cos(np.deg2rad(degrees))) for degrees in (0, 10, 20, 30, 40, 60)}
    nearest = [max(cos[60], cos[30] / 2), max(cos[20], cos[10] / 2), max(cos[0], cos[30] / 2)]
    assert batch.scores == pytest.approx(
        [cos[0] - nearest[0] / 2, cos[40] - nearest[1] / 2, cos[60] - nearest[2] / 2], abs=2e-6
    )
    assert batch.similarities == pytest.approx([cos[0], cos[40], cos[60]], abs=2e-6)


def test_what_is_opposite_to_a_negative_seed_gains_nothing() -> None:
    index = row_of(0)
    batch = scored(index, index.nearest(at_angle(0), 1), [Seed(at_angle(0)), Seed(at_angle(180), -1)], Recipe(), None)
    assert batch.scores.tolist() == [1.0]


def test_hubs_lose_a_share_of_their_nearness_to_their_neighbours() -> None:
    index = row_of(0, 60, 90)
    found = index.nearest(at_angle(0), 3)
    means = index.neighbour_means(["t0", "t1", "t2"])
    batch = scored(index, found, [Seed(at_angle(0))], Recipe(hub_damping=0.5), None)
    assert batch.scores == pytest.approx(found.similarities - 0.5 * means, abs=2e-6)


def test_chance_is_added_by_the_ids_of_the_tracks() -> None:
    index = row_of(0, 60, 90)
    found = index.nearest(at_angle(0), 3)
    batch = scored(index, found, [Seed(at_angle(0))], Recipe(), Gumbel(0.5, 3))
    noise = Gumbel(0.5, 3).noise(["t0", "t1", "t2"], found.similarities.astype(np.float64))
    assert batch.scores == pytest.approx(found.similarities + noise, abs=2e-6)


class Losing(Counting):
    """Gives up before it has as many as are asked for, as the graph of an approximate index may."""

    def nearest(self, query: Float32Array, count: int, wanted: Wanted | None = None) -> Nearest:
        found = super().nearest(query, count, wanted)
        few = len(found.tracks) if count >= len(self.index) else count - 1
        return Nearest(found.tracks[:few], found.vectors[:few], found.similarities[:few])


def test_an_index_that_finds_too_few_without_a_filter_is_asked_for_all() -> None:
    candidates = Candidates(Losing(row_of(*range(11))), at_angle(0), None, 4)
    assert sum(len(found.tracks) for found in candidates) == 11
    assert (candidates.seen_count, candidates.is_exhausted) == (11, True)
