"""The hub: bells, mailboxes, what is kept for those who come back."""

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from museed.social.v1 import feed_pb2
from services.chassis.errors import Unavailable
from services.gateway.live import hub as hub_module
from services.gateway.live.bells import Bells
from services.gateway.live.cursors import Place
from services.gateway.live.followed import Followed
from services.gateway.live.hub import Hub, Item, Topic
from tests.fakes.answers import NOW
from tests.fakes.upstreams import new_id

PEOPLE = [new_id() for _ in range(4)]
ME = new_id()


class Feed:
    """A topic without social."""

    name = "feed"
    user_id = ME

    def __init__(self, *followed: str) -> None:
        self.followed = Followed(followed)

    def wants(self, item: Item) -> bool:
        return item.person_id in self.followed

    def begin_to_follow(self, user_id: str) -> bool:
        is_new = user_id not in self.followed
        self.followed.add(user_id)
        return is_new

    def end_to_follow(self, user_id: str) -> None:
        self.followed.discard(user_id)


def item(sequence: int, person_id: str = PEOPLE[0], topic: str = "feed") -> Item:
    at = NOW + timedelta(seconds=sequence)
    return Item(sequence, topic, person_id, f"thing {sequence}", at, feed_pb2.Activity())


def sequences(items: list[Item] | None) -> list[int] | None:
    return None if items is None else [one.sequence for one in items]


@given(
    st.lists(st.sampled_from(PEOPLE), max_size=30),
    st.integers(1, 40),
    st.integers(0, 35),
    st.sets(st.sampled_from(PEOPLE)),
)
def test_what_came_since_a_place_is_all_of_it_or_not_known(
    actors: list[str], most_kept: int, place: int, followed: set[str]
) -> None:
    hub = Hub(most_kept)
    hub.begin(Place(7, 0))
    for sequence, actor in enumerate(actors, start=1):
        hub.put(item(sequence, actor))
        hub.reach(Place(7, sequence), is_caught_up=True)
    found = sequences(hub.since(Place(7, place), Feed(*followed)))
    wanted = [number for number, actor in enumerate(actors, start=1) if number > place and actor in followed]
    forgotten = max(0, len(actors) - most_kept)
    assert found == (None if place < forgotten else wanted)
    assert hub.since(Place(8, place), Feed(*followed)) is None


def test_a_hub_that_begins_late_knows_nothing_of_before() -> None:
    hub = Hub()
    hub.begin(Place(7, 100))
    assert hub.since(Place(7, 99), Feed(PEOPLE[0])) is None
    assert hub.since(Place(7, 100), Feed(PEOPLE[0])) == []


def test_mailboxes_get_what_their_topic_wants_and_nothing_once_they_are_closed() -> None:
    hub = Hub()
    with hub.mailbox(Feed(PEOPLE[0])) as box:
        for sequence, person in enumerate(PEOPLE, start=1):
            hub.put(item(sequence, person))
        hub.put(item(9, PEOPLE[0], "notifications"))
        assert sequences(box.take()) == [1]
        assert box.take() == []
    hub.put(item(10))
    assert (box.take(), hub.follower_count) == ([], 0)


def test_a_mailbox_that_is_full_keeps_nothing_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "MOST_WAITING", 3)
    hub = Hub()
    with hub.mailbox(Feed(PEOPLE[0])) as box:
        for sequence in range(1, 4):
            hub.put(item(sequence))
        assert (len(box), box.is_behind) == (3, False)
        hub.put(item(4))
        assert (len(box), box.is_behind) == (0, True)
        hub.put(item(5))
        assert len(box) == 0
        hub.begin(Place(8, 0))
        assert box.is_behind


def test_whom_one_begins_to_follow_brings_what_they_did_since() -> None:
    hub = Hub()
    feed = Feed(PEOPLE[0])
    with hub.mailbox(feed) as box:
        for sequence in range(1, 6):
            hub.put(item(sequence, PEOPLE[1]))
        hub.begin_to_follow(ME, PEOPLE[1], NOW + timedelta(seconds=4))
        hub.begin_to_follow(ME, PEOPLE[1], NOW + timedelta(seconds=4))
        hub.begin_to_follow(PEOPLE[2], PEOPLE[3], NOW)
        hub.put(item(6, PEOPLE[1]))
        assert sequences(box.take()) == [4, 5, 6]
        hub.end_to_follow(PEOPLE[2], PEOPLE[1])
        hub.put(item(7, PEOPLE[1]))
        hub.end_to_follow(ME, PEOPLE[1])
        hub.put(item(8, PEOPLE[1]))
        assert sequences(box.take()) == [7]


async def test_nobody_begins_before_the_stream_was_read_to_its_end() -> None:
    hub = Hub()
    hub.begin(Place(7, 0))
    hub.reach(Place(7, 5), is_caught_up=False)
    with pytest.raises(Unavailable) as caught:
        await hub.until_ready(0.01)
    assert (caught.value.reason, caught.value.retry_after_ms) == ("LIVE_UNAVAILABLE", 1000)
    hub.reach(Place(7, 9), is_caught_up=True)
    await hub.until_ready(0.01)
    assert hub.here == Place(7, 9)


async def test_a_stream_that_is_silent_is_looked_at_sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "REREAD_S", 0.01)
    monkeypatch.setattr(hub_module, "LONGEST_UNREAD_S", 0.05)
    now = 100.0
    hub = Hub(monotonic=lambda: now)
    waits = 0

    class Counted:
        async def wait(self, timeout_s: float) -> bool:
            nonlocal waits
            waits += 1
            await asyncio.sleep(0)
            return False

    bell = Counted()
    await hub.until_news(bell, "S")  # type: ignore[arg-type]  # a bell that counts
    assert waits == 1
    hub.hear("S")
    assert hub.hears("S")
    await hub.until_news(bell, "S")  # type: ignore[arg-type]
    assert waits == 1 + 5
    now += 5.0
    assert not hub.hears("S")


async def test_bells_ring_for_their_watchers_and_say_why() -> None:
    bells = Bells()
    with bells.watch("job/1") as one, bells.watch("job/1") as two, bells.watch("job/2") as other:
        assert bells.watcher_count == 3
        bells.ring("job/1", "A")
        bells.ring("job/1", "B")
        bells.ring("job/3")
        assert (await one.wait(0.001), await two.wait(0.001), await other.wait(0.001)) == (True, True, False)
        assert one.take() == {"A", "B"}
        assert not await one.wait(0.001)
        assert await two.wait(0.001)
    assert bells.watcher_count == 0


@given(st.lists(st.sampled_from(PEOPLE)), st.lists(st.tuples(st.booleans(), st.sampled_from(PEOPLE))))
def test_who_is_followed_is_a_set(given_ids: list[str], changes: list[tuple[bool, str]]) -> None:
    found, wanted = Followed(given_ids), set(given_ids)
    for is_added, user_id in changes:
        if is_added:
            found.add(user_id)
            wanted.add(user_id)
        else:
            found.discard(user_id)
            wanted.discard(user_id)
    assert {one for one in PEOPLE if one in found} == wanted
    assert len(found) == len(wanted)


def test_feed_is_a_topic() -> None:
    topic: Topic = Feed()
    assert topic.name == "feed"
