"""Leads from one track to another in small steps: points on the way between both sounds, and a track near each.

Pure numpy: no I/O, no index, no wire format.
"""

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.retriever.errors import ConstraintsUnreachable
from services.retriever.library import Library, Wanted
from services.retriever.playlist.arrangement import RepetitionCounter, cosine_distances
from services.retriever.playlist.candidates import Candidate
from services.retriever.playlist.path_pool import Pool, great_circle, pools
from services.retriever.playlist.playlist import Playlist
from services.retriever.playlist.quantiles import PairQuantiles
from services.retriever.playlist.reasons import explain
from services.retriever.playlist.recipe import Recipe, Seed
from services.retriever.playlist.selection import Choice, Rule
from services.retriever.playlist.smooth_way import LONG, SmoothWay, Stops, first_candidates
from services.retriever.playlist.spacing import numbered
from services.retriever.playlist.target import blend
from services.retriever.playlist.two_opt import shorten

# No artist follows itself, the ends included.
_WINDOW = 2
_REPETITION_DISTANCE = 10.0
# Where no way of small steps was found: how often tracks are fetched, how many times as many candidates a place of a
# way that is not long gets, and how often a way is sought that has no recording twice.
_MOST_POOLS = 2
_MOST_BREADTH = 2
_MOST_REPAIRS = 8


@dataclass(frozen=True, slots=True)
class PathRecipe:
    """How to lead from one track to another.

    Attributes:
        length: Tracks of the path, both ends included, at least 3.
        max_per_artist: Most tracks of one `Track.artist_key` between the ends, which do not count.
    """

    length: int = 10
    max_per_artist: int = 3


def build_path(
    library: Library,
    start: Seed,
    end: Seed,
    recipe: PathRecipe,
    *,
    wanted: Wanted | None = None,
    quantiles: PairQuantiles | None = None,
) -> Playlist:
    """Choose and order the tracks of a path.

    The places between the ends are points at equal angles on the great circle through both sounds. What the places get
    is chosen for all of them together, from the tracks nearest to each, so that the longest step is short; see
    `SmoothWay`. Where the rules leave few tracks such a way may not be found, or not be the best: each place, those at
    the ends first, also takes the nearest track that the rules allow, 2-opt shortens that way, and the better one of
    both is taken. What the rules removed is counted on the second way.

    Args:
        library: Where to look.
        start: First track, of the library.
        end: Last track, another one of the library.
        recipe: How long.
        wanted: Which tracks may lie between; None takes all.
        quantiles: Of the library's random pairs; None leaves quantiles out.

    Returns:
        Exactly `recipe.length` tracks, from start to end.

    Raises:
        SeedsCancel: The ends sound so opposite that no way between them is shorter than another.
        ConstraintsUnreachable: The rules leave too few tracks.
    """
    assert start.track is not None  # the ends are tracks of the library
    assert end.track is not None
    places = recipe.length - 2
    points = great_circle(start.vector, end.vector, places)
    rules = Recipe(length=places, max_per_artist=recipe.max_per_artist, artist_window=_WINDOW)
    seeds = [start, end]
    chosen: dict[int, Candidate] = {}
    together: dict[int, Candidate] | None = None
    choice = Choice(seeds, rules)
    for number, pool in enumerate(pools(library, points, wanted)):
        choice = _rules(start, end, rules)
        chosen = _fill(pool, choice)
        together = _chosen_together(pool, start, end, rules) if len(chosen) == places else None
        if pool.are_all and (filtered := len(library) - len(pool.tracks)):
            choice.removed[Rule.FILTER] = filtered
        if together is not None or (len(chosen) == places and number == _MOST_POOLS - 1):
            break
    if len(chosen) < places:
        raise ConstraintsUnreachable("length", len(chosen) + 2, recipe.length, choice.removed)
    ways = [_way(start, end, chosen, is_ordered=False)]
    if together is not None:
        ways.append(_way(start, end, together, is_ordered=True))
    way = min(ways, key=lambda each: each.cost)
    if repeated := way.cost[0]:
        choice.removed[Rule.ARTIST_IN_A_ROW_ALLOWED] = repeated
    last = len(way.stops) - 1
    rows = [(stop.track, stop.vector, place in (0, last)) for place, stop in enumerate(way.stops)]
    return Playlist(explain(rows, blend(seeds), seeds, quantiles), choice.removed)


@dataclass(frozen=True, slots=True)
class _Way:
    """Stops in playing order, both ends included.

    Attributes:
        stops: The stops.
        cost: How many follow their own artist, the longest step, all steps; the less the better.
    """

    stops: list[Candidate]
    cost: tuple[int, float, float]


