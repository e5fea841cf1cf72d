"""Pages of hits against one long list, with filters, damped hubs, equal sounds and a library that changes."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.retriever import search as search_module
from services.retriever.filters import TrackFilter
from services.retriever.index.bases import IndexChoice
from services.retriever.index.index import TrackIndex
from services.retriever.index.merging import merge
from services.retriever.search import MAX_HITS, Cursor, Hit, Search, search_page
from services.retriever.similarity import Float32Array, presented, settled_products
from services.retriever.tracks import Track
from tests.unit.retriever.libraries import filters, index_of, tracks, unit
from training.evaluation.hubness import measure_hubness

ALL = TrackFilter()
EXACT_KINDS = ("flat", "flat-fp16")


def an_index(count: int, sounds: int) -> TrackIndex:
    """Tracks of so many sounds in turn, so that many are as near as each other."""
    vectors = [unit(number) for number in range(sounds)]
    return index_of(
        (Track(f"t{number:04d}", 1) for number in range(count)),
        (vectors[number % sounds] for number in range(count)),
    )


def pages(
    index: TrackIndex, query: Float32Array, counts: list[int], wanted: TrackFilter = ALL, damping: float = 0.0
) -> list[list[Hit]]:
    """Read pages of these sizes in turn until there is no other."""
    found: list[list[Hit]] = []
    after: Cursor | None = None
    while True:
        page = search_page(index, query, Search(counts[len(found) % len(counts)], wanted, damping, after))
        found.append(page.hits)
        after = page.end
        if after is None:
            return found


def shown(hits: list[Hit]) -> list[tuple[str, float]]:
    return [(hit.track_id, hit.similarity) for hit in hits]


@settings(deadline=None, max_examples=80)
@given(
    st.lists(
        st.tuples(tracks(st.integers(0, 99).map(str)), st.integers(0, 6)),
        max_size=40,
        unique_by=lambda each: each[0].track_id,
    ),
    st.lists(st.integers(1, 7), min_size=1, max_size=4),
    filters() | st.just(ALL),
    st.sampled_from([0.0, 0.5, 1.0]),
)
def test_pages_are_one_long_list(
    known: list[tuple[Track, int]], counts: list[int], wanted: TrackFilter, damping: float
) -> None:
    index = TrackIndex("enc")
    for track, sound in known:
        index.upsert(track, unit(sound))
    taken = [track for track, _ in known if wanted.takes(track)]
    vectors = {track.track_id: unit(sound) for track, sound in known}
    means = dict(zip(vectors, index.neighbour_means(list(vectors)).tolist(), strict=True))
    scores = {
        track.track_id: round(float(vectors[track.track_id] @ unit(3)), 5) - damping * means[track.track_id]
        for track in taken
    }
    found = pages(index, unit(3), counts, wanted, damping)
    assert [len(page) for page in found[:-1]] == [counts[number % len(counts)] for number in range(len(found) - 1)]
    if taken:
        assert found[-1]  # no page is empty for want of looking ahead
    joined = [hit for page in found for hit in page]
    assert shown(joined) == shown(search_page(index, unit(3), Search(200, wanted, damping)).hits)
    assert sorted(hit.track_id for hit in joined) == sorted(scores)
    order = [scores[hit.track_id] for hit in joined]
    assert all(first >= second - 2e-5 for first, second in pairwise(order))
    for hit in joined:
        assert hit.similarity == pytest.approx(float(vectors[hit.track_id] @ unit(3)), abs=2e-6)


def test_equal_sounds_are_paged_by_id() -> None:
    found = pages(an_index(50, 1), unit(0), [7])
    assert [hit.track_id for page in found for hit in page] == [f"t{number:04d}" for number in range(50)]
    assert [len(page) for page in found] == [7] * 7 + [1]


@pytest.mark.parametrize("damping", [0.0, 0.5])
def test_all_pages_together_have_2000_hits(damping: float) -> None:
    index = an_index(2100, 40)
    found = pages(index, unit(3), [200, 130], ALL, damping)
    joined = [hit.track_id for page in found for hit in page]
    assert (len(joined), len(set(joined))) == (MAX_HITS, MAX_HITS)
    nearest = index.nearest(unit(3), MAX_HITS)
    assert set(joined) == {track.track_id for track in nearest.tracks}
    if not damping:
        assert joined == [track.track_id for track in nearest.tracks]
    last = search_page(index, unit(3), Search(200, ALL, damping, Cursor(1999, -2.0, "a")))
    assert last == ([], None)


def test_what_comes_in_front_hides_nothing_behind_and_repeats_nothing() -> None:
    index = an_index(300, 300)
    query = unit(7)
    whole = [hit.track_id for page in pages(index, query, [20]) for hit in page]
    first = search_page(index, query, Search(20, ALL))
    assert [hit.track_id for hit in first.hits] == whole[:20]
    for number in range(100):  # more than the next page looks at first
        index.upsert(Track(f"new{number}", 1), query)
    index.remove(whole[5])  # served already
    index.remove(whole[25])
    second = search_page(index, query, Search(20, ALL, after=first.end))
    assert [hit.track_id for hit in second.hits] == [*whole[20:25], *whole[26:41]]


CHURN = st.lists(
    st.tuples(st.integers(0, 39), st.none() | st.integers(0, 11)), max_size=12
)  # a track goes, or comes or changes to a sound


@settings(deadline=None, max_examples=80)
@given(st.lists(CHURN, min_size=1, max_size=8), st.integers(1, 9), st.sampled_from([*EXACT_KINDS]), st.booleans())
def test_between_pages_of_a_changing_library_only_what_is_promised_happens(
    churn: list[list[tuple[int, int | None]]], count: int, kind: str, is_token_forged: bool
) -> None:
    """The oracle knows of every page what was there: the page is the first of what lies behind the place reached."""
    index = TrackIndex("enc", IndexChoice(kind, merge_after=15))
    known: dict[str, tuple[float, int]] = {}
    changed_since: dict[str, int] = {}

    def apply(changes: list[tuple[int, int | None]], turn: int) -> None:
        for number, sound in changes:
            track_id = f"t{number:02d}"
            if sound is None:
                index.remove(track_id)
                known.pop(track_id, None)
            else:
                index.upsert(Track(track_id, turn + 1), unit(sound))
                known[track_id] = (score_of(index.vector(track_id)), turn)
            changed_since[track_id] = turn
            if index.is_merge_due:
                index.adopt(merge(index.freeze(), index.choice, None, lambda: False))

    def score_of(vector: Float32Array) -> float:
        return float(presented(settled_products(vector[np.newaxis], unit(3)))[0])

    apply([(number, number % 12) for number in range(30)], 0)
    after = Cursor(3, 0.1, "t10") if is_token_forged else None
    served: dict[str, int] = {}
    for turn, changes in enumerate([*churn, *[[]] * 40], 1):
        page = search_page(index, unit(3), Search(count, ALL, 0.0, after))
        end = (-2.0, "") if after is None else (-after.score, after.track_id)
        expected = sorted((-score, track_id) for track_id, (score, _) in known.items())
        expected = [place for place in expected if place > end]
        assert {hit.track_id for hit in page.hits} == {track_id for _, track_id in expected[:count]}
        assert [hit.similarity for hit in page.hits] == pytest.approx(
            [-score for score, _ in expected[:count]], abs=2e-6
        )
        assert (page.end is None) == (len(expected) <= count)
        for hit in page.hits:
            before = served.get(hit.track_id)
            assert before is None or changed_since[hit.track_id] >= before  # twice only if it changed
            served[hit.track_id] = turn
        after = page.end
        if after is None:
            break
        apply(changes, turn)


def test_a_plain_first_page_asks_for_one_more_than_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    index = an_index(300, 300)
    nearest = index.nearest_ids

    def counted(query: Float32Array, count: int, wanted: object = None) -> object:
        asked.append(count)
        return nearest(query, count, ALL)

    monkeypatch.setattr(index, "nearest_ids", counted)
    search_page(index, unit(7), Search(20, ALL))
    assert asked == [21]


def test_an_empty_index_has_an_empty_page() -> None:
    assert search_page(TrackIndex("enc"), unit(1), Search(20, ALL)) == ([], None)
    assert search_page(TrackIndex("enc"), unit(1), Search(20, ALL, 0.5)) == ([], None)


def test_damping_lowers_what_is_near_to_everything() -> None:
    """A crowd of equals and a hermit: the query lies a little nearer to the crowd."""
    index = TrackIndex("enc")
    for number in range(12):
        index.upsert(Track(f"crowd{number:02d}", 1), np.array([1, 0.02 * (number % 2), 0], np.float32))
    index.upsert(Track("hermit", 1), np.array([0, 1, 0], np.float32))
    query = np.array([0.8, 0.6, 0], np.float32)

    def first(damping: float) -> Hit:
        return search_page(index, query, Search(1, ALL, damping)).hits[0]

    assert first(0.0).track_id.startswith("crowd")
    assert first(0.1).track_id.startswith("crowd")
    assert first(0.5).track_id == "hermit"
    assert first(0.5).similarity == pytest.approx(0.6)


def test_damping_makes_lists_less_alike() -> None:
    """Unnormalised noise around one direction has hubs: those that lie near the middle."""
    generator = np.random.default_rng(5)
    noise = generator.standard_normal((400, 40)) * generator.uniform(0.5, 2.0, (400, 1))
    noise[:, 0] += 3.0
    vectors = (noise / np.linalg.norm(noise, axis=1, keepdims=True)).astype(np.float32)
    index = index_of((Track(f"t{number:03d}", 1) for number in range(400)), vectors)

    def skewness(damping: float) -> float:
        named = np.zeros(400)
        for number in range(400):
            wanted = Search(10, ALL.without([f"t{number:03d}"]), damping)
            for hit in search_page(index, vectors[number], wanted).hits:
                named[int(hit.track_id[1:])] += 1
        return float(((named - named.mean()) ** 3).mean() / named.std() ** 3)

    plain = skewness(0.0)
    assert plain == pytest.approx(measure_hubness(vectors).skewness, abs=0.1)
    assert plain > 1.4
    assert skewness(0.5) < plain / 2


def test_hits_are_looked_for_no_deeper_than_2000(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "MAX_HITS", 32)
    index = an_index(200, 200)
    assert search_page(index, unit(7), Search(5, ALL, after=Cursor(1, -0.999, "a"))) == ([], None)


def test_no_more_than_2000_come_even_when_those_before_have_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "MAX_HITS", 32)
    index = an_index(200, 200)
    first = search_page(index, unit(7), Search(30, ALL))
    for hit in first.hits[:20]:
        index.remove(hit.track_id)
    second = search_page(index, unit(7), Search(30, ALL, after=first.end))
    assert (len(second.hits), second.end) == (2, None)


def test_what_takes_long_is_known_before() -> None:
    many = frozenset(map(str, range(501)))
    assert not Search(20, ALL).takes_long
    assert not Search(20, TrackFilter(blocked_artists=frozenset(list(many)[:500]))).takes_long
    assert Search(20, TrackFilter(blocked_artists=many)).takes_long
    assert Search(20, TrackFilter(genres=frozenset(list(many)[:251]), track_ids=frozenset(list(many)[:250]))).takes_long
    assert Search(20, ALL, hub_damping=0.1).takes_long
