"""The nearest profiles against brute force, whatever came, changed and went before each question."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.chassis.bus import LogPosition
from services.retriever.errors import IndexLoading, NoTaste, ProfilesLoading, UnknownProfile
from services.retriever.index.index import TrackIndex
from services.retriever.live.live import LiveIndex
from services.retriever.live.profile_search import ProfileSearch
from services.retriever.profiles.profiles import Profile, Profiles
from services.retriever.profiles.taste import taste_of
from services.retriever.profiles.taste_matrix import TasteMatrix
from services.retriever.similarity import Float32Array
from services.retriever.touched import Touched
from services.retriever.tracks import Track
from tests.unit.retriever.test_taste import profile, unit

POSITION = LogPosition(datetime(2026, 1, 1, tzinfo=UTC), 1)
PROFILES = [f"p{number}" for number in range(6)]
TRACKS = [f"t{number}" for number in range(5)]


class Rig:
    """A search with its profiles and its index, changed as the two logs change them."""

    def __init__(self) -> None:
        self.profiles = Profiles()
        self.profiles.is_caught_up = True
        self.index = TrackIndex("enc")
        self.live = LiveIndex(self.index)
        self.touched = Touched()
        self.thread = ThreadPoolExecutor(1)
        self.search = ProfileSearch(self.profiles, self.live, self.touched, self.thread)
        self.version = 0

    async def change(self, work: Callable[[TrackIndex], object], *, is_caught_up: bool = True) -> None:
        def counted(index: TrackIndex) -> int:
            work(index)
            return 1

        await self.live.advance(counted, POSITION, is_caught_up=is_caught_up)

    async def put_track(self, track_id: str, sound: int) -> None:
        self.version += 1

        def put(index: TrackIndex) -> None:
            index.upsert(Track(track_id, self.version), unit(sound))
            self.touched.note(track_id)

        await self.change(put)

    async def remove_track(self, track_id: str) -> None:
        def remove(index: TrackIndex) -> None:
            if index.remove(track_id):
                self.touched.note(track_id)

        await self.change(remove)

    async def begin_anew(self) -> None:
        def clear(index: TrackIndex) -> None:
            index.clear()
            self.touched.note_all()

        await self.change(clear)

    def put_profile(self, profile_id: str, weights: dict[str, float], *, is_listed: bool = True) -> None:
        self.version += 1
        self.profiles.upsert(profile(weights, profile_id, self.version, is_listed=is_listed))

    def expected(
        self, profile_id: str, limit: int, blocked: set[str], lowest: float | None = None
    ) -> list[tuple[str, float]] | None:
        """What the nearest profiles are, computed from the beginning; None without a taste."""
        tastes = {one.profile_id: taste_of(one, self.index) for one in self.profiles.all()}
        own = tastes.get(profile_id)
        if own is None:
            return None
        found = [
            (other, round(float(np.clip(taste @ own, -1, 1)), 6))
            for other, taste in tastes.items()
            if taste is not None and other != profile_id and other not in blocked and self._listed(other)
        ]
        kept = [one for one in found if lowest is None or one[1] >= lowest]
        return sorted(kept, key=lambda one: (-one[1], one[0]))[:limit]

    def _listed(self, profile_id: str) -> bool:
        found = self.profiles.get(profile_id)
        return found is not None and found.is_listed

    def close(self) -> None:
        self.live.close()
        self.thread.shutdown()


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    await made.change(lambda index: None)
    yield made
    made.close()


CHANGE = st.one_of(
    st.tuples(st.just("put_track"), st.sampled_from(TRACKS), st.integers(0, 9)),
    st.tuples(st.just("remove_track"), st.sampled_from(TRACKS)),
    st.tuples(st.just("begin_anew")),
    st.tuples(
        st.just("put_profile"),
        st.sampled_from(PROFILES),
        st.dictionaries(st.sampled_from([*TRACKS, "gone"]), st.sampled_from([0.0, 1.0, 2.5]), max_size=3),
        st.booleans(),
    ),
    st.tuples(st.just("remove_profile"), st.sampled_from(PROFILES)),
    st.tuples(st.just("ask"), st.sampled_from(PROFILES), st.integers(1, 4), st.sets(st.sampled_from(PROFILES))),
)


async def play(rig: Rig, changes: list[tuple[object, ...]]) -> None:
    for name, *arguments in changes:
        match name, arguments:
            case "put_profile", [str() as profile_id, dict() as weights, bool() as is_listed]:
                rig.put_profile(profile_id, weights, is_listed=is_listed)
            case "remove_profile", [str() as profile_id]:
                rig.profiles.remove(profile_id)
            case "ask", [str() as profile_id, int() as limit, set() as blocked]:
                await ask(rig, profile_id, limit, blocked)
            case _:
                await getattr(rig, str(name))(*arguments)
    for profile_id in PROFILES:
        await ask(rig, profile_id, 10, set())


async def ask(rig: Rig, profile_id: str, limit: int, blocked: set[str]) -> None:
    expected = rig.expected(profile_id, limit, blocked)
    try:
        found = await rig.search.nearest(profile_id, limit, blocked)
    except UnknownProfile:
        assert rig.profiles.get(profile_id) is None
    except NoTaste:
        assert expected is None
    else:
        assert expected is not None
        assert [one for one, _ in found] == [one for one, _ in expected]
        assert [one for _, one in found] == pytest.approx([one for _, one in expected], abs=2e-6)


@settings(max_examples=60, deadline=None)
@given(st.lists(CHANGE, max_size=25))
def test_they_are_the_nearest_after_any_order_of_changes(changes: list[tuple[object, ...]]) -> None:
    async def run() -> None:
        rig = Rig()
        await rig.change(lambda index: None)
        try:
            await play(rig, changes)
        finally:
            rig.close()

    asyncio.run(run())


async def test_of_a_thousand_the_nearest_are_found_and_only_what_changed_is_computed(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[str] = []

    def counting(one: Profile, index: TrackIndex) -> object:
        computed.append(one.profile_id)
        return taste_of(one, index)

    monkeypatch.setattr("services.retriever.live.profile_search.taste_of", counting)
    for number in range(100):
        await rig.put_track(f"t{number}", number)
    dice = np.random.default_rng(5)
    for number in range(1000):
        chosen = dice.choice(100, 5, replace=False)
        weights = {f"t{track}": float(dice.random()) for track in chosen}
        rig.put_profile(f"p{number:04d}", weights, is_listed=number % 3 > 0)
    blocked = {f"p{number:04d}" for number in range(0, 1000, 7)}
    found = await rig.search.nearest("p0000", 100, blocked)
    expected = rig.expected("p0000", 100, blocked)
    assert expected is not None
    assert [one for one, _ in found] == [one for one, _ in expected]
    lowest = found[30][1]
    assert len(await rig.search.nearest("p0000", 100, blocked, lowest)) == sum(one >= lowest for _, one in found)
    listed = [f"p{number:04d}" for number in range(1000) if number % 3]
    assert sorted(computed) == sorted([*listed, "p0000", "p0000"])  # who asks each time

    computed.clear()
    await rig.search.nearest("p0001", 1, ())
    await rig.put_track("nobody listens to it", 1)
    await rig.search.nearest("p0001", 1, ())
    assert computed == ["p0001", "p0001"]
    computed.clear()
    await rig.put_track("t7", 777)
    rig.put_profile("p0001", {"t1": 1})
    await rig.search.nearest("p0001", 1, ())
    with_track = {one.profile_id for one in rig.profiles.all() if "t7" in one.track_ids and one.is_listed}
    assert sorted(computed) == sorted([*(with_track | {"p0001"}), "p0001"])
    await ask(rig, "p0002", 20, set())


async def test_many_who_change_are_not_all(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two questions of a quiet night thousands of weights change, and most do not."""
    await rig.put_track("t0", 0)
    for name in ("a", "b", "c"):
        rig.put_profile(name, {"t0": 1})
    await rig.search.nearest("a", 5, ())
    for number in range(10_001):
        rig.put_profile(f"x{number}", {"t0": 1})
        rig.profiles.remove(f"x{number}")
    rig.put_profile("b", {"t0": 2})
    computed: list[str] = []

    def counting(one: Profile, index: TrackIndex) -> Float32Array | None:
        computed.append(one.profile_id)
        return taste_of(one, index)

    monkeypatch.setattr("services.retriever.live.profile_search.taste_of", counting)
    assert [one for one, _ in await rig.search.nearest("a", 5, ())] == ["b", "c"]
    assert computed == ["b", "a"]


