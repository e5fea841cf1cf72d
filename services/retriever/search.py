"""Finds the tracks nearest to a vector page by page, with a filter, and with hubs damped when that is asked for."""

from bisect import bisect_right
from dataclasses import dataclass
from typing import NamedTuple

from services.retriever.filters import TrackFilter
from services.retriever.library import SearchLibrary
from services.retriever.similarity import Float32Array

# Hits of one query on all its pages; a query with damping puts so many of the nearest into another order.
MAX_HITS = 2000
_DECIMALS = 6
# One look-up takes 0.7 µs.
_MANY_ENTRIES = 500


class Hit(NamedTuple):
    """A track that was found and its cosine to the query, in [-1, 1]."""

    track_id: str
    similarity: float


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page ended.

    Attributes:
        served: Hits on this page and those before it, 1 to 1,999.
        score: Of its last hit: the cosine, less what damping takes.
        track_id: Its last hit.
    """

    served: int
    score: float
    track_id: str


@dataclass(frozen=True, slots=True)
class Search:
    """Which hits are wanted.

    Attributes:
        count: Hits of a page, at least 1.
        wanted: Which tracks may be found.
        hub_damping: Share of a track's mean cosine to its own neighbours that is taken from its cosine, 0 to 1.
        after: Where the page before ended; None begins with the best.
    """

    count: int
    wanted: TrackFilter
    hub_damping: float = 0.0
    after: Cursor | None = None

    @property
    def takes_long(self) -> bool:
        """Whether it takes ten times as long as most, or may."""
        return self.hub_damping > 0 or self.wanted.entry_count > _MANY_ENTRIES


class Page(NamedTuple):
    """Hits, best first, ties by id, and where the next page begins; None where there is none."""

    hits: list[Hit]
    end: Cursor | None


def search_page(library: SearchLibrary, query: Float32Array, search: Search) -> Page:
    """Find one page of the tracks nearest to a query.

    The order is by score, then by id, and a page holds what comes after the last hit of the page before. So no track
    comes twice and none is left out while the library stays as it is. When it changes between two pages, a track comes
    twice only if its own score fell (its vector changed; with damping, also if a neighbour came), and what was put
    before the place that was reached is not found any more.

    Args:
        library: Where to search.
        query: Unit vector, shape (dim,), float32.
        search: What is wanted.

    Returns:
        At most `search.count` hits, fewer only on the last page.
    """
    served = search.after.served if search.after else 0
    count = min(search.count, MAX_HITS - served)
    depth = first_depth(search)
    while True:
        found = _ranked(library, query, search, depth)
        first = 0 if search.after is None else found.end_of(search.after)
        rest = len(found.track_ids) - first
        # Where tracks came before the place that was reached, the page lies deeper.
        if rest > count or len(found.track_ids) < depth or depth == MAX_HITS:
            break
        depth = min(2 * depth, MAX_HITS)
    page = slice(first, first + count)
    hits = list(map(Hit, found.track_ids[page], found.similarities[page]))
    if rest <= count or served + count >= MAX_HITS:
        return Page(hits, None)
    return Page(hits, Cursor(served + count, found.scores[page][-1], hits[-1].track_id))


def first_depth(search: Search) -> int:
    """Return how many of the nearest a page asks for first."""
    served = search.after.served if search.after else 0
    # One more than the page, to know whether another one follows.
    return MAX_HITS if search.hub_damping else min(served + search.count + 1, MAX_HITS)


class _Found(NamedTuple):
    """Tracks by falling score, ties by id."""

    scores: list[float]
    track_ids: list[str]
    similarities: list[float]

    def end_of(self, page: Cursor) -> int:
        """Return the place of the first track that comes after the last hit of a page."""
        places = zip([-score for score in self.scores], self.track_ids, strict=True)
        return bisect_right(list(places), (-page.score, page.track_id))


def _ranked(library: SearchLibrary, query: Float32Array, search: Search, depth: int) -> _Found:
    nearest = library.nearest_ids(query, depth, search.wanted)
    if not search.hub_damping:
        return _Found(nearest.similarities, nearest.track_ids, nearest.similarities)
    means = library.neighbour_means(nearest.track_ids).tolist()
    pairs = zip(nearest.similarities, means, strict=True)
    scores = [round(similarity - search.hub_damping * mean, _DECIMALS) for similarity, mean in pairs]
    found = sorted(zip([-score for score in scores], nearest.track_ids, nearest.similarities, strict=True))
    return _Found([-each[0] for each in found], [each[1] for each in found], [each[2] for each in found])