def _way(start: Seed, end: Seed, chosen: dict[int, Candidate], *, is_ordered: bool) -> _Way:
    """Join the ends by what was chosen for each place between them; 2-opt puts it in order where it is in none."""
    assert start.track is not None
    assert end.track is not None
    stops = [
        Candidate(start.track, start.vector, 1.0),
        *(chosen[place] for place in range(len(chosen))),
        Candidate(end.track, end.vector, 1.0),
    ]
    artists: list[Hashable] = [stop.track.artist_key for stop in stops]
    distances = cosine_distances(np.stack([stop.vector for stop in stops]))
    breaks = RepetitionCounter(artists, _WINDOW)
    order = list(range(len(stops)))
    if not is_ordered:
        # A step from an artist to itself is a long way round, so that it is taken only where there is no other.
        number = numbered(artists)
        order = shorten(
            order,
            distances + _REPETITION_DISTANCE * np.equal.outer(number, number),
            breaks,
            is_last_fixed=True,
        )
    steps = distances[order[:-1], order[1:]]
    cost = breaks(np.array(order)), float(steps.max()), round(float(steps.sum()), 6)
    return _Way([stops[stop] for stop in order], cost)


def _rules(start: Seed, end: Seed, rules: Recipe) -> Choice:
    """Return the rules of what lies between: both ends keep their artists from the places beside them."""
    assert start.track is not None
    assert end.track is not None
    return Choice([start, end], rules, [start.track.artist_key], [end.track.artist_key], counts_seeds=False)


def _chosen_together(pool: Pool, start: Seed, end: Seed, rules: Recipe) -> dict[int, Candidate] | None:
    """Choose for all places at once so that the steps are small; None where no way was found that keeps the rules."""
    assert start.track is not None
    assert end.track is not None
    first, last, *artists = numbered([track.artist_key for track in (start.track, end.track, *pool.tracks)]).tolist()
    stops = Stops(pool.vectors, np.array(artists, np.int64), pool.nearness)
    ends = np.stack([start.vector, end.vector])
    is_end = np.array([track.track_id in (start.track.track_id, end.track.track_id) for track in pool.tracks], np.bool_)
    breadth = 1
    while True:
        search = SmoothWay(stops, ends, (first, last), rules.max_per_artist, breadth)
        found = _apart(search, pool, is_end.copy(), start, end, rules)
        has_more = rules.length <= LONG and breadth * first_candidates(rules.length) < len(pool.tracks)
        if found is not None or breadth == _MOST_BREADTH or not has_more:
            return found
        breadth *= 2


def _apart(
    search: SmoothWay, pool: Pool, forbidden: NDArray[np.bool_], start: Seed, end: Seed, rules: Recipe
) -> dict[int, Candidate] | None:
    """Return the search's way without a recording that is in it twice, or in the ends.

    Which tracks are one recording is asked of those on the way only: to compare all with all would be dear. What is one
    too many, the one further from its point, is forbidden, and another way is sought.
    """
    for _ in range(_MOST_REPAIRS):
        rows = search.find(forbidden)
        if rows is None:
            return None
        choice = _rules(start, end, rules)
        chosen = {
            place: Candidate(pool.tracks[row], pool.vectors[row], float(pool.nearness[place, row]))
            for place, row in enumerate(rows.tolist())
        }
        too_many = []
        for place, candidate in sorted(chosen.items(), key=lambda each: -each[1].similarity):
            if choice.broken_by(candidate.track, candidate.vector) is None:
                choice.take(candidate)
            else:
                too_many.append(rows[place])
        if not too_many:
            return chosen
        forbidden[too_many] = True
    return None


def _fill(pool: Pool, choice: Choice) -> dict[int, Candidate]:
    """Give each place the nearest candidate that the rules allow, from both ends towards the middle.

    A candidate that breaks a rule at one place breaks it at all later ones, too: rules only get stricter. What could
    not be kept apart from its artist is taken for places that stay empty.
    """
    chosen: dict[int, Candidate] = {}
    spare: set[int] = set()
    nearness = pool.nearness.copy()  # (places, candidates), −inf for what has been asked
    for takes_spare in (False, True):
        for place in _ends_first(len(nearness)):
            while pool.tracks and place not in chosen:
                row = int(nearness[place].argmax())
                if nearness[place, row] == -np.inf:
                    break
                nearness[:, row] = -np.inf
                spare.discard(row)
                track, vector = pool.tracks[row], pool.vectors[row]
                rule = choice.broken_by(track, vector)
                if rule is None or (takes_spare and rule is Rule.ARTIST_IN_A_ROW):
                    chosen[place] = Candidate(track, vector, float(pool.nearness[place, row]))
                    choice.take(chosen[place])
                elif rule is Rule.ARTIST_IN_A_ROW:
                    spare.add(row)
                else:
                    choice.removed[rule] += 1
        nearness[:, list(spare)] = pool.nearness[:, list(spare)]
    if spare:
        choice.removed[Rule.ARTIST_IN_A_ROW] = len(spare)
    return chosen


def _ends_first(count: int) -> list[int]:
    """Return the places from both ends to the middle: of five 0, 4, 1, 3, 2."""
    return [number // 2 if number % 2 == 0 else count - 1 - number // 2 for number in range(count)]
