"""What do the rules of a playlist cost beside the search of the index?

Builds playlists, a path and suggestions in this process on the clustered library of `benchmarks.retrieval.data`, with
the time inside `Library.nearest` taken apart. One row a recipe; what is not the index is the rules, reasons included.

Usage: python -m benchmarks.playlist_rules [TRACKS [DIMENSIONS [ROUNDS]]]
"""

import statistics
import sys
import time
from collections.abc import Callable, Sequence

from threadpoolctl import threadpool_limits

from benchmarks.retrieval import data
from services.retriever.index.index import TrackIndex
from services.retriever.library import Nearest, Wanted
from services.retriever.playlist.extension import ExtensionRecipe, extend_playlist
from services.retriever.playlist.path import PathRecipe, build_path
from services.retriever.playlist.playlist import build_playlist
from services.retriever.playlist.quantiles import QuantileCache
from services.retriever.playlist.recipe import Arrangement, Recipe, Seed
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track

RECIPES = {
    "no rules": Recipe(
        max_per_artist=500, artist_window=1, arrangement=Arrangement.SIMILARITY, allow_near_duplicates=True
    ),
    "as asked for by default": Recipe(),
    "all rules on": Recipe(
        include_seed=True,
        weigh_agreement=True,
        artist_window=5,
        diversity=0.3,
        temperature=0.3,
        min_similarity=-1.0,
    ),
    # How near tracks are to their neighbours is measured once a track and kept: here nearly all are new each round.
    "all rules on, hubs damped": Recipe(artist_window=5, diversity=0.3, temperature=0.3, hub_damping=0.3),
    "all rules on, energy arc": Recipe(
        artist_window=5, diversity=0.3, temperature=0.3, arrangement=Arrangement.ENERGY_ARC
    ),
    "all rules on, 500 tracks": Recipe(length=500, artist_window=5, diversity=0.3, temperature=0.3),
    "500 tracks, artist window 50": Recipe(length=500, artist_window=50),
}


class TimedLibrary:
    """A library that knows how long its searches took."""

    def __init__(self, index: TrackIndex) -> None:
        self._index = index
        self.seconds = self.cpu_seconds = 0.0

    def __len__(self) -> int:
        return len(self._index)

    def track(self, track_id: str) -> Track | None:
        """Return a track."""
        return self._index.track(track_id)

    def vector(self, track_id: str) -> Float32Array:
        """Return a track's vector."""
        return self._index.vector(track_id)

    def nearest(self, query: Float32Array, count: int, wanted: Wanted | None = None) -> Nearest:
        """Search, and add the time to `seconds` and `cpu_seconds`."""
        started, started_cpu = time.perf_counter(), time.thread_time()
        try:
            return self._index.nearest(query, count, wanted)
        finally:
            self.seconds += time.perf_counter() - started
            self.cpu_seconds += time.thread_time() - started_cpu

    def sample(self, count: int) -> Float32Array:
        """Return vectors of a sample."""
        return self._index.sample(count)

    def neighbour_means(self, track_ids: Sequence[str]) -> Float32Array:
        """Return how near tracks are to their neighbours."""
        return self._index.neighbour_means(track_ids)


def index_of(library: data.Library) -> TrackIndex:
    """Return an index of a library, all of it in the delta: what is measured here is not the index."""
    index = TrackIndex("benchmark")
    for track, vector in zip(library.tracks, library.vectors, strict=True):
        index.upsert(track, vector)
    return index


def measure(library: TimedLibrary, rounds: int, work: Callable[[int], object]) -> list[list[float]]:
    """Return milliseconds, sorted: inside the index, outside of it, and of outside what this thread computed.

    The last is free of what else the machine does. Two rounds before do not count.
    """
    taken: list[list[float]] = [[], [], []]
    for number in range(-2, rounds):
        library.seconds = library.cpu_seconds = 0.0
        started, started_cpu = time.perf_counter(), time.thread_time()
        work(number + 2)
        total, cpu = time.perf_counter() - started, time.thread_time() - started_cpu
        if number >= 0:
            for times, seconds in zip(
                taken, (library.seconds, total - library.seconds, cpu - library.cpu_seconds), strict=True
            ):
                times.append(1000 * seconds)
    return [sorted(times) for times in taken]


def main(count: int, dimension: int, rounds: int) -> None:
    """Print one table."""
    index = index_of(data.clustered(count, dimension=dimension))
    library, cache = TimedLibrary(index), QuantileCache()
    track_ids = [track.track_id for track in index.tracks]

    def seed(number: int, weight: float = 1.0) -> Seed:
        track_id = track_ids[number * 37 % count]
        return Seed(index.vector(track_id), weight, index.track(track_id))

    def playlist(recipe: Recipe) -> Callable[[int], object]:
        return lambda number: build_playlist(
            library,
            [seed(3 * number), seed(3 * number + 1), seed(3 * number + 2, -1.0)],
            recipe,
            quantiles=cache.of(library),
        )

    works = {name: playlist(recipe) for name, recipe in RECIPES.items()}
    works["path of 10 tracks"] = lambda number: build_path(
        library, seed(2 * number), seed(2 * number + 1), PathRecipe(), quantiles=cache.of(library)
    )
    works["path of 100 tracks"] = lambda number: build_path(
        library, seed(2 * number), seed(2 * number + 1), PathRecipe(100), quantiles=cache.of(library)
    )
    works["10 suggestions for 25 tracks"] = lambda number: extend_playlist(
        library, [seed(number + each) for each in range(25)], [], [], ExtensionRecipe(), quantiles=cache.of(library)
    )
    # As in the process of the service, where several threads for small products only wait for each other.
    with threadpool_limits(1):
        title = f"{count:,} × {dimension}, {rounds} rounds, ms"
        print(f"{title:34} {'index p50':>10} {'rules p50':>10} {'rules p95':>10} {'rules CPU p50':>14}")
        for name, work in works.items():
            inside, outside, computed = measure(library, rounds, work)
            late = outside[int(0.95 * (rounds - 1))]
            middle = [statistics.median(times) for times in (inside, outside, computed)]
            print(f"{name:34} {middle[0]:10.1f} {middle[1]:10.2f} {late:10.2f} {middle[2]:14.2f}")


if __name__ == "__main__":
    main(*[int(argument) for argument in sys.argv[1:4]] + [88_423, 1024, 40][len(sys.argv) - 1 :])
