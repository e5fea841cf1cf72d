"""Work that is given out again, or whose end is not confirmed: it is told again, and not done again."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from museed.embedder.v1 import events_pb2
from museed.social.v1.events_pb2 import EmbedTrack
from services.chassis.bus import DeadLetter, Delivery
from services.chassis.errors import Unavailable
from services.embedder import consumer
from services.embedder.consumer import EmbedWork
from services.embedder.publisher import Publisher
from tests.integration.embedder.conftest import Rig
from tests.integration.embedder.test_work import ENCODER_ID, LIMITS, SUBJECT, song, wants_everything

Event = events_pb2.TrackEmbedded | events_pb2.TrackEmbeddingFailed


class Telling(Publisher):
    """A NATS that confirms nothing for its first `losses` events, nor before `is_open`."""

    def __init__(self) -> None:
        self.losses = 0
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.tries = 0
        self.told: list[tuple[str, Event]] = []

    async def embedded(self, event: events_pb2.TrackEmbedded, work_id: str) -> None:
        await self._tell(event, work_id)

    async def failed(self, event: events_pb2.TrackEmbeddingFailed, work_id: str) -> None:
        await self._tell(event, work_id)

    async def _tell(self, event: Event, work_id: str) -> None:
        self.tries += 1
        await self.is_open.wait()
        if self.losses:
            self.losses -= 1
            raise Unavailable("not confirmed", reason="BUS_UNAVAILABLE")
        self.told.append((work_id, event))


@dataclass
class Desk:
    """An embedder's work, handed to it without a queue."""

    root: Path
    rig: Rig
    publisher: Telling
    work: EmbedWork

    def delivery(self, name: str, work_id: str, attempt: int = 1) -> Delivery:
        message = EmbedTrack(
            track_id=f"track-{work_id}",
            encoder_id=ENCODER_ID,
            root_location=str(self.root),
            relative_path=os.fsencode(name),
        )
        return Delivery(SUBJECT, message.SerializeToString(), work_id, attempt, "EMBED_WORK", 1)

    def handle(self, name: str, work_id: str, attempt: int = 1) -> asyncio.Task[None]:
        async def handled() -> None:
            await self.work.handle(self.delivery(name, work_id, attempt))

        return asyncio.create_task(handled())

    async def until_telling(self) -> None:
        tries = self.publisher.tries
        async with asyncio.timeout(60):
            while self.publisher.tries == tries:
                await asyncio.sleep(0.01)

    def heard(self) -> int:
        """Windows of 10 s that the model was given; a song of 34 s has four."""
        return sum(len(batch) for batch in self.rig.encoder.batches)


@pytest.fixture
async def desk(rig: Rig, tmp_path: Path) -> AsyncIterator[Desk]:
    song(tmp_path, "a.wav")
    publisher = Telling()
    work = EmbedWork(ENCODER_ID, rig.tracks, rig.blobs, publisher, LIMITS, wants_everything)
    yield Desk(tmp_path, rig, publisher, work)
    work.close()


async def test_result_that_was_not_confirmed_is_told_again_and_not_made_again(desk: Desk) -> None:
    desk.publisher.losses = 2
    for _ in range(2):
        with pytest.raises(Unavailable):
            await desk.handle("a.wav", "work-1")
    (desk.root / "a.wav").unlink()
    await desk.handle("a.wav", "work-1")
    ((work_id, event),) = desk.publisher.told
    assert (work_id, type(event)) == ("work-1", events_pb2.TrackEmbedded)
    assert desk.heard() == 4


async def test_refusal_that_was_not_confirmed_is_told_again_as_it_was(desk: Desk) -> None:
    desk.publisher.losses = 1
    with pytest.raises(Unavailable):
        await desk.handle("later.wav", "work-1")
    song(desk.root, "later.wav")
    await desk.handle("later.wav", "work-1")
    ((_, event),) = desk.publisher.told
    assert isinstance(event, events_pb2.TrackEmbeddingFailed)
    assert event.reason == "MEDIA_NOT_FOUND"
    assert desk.heard() == 0


async def test_work_that_comes_again_while_it_is_in_hand_ends_with_the_first(desk: Desk) -> None:
    desk.publisher.is_open.clear()
    first = desk.handle("a.wav", "work-1")
    second = desk.handle("a.wav", "work-1", attempt=2)
    await desk.until_telling()
    assert not second.done()
    desk.publisher.is_open.set()
    await asyncio.gather(first, second)
    assert [work_id for work_id, _ in desk.publisher.told] == ["work-1"]
    assert desk.heard() == 4


async def test_work_that_comes_again_after_its_end_is_told_again_and_not_done_again(desk: Desk) -> None:
    await desk.handle("a.wav", "work-1")
    await desk.handle("a.wav", "work-1", attempt=2)
    assert [work_id for work_id, _ in desk.publisher.told] == ["work-1", "work-1"]
    assert desk.heard() == 4


async def test_second_delivery_takes_over_where_the_first_is_cancelled(desk: Desk) -> None:
    desk.publisher.is_open.clear()
    first = desk.handle("a.wav", "work-1")
    second = desk.handle("a.wav", "work-1", attempt=2)
    await desk.until_telling()
    first.cancel()
    desk.publisher.is_open.set()
    await second
    assert first.cancelled()
    assert [work_id for work_id, _ in desk.publisher.told] == ["work-1"]
    assert desk.heard() == 4


async def test_only_so_many_results_are_kept(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "_MOST_KEPT", 2)
    for number in range(4):
        await desk.handle("missing.wav", f"work-{number}")
    assert list(desk.work._kept) == ["work-2", "work-3"]


async def test_result_that_is_kept_is_told_of_work_that_was_set_aside(desk: Desk) -> None:
    desk.publisher.losses = 1
    with pytest.raises(Unavailable):
        await desk.handle("a.wav", "work-1")
    for work_id in ("work-1", "work-2"):
        given = desk.delivery("a.wav", work_id)
        lost = ("UNKNOWN", "HANDLER_LOST", "delivered 10 times", datetime.now(UTC))
        await desk.work.give_up(DeadLetter(SUBJECT, given.payload, work_id, given.stream, 10, *lost))
    (_, kept), (_, failed) = desk.publisher.told
    assert isinstance(kept, events_pb2.TrackEmbedded)
    assert isinstance(failed, events_pb2.TrackEmbeddingFailed)
    assert failed.reason == "EMBEDDING_FAILED"
