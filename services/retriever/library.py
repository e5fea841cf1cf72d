"""What the rules of playlists ask of an index, whatever kind it is; holds nothing itself."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track

# Says of a track whether it may be found. A `TrackFilter`, or its `takes`, is the fast one: an index answers it from
# columns, where any other function is called for each track.
Wanted = Callable[[Track], bool]


class Nearest(NamedTuple):
    """Tracks near to a query, the nearest first, ties by id.

    Attributes:
        tracks: The tracks.
        vectors: Theirs, shape (len(tracks), dim), float32, unit norm.
        similarities: Cosines to the query, shape (len(tracks),), float32, to six decimals.
    """

    tracks: list[Track]
    vectors: Float32Array
    similarities: Float32Array


class NearestIds(NamedTuple):
    """What `Nearest` says, for who needs neither the tracks nor their vectors.

    Attributes:
        track_ids: The tracks, the nearest first, ties by id.
        similarities: Cosines to the query, in the same order, to six decimals.
    """

    track_ids: list[str]
    similarities: list[float]


class Library(Protocol):
    """Tracks with their vectors. Used by one thread."""

    def __len__(self) -> int: ...

    def track(self, track_id: str) -> Track | None:
        """Return a track, None where it is not there."""
        ...

    def vector(self, track_id: str) -> Float32Array:
        """Return a copy of a track's unit vector, shape (dim,), float32.

        Raises:
            KeyError: The track is not there.
        """
        ...

    def nearest(self, query: Float32Array, count: int, wanted: Wanted | None = None) -> Nearest:
        """Find tracks near to a query.

        Args:
            query: Unit vector, shape (dim,), float32.
            count: How many; all where there are fewer.
            wanted: Which tracks; None takes all. Exact: no track that is wanted is missed for those that are not.
        """
        ...

    def sample(self, count: int) -> Float32Array:
        """Return vectors of tracks that are drawn by chance, but always the same from the same library.

        Args:
            count: How many, at most 2,048; all where there are fewer.

        Returns:
            Unit vectors, shape (count, dim), float32.
        """
        ...

    def neighbour_means(self, track_ids: Sequence[str]) -> Float32Array:
        """Return how near tracks are to their own neighbours, for the damping of hubs; see `hubs.HubMeans`.

        Args:
            track_ids: Tracks of the library.

        Returns:
            Mean cosine of each to its 10 nearest neighbours in a sample of the library, shape (len(track_ids),),
            float32, to six decimals.

        Raises:
            KeyError: One of them is not there.
        """
        ...


class SearchLibrary(Library, Protocol):
    """A library that is also asked for long lists of which only the ids matter."""

    def vectors_of(self, track_ids: Sequence[str]) -> dict[str, Float32Array]:
        """Return copies of the unit vectors, each of shape (dim,), float32, of those tracks that are there."""
        ...

    def nearest_ids(self, query: Float32Array, count: int, wanted: Wanted | None = None) -> NearestIds:
        """Find tracks near to a query; as `nearest`, but reads neither tracks nor vectors."""
        ...