async def test_a_profile_that_was_deleted_is_found_by_nobody(rig: Rig) -> None:
    await rig.put_track("t0", 0)
    await rig.put_track("t1", 1)
    for number in range(4):
        rig.put_profile(f"p{number}", {"t0": 1, "t1": number})
    await ask(rig, "p0", 5, set())
    rig.profiles.remove("p1")
    assert {one for one, _ in await rig.search.nearest("p0", 5, ())} == {"p2", "p3"}
    rig.put_profile("p2", {"t0": 1}, is_listed=False)
    assert {one for one, _ in await rig.search.nearest("p0", 5, ())} == {"p3"}


def held_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Let the next question wait, when it has read who there is, until the event is set."""
    release = threading.Event()

    def slowly(one: Profile, index: TrackIndex) -> Float32Array | None:
        if one.profile_id == "slow":
            release.wait(600)
        return taste_of(one, index)

    monkeypatch.setattr("services.retriever.live.profile_search.taste_of", slowly)
    rig.put_profile("slow", {"t0": 1})
    return release


async def test_who_is_deleted_or_hides_while_the_question_is_answered_is_not_told(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first question of a large library takes half a minute, in which people go on living."""
    await rig.put_track("t0", 0)
    for number in range(6):
        rig.put_profile(f"p{number}", {"t0": 1})
    release = held_up(rig, monkeypatch)
    asking = asyncio.create_task(rig.search.nearest("p0", 2, ()))
    await asyncio.sleep(0.05)
    rig.profiles.remove("p1")
    rig.put_profile("p2", {"t0": 1}, is_listed=False)
    release.set()
    assert [one for one, _ in await asking] == ["p3", "p4"]
    assert [one for one, _ in await rig.search.nearest("p0", 9, ())] == ["p3", "p4", "p5", "slow"]


