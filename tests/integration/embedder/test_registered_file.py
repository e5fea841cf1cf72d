"""A file that is not the one that was registered: nothing is kept of it under the other one's name."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from museed.embedder.v1 import events_pb2
from museed.social.v1.events_pb2 import EmbedTrack
from services.chassis.bus import Delivery
from services.chassis.errors import DomainError
from services.chassis.media import open_in_thread
from services.embedder.consumer import EmbedWork
from services.embedder.errors import MediaChanged, NotAudio
from services.embedder.publisher import Publisher
from services.embedder.registered_file import RegisteredFile
from tests.integration.embedder.conftest import Rig
from tests.integration.embedder.test_work import ENCODER_ID, LIMITS, SUBJECT, song, wants_everything


class Told(Publisher):
    """Keeps the last event."""

    def __init__(self) -> None:
        self.event: events_pb2.TrackEmbedded | events_pb2.TrackEmbeddingFailed | None = None

    async def embedded(self, event: events_pb2.TrackEmbedded, work_id: str) -> None:
        self.event = event

    async def failed(self, event: events_pb2.TrackEmbeddingFailed, work_id: str) -> None:
        self.event = event


@dataclass
class Desk:
    """An embedder's work, for one file that was registered when it was `registered`."""

    path: Path
    rig: Rig
    told: Told
    work: EmbedWork

    async def embed(self, registered: bytes, work_id: str = "work-1") -> None:
        file_hash = hashlib.sha256(registered).digest() if registered else b""
        message = EmbedTrack(
            track_id="a",
            encoder_id=ENCODER_ID,
            audio_hash=b"\1" * 32,
            root_location=str(self.path.parent),
            relative_path=os.fsencode(self.path.name),
            file_hash=file_hash,
        )
        await self.work.handle(Delivery(SUBJECT, message.SerializeToString(), work_id, 1, "EMBED_WORK", 1))

    def failure(self) -> events_pb2.TrackEmbeddingFailed:
        assert isinstance(self.told.event, events_pb2.TrackEmbeddingFailed)
        return self.told.event


@pytest.fixture
async def desk(rig: Rig, tmp_path: Path) -> AsyncIterator[Desk]:
    song(tmp_path, "a.wav")
    told = Told()
    work = EmbedWork(ENCODER_ID, rig.tracks, rig.blobs, told, LIMITS, wants_everything)
    yield Desk(tmp_path / "a.wav", rig, told, work)
    work.close()


async def test_file_as_it_was_registered_is_embedded_from_its_beginning(desk: Desk) -> None:
    await desk.embed(desk.path.read_bytes())
    assert isinstance(desk.told.event, events_pb2.TrackEmbedded)
    assert desk.told.event.embedding.duration_seconds == 34


async def test_other_file_in_its_place_is_refused_unheard_until_the_first_is_back(desk: Desk) -> None:
    registered = desk.path.read_bytes()
    song(desk.path.parent, desk.path.name, level=0.8)  # as long, and as many bytes
    other = desk.path.read_bytes()
    await desk.embed(registered)
    failure = desk.failure()
    was, now = hashlib.sha256(registered), hashlib.sha256(other)
    assert failure.reason == "MEDIA_CHANGED"
    assert failure.message == (
        f"the file has SHA-256 {now.hexdigest()} now and had {was.hexdigest()} when it was registered: ingest it again"
    )
    assert failure.file_hash == was.digest()
    assert desk.rig.encoder.batches == []
    desk.path.write_bytes(registered)
    await desk.embed(registered, "work-2")
    assert isinstance(desk.told.event, events_pb2.TrackEmbedded)


async def test_file_that_is_no_sound_any_more_says_nothing_of_the_sound_it_was(desk: Desk) -> None:
    registered = desk.path.read_bytes()
    desk.path.write_bytes(b"")
    await desk.embed(registered)
    assert desk.failure().reason == "MEDIA_CHANGED"


@pytest.mark.parametrize("is_known", [True, False])
async def test_file_that_is_written_to_while_it_is_heard_is_refused(desk: Desk, is_known: bool) -> None:
    registered = desk.path.read_bytes()
    desk.rig.encoder.open.clear()
    embedding = asyncio.create_task(desk.embed(registered if is_known else b""))
    async with asyncio.timeout(60):
        while not desk.rig.encoder.batches:
            await asyncio.sleep(0.01)
    with desk.path.open("ab") as file:
        file.write(b"more")
    desk.rig.encoder.open.set()
    await embedding
    size = len(registered)
    assert desk.failure().reason == "MEDIA_CHANGED"
    assert desk.failure().message == (
        f"the file was written to while it was read, from {size} to {size + 4} bytes: ingest it again"
    )


async def test_what_was_half_written_is_no_fault_of_the_sound(desk: Desk) -> None:
    file = RegisteredFile(str(desk.path.parent), os.fsencode(desk.path.name), b"")
    descriptor = await open_in_thread(None, file.open)
    desk.path.write_bytes(b"no sound")
    try:
        with pytest.raises(DomainError) as caught:
            await desk.work._hear(file, descriptor)
    finally:
        os.close(descriptor)
    assert (caught.value.reason, type(caught.value.__context__)) == ("MEDIA_CHANGED", NotAudio)


async def test_file_that_is_replaced_by_name_while_it_is_heard_was_the_right_one(desk: Desk) -> None:
    registered = desk.path.read_bytes()
    desk.rig.encoder.open.clear()
    embedding = asyncio.create_task(desk.embed(registered))
    async with asyncio.timeout(60):
        while not desk.rig.encoder.batches:
            await asyncio.sleep(0.01)
    song(desk.path.parent, "b.wav", level=0.8)
    (desk.path.parent / "b.wav").rename(desk.path)
    desk.rig.encoder.open.set()
    await embedding
    assert isinstance(desk.told.event, events_pb2.TrackEmbedded)


def test_descriptor_is_at_the_beginning_and_that_of_a_refused_file_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    path.write_bytes(b"sound")
    descriptor = RegisteredFile(str(tmp_path), b"a.ogg", hashlib.sha256(b"sound").digest()).open()
    assert os.read(descriptor, 10) == b"sound"
    os.close(descriptor)
    with pytest.raises(MediaChanged):
        RegisteredFile(str(tmp_path), b"a.ogg", b"\1" * 32).open()
    links = [f"/proc/self/fd/{one}" for one in os.listdir("/proc/self/fd")]
    assert str(path) not in [os.readlink(link) for link in links if os.path.islink(link)]