async def test_who_asks_and_is_deleted_meanwhile_is_not_answered(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.put_track("t0", 0)
    rig.put_profile("a", {"t0": 1})
    release = held_up(rig, monkeypatch)
    asking = asyncio.create_task(rig.search.nearest("a", 2, ()))
    await asyncio.sleep(0.05)
    rig.profiles.remove("a")
    release.set()
    with pytest.raises(UnknownProfile):
        await asking


async def test_who_asks_and_is_deleted_at_the_last_moment_is_not_answered(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.put_track("t0", 0)
    rig.put_profile("a", {"t0": 1})
    rig.put_profile("b", {"t0": 1})
    search = TasteMatrix.nearest

    def late(matrix: TasteMatrix, *arguments: Any) -> list[tuple[str, float]]:
        rig.profiles.remove("a")
        return search(matrix, *arguments)

    monkeypatch.setattr(TasteMatrix, "nearest", late)
    with pytest.raises(UnknownProfile):
        await rig.search.nearest("a", 2, ())


async def test_a_log_that_begins_anew_while_the_question_is_answered_is_no_answer(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.put_track("t0", 0)
    rig.put_profile("a", {"t0": 1})
    release = held_up(rig, monkeypatch)
    asking = asyncio.create_task(rig.search.nearest("a", 2, ()))
    await asyncio.sleep(0.05)
    rig.profiles.clear()
    rig.profiles.is_caught_up = False
    release.set()
    with pytest.raises(ProfilesLoading):
        await asking


async def test_vectors_of_another_length_take_the_place_of_all(rig: Rig) -> None:
    await rig.put_track("t0", 0)
    for name in ("a", "b"):
        rig.put_profile(name, {"t0": 1, "t1": 1})
    assert await rig.search.nearest("a", 5, ()) == [("b", 1.0)]

    def replace(index: TrackIndex) -> None:
        index.remove("t0")
        index.upsert(Track("t1", 1), unit(1, 9))
        rig.touched.note("t0")
        rig.touched.note("t1")

    await rig.change(replace)
    assert await rig.search.nearest("a", 5, ()) == [("b", 1.0)]


async def test_no_more_profiles_are_compared_than_the_bound(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.retriever.live.profile_search.MAX_PROFILES", 3)
    await rig.put_track("t0", 0)
    for number in range(6):
        rig.put_profile(f"p{number}", {"t0": 1}, is_listed=number != 1)
    # Who is beyond it may ask.
    assert [one for one, _ in await rig.search.nearest("p5", 9, ())] == ["p0", "p2", "p3"]
    rig.profiles.remove("p0")
    assert [one for one, _ in await rig.search.nearest("p5", 9, ())] == ["p2", "p3", "p4"]
    rig.put_profile("p5", {"t0": 1}, is_listed=False)
    rig.profiles.remove("p3")
    assert [one for one, _ in await rig.search.nearest("p5", 9, ())] == ["p2", "p4"]


async def test_who_asks_again_walks_through_nobody(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await rig.put_track("t0", 0)
    for number in range(50):
        rig.put_profile(f"p{number}", {"t0": 1})
    await rig.search.nearest("p0", 5, ())
    monkeypatch.setattr(rig.profiles, "all", lambda: pytest.fail("all profiles were walked through"))
    rig.put_profile("p1", {"t0": 3})
    rig.profiles.remove("p2")
    assert [one for one, _ in await rig.search.nearest("p0", 3, ())] == ["p1", "p10", "p11"]


async def test_a_caller_who_gives_up_loses_no_change(rig: Rig) -> None:
    """Cancelled at any step, the search is whole at the next question."""
    await rig.put_track("t0", 0)
    await rig.put_track("t1", 1)
    rig.put_profile("a", {"t0": 1})
    rig.put_profile("b", {"t1": 1})
    await ask(rig, "a", 5, set())
    for steps in range(12):
        await rig.put_track("t1", 50 + steps)
        rig.put_profile(f"new {steps}", {"t1": 1, "t0": 1})
        asking = asyncio.create_task(rig.search.nearest("a", 50, ()))
        for _ in range(steps % 6):
            await asyncio.sleep(0.0002 if steps < 6 else 0)
        asking.cancel()
        await asyncio.wait({asking})
        await ask(rig, "a", 50, set())


async def test_work_that_its_caller_left_is_over_before_the_next_begins(rig: Rig) -> None:
    await rig.put_track("t0", 0)
    rig.put_profile("a", {"t0": 1})
    rig.put_profile("b", {"t0": 1})
    release = threading.Event()
    rig.thread.submit(release.wait, 5)
    left = asyncio.create_task(rig.search.nearest("a", 5, ()))
    await asyncio.sleep(0.05)
    left.cancel()
    await asyncio.wait({left})
    asking = asyncio.create_task(rig.search.nearest("a", 5, ()))
    await asyncio.sleep(0.05)
    assert not asking.done()
    release.set()
    assert await asking == [("b", 1.0)]


async def test_nobody_is_answered_from_logs_that_are_not_read(rig: Rig) -> None:
    rig.put_profile("a", {"t0": 1})
    await rig.put_track("t0", 0)
    rig.profiles.is_caught_up = False
    with pytest.raises(ProfilesLoading) as loading:
        await rig.search.nearest("a", 5, ())
    assert (loading.value.reason, loading.value.retry_after_ms) == ("PROFILES_LOADING", 500)
    rig.profiles.is_caught_up = True
    await rig.change(lambda index: None, is_caught_up=False)
    with pytest.raises(IndexLoading):
        await rig.search.nearest("a", 5, ())


async def test_a_profile_without_a_taste_is_told_how_many_tracks_it_has(rig: Rig) -> None:
    rig.put_profile("a", {"gone": 1, "lost": 2})
    with pytest.raises(NoTaste) as refused:
        await rig.search.nearest("a", 5, ())
    assert (refused.value.reason, refused.value.value) == ("NO_TASTE", "a")
    assert "none of its 2 tracks" in refused.value.message
    with pytest.raises(UnknownProfile) as unknown:
        await rig.search.nearest("nobody", 5, ())
    assert (unknown.value.reason, unknown.value.field, unknown.value.value) == (
        "UNKNOWN_PROFILE",
        "profile_id",
        "nobody",
    )


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.none() | st.integers(0, 9)), max_size=40))
def test_the_matrix_holds_the_last_taste_of_each(changes: list[tuple[str, int | None]]) -> None:
    matrix = TasteMatrix()
    tastes: dict[str, Float32Array] = {}
    for profile_id, sound in changes:
        if sound is None:
            matrix.remove(profile_id)
            tastes.pop(profile_id, None)
        else:
            matrix.put(profile_id, unit(sound))
            tastes[profile_id] = unit(sound)
    assert len(matrix) == len(tastes)
    assert {one for one in "abcdef" if one in matrix} == tastes.keys()
    found = dict(matrix.nearest(unit(99), 10, {"b"}))
    assert found == pytest.approx(
        {one: float(taste @ unit(99)) for one, taste in tastes.items() if one != "b"}, abs=2e-6
    )


def test_a_taste_of_another_length_is_the_only_one() -> None:
    matrix = TasteMatrix()
    matrix.put("a", unit(1))
    matrix.put("b", unit(1, 9))
    assert ("a" in matrix, len(matrix)) == (False, 1)
    assert [one for one, _ in matrix.nearest(unit(1, 9), 5, ())] == ["b"]
    assert matrix.nearest(unit(1), 5, ()) == []


def test_profiles_of_one_taste_are_ordered_by_id_also_at_the_cut() -> None:
    matrix = TasteMatrix()
    for profile_id in ("c", "a", "d", "b"):
        matrix.put(profile_id, unit(1))
    matrix.put("z", unit(2))
    assert [one for one, _ in matrix.nearest(unit(1), 2, ())] == ["a", "b"]
    assert [one for one, _ in matrix.nearest(unit(1), 2, {"a"})] == ["b", "c"]
    assert matrix.nearest(unit(1), 3, {"a", "b", "c", "d", "z"}) == []


def test_more_notes_than_are_kept_mean_all_tracks() -> None:
    touched = Touched()
    for number in range(10_000):
        touched.note(f"t{number}")
    assert len(touched.take() or ()) == 10_000
    assert touched.take() == set()
    for number in range(10_001):
        touched.note(f"t{number}")
    assert touched.take() is None
    touched.note("t")
    assert touched.take() == {"t"}
