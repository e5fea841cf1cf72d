"""Anything may die at any time, and what comes back is what the log says: random lives against a dictionary."""

import asyncio
import contextlib
import random
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from services.chassis.bus import VECTORS, Bus
from services.chassis.errors import Unavailable
from services.retriever.index.bases import IndexChoice
from services.retriever.index.kinds import Kind
from services.retriever.live.collection import Collection
from tests.conftest import NatsServer
from tests.integration.retriever.conftest import ENCODER_ID, Log, unit
from tests.integration.retriever.test_log import begin_anew


async def ignore(is_ready: bool) -> None: ...


@dataclass
class Life:
    """A retriever's index, its log, and what it ought to hold: (version, sound) by track."""

    server: NatsServer
    bus: Bus
    log: Log
    folder: Path
    dice: random.Random
    known: dict[str, tuple[int, int]] = field(default_factory=dict)
    count: int = 0

    def __post_init__(self) -> None:
        self.collection: Collection | None = None
        self.task: asyncio.Task[None] | None = None
        self.ours: Bus | None = None

    async def start(self) -> None:
        """Begin like a process that was started."""
        choice = IndexChoice(Kind.SQ8, merge_after=6, narrow=0)
        self.ours = await Bus.connect(self.server.settings("retriever"), "retriever")
        self.collection = Collection(ENCODER_ID, self.folder, 4, 0.1, ignore, choice)
        self.collection.consumer.expect(None, is_filling=False)  # social was asked, and knows of no loss
        self.task = asyncio.create_task(self.collection.run(self.ours))

    async def end(self) -> None:
        """Be asked to end."""
        assert self.task is not None
        assert self.collection is not None
        assert self.ours is not None
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task
        self.collection.live.close()
        await self.ours.close()

    async def restart(self) -> None:
        await self.end()
        await self.start()

    async def crash(self) -> None:
        """End without having been asked: what a graceful end does to the folder does not count."""
        copy = self.folder.with_name("copy")
        for _ in range(100):
            shutil.rmtree(copy, ignore_errors=True)
            with contextlib.suppress(shutil.Error, FileNotFoundError):  # it is just being written to
                shutil.copytree(self.folder, copy)
                break
        await self.end()
        shutil.rmtree(self.folder, ignore_errors=True)
        if copy.exists():
            copy.rename(self.folder)
        await self.start()

    async def damage(self) -> None:
        """Turn a bit of a file at rest, then start from it."""
        await self.end()
        if files := sorted(self.folder.glob("*/*.*")):
            path = self.dice.choice(files)
            data = bytearray(path.read_bytes())
            data[self.dice.randrange(len(data))] ^= 1 << self.dice.randrange(8)
            path.write_bytes(data)
        await self.start()

    async def put(self) -> None:
        """Add tracks, change some, take some away, and say nonsense in between."""
        for _ in range(self.dice.randint(1, 12)):
            self.count += 1
            track_id = f"t{self.dice.randrange(40):02d}"
            match self.dice.randrange(6):
                case 0:
                    self.known.pop(track_id, None)
                    await self.log.put_raw(track_id, b"")
                case 1:
                    await self.log.put_raw(f"noise{self.count}", b"\xff\xff\xff")
                case 2:
                    await self.log.put_raw(track_id, b"x", "another-encoder")
                case _:
                    self.known[track_id] = (self.count, self.count)
                    await self.log.put(track_id, self.count, self.count)

    async def outage(self) -> None:
        """Kill NATS, and start it again."""
        self.server.kill()
        await asyncio.sleep(self.dice.random() * 0.3)
        self.server.start()
        await self._until_answered()

    async def loss(self) -> None:
        """Rob NATS of its store; social tells all again, in another order."""
        await begin_anew(self.bus, self.server)
        told = list(self.known.items())
        self.dice.shuffle(told)
        for track_id, (version, sound) in told:
            await self.log.put(track_id, sound, version)

    async def lost_consumer(self) -> None:
        """Delete what NATS knows of its readers."""
        for consumer in await self.bus.jetstream.consumers_info(VECTORS):
            await self.bus.jetstream.delete_consumer(VECTORS, consumer.name)

    async def _until_answered(self) -> None:
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(Unavailable):
                    await self.bus.ensure_streams()
                    return
                await asyncio.sleep(0.05)

    async def check(self) -> None:
        """Compare once the index says that it has reached the log's end."""
        assert self.collection is not None
        assert self.task is not None
        info = await self.bus.jetstream.stream_info(VECTORS)
        live = self.collection.live

        def is_there() -> bool:
            position = live.position
            return (
                live.is_caught_up
                and position is not None
                and (position.created_at, position.sequence) == (info.created, info.state.last_seq)
            )

        assert await live.wait_until(is_there, 20), (live.position, info.created, info.state.last_seq, self.task)
        found = await live.run(
            lambda index: {track.track_id: (track.version, index.vector(track.track_id)) for track in index.tracks}
        )
        assert {track_id: version for track_id, (version, _) in found.items()} == {
            track_id: version for track_id, (version, _) in self.known.items()
        }
        for track_id, (_, sound) in self.known.items():
            assert np.allclose(found[track_id][1], unit(sound), atol=1e-3)


@pytest.fixture
async def life(nats_server: NatsServer, bus: Bus, log: Log, tmp_path: Path) -> AsyncIterator[Life]:
    found = Life(nats_server, bus, log, tmp_path / "snapshots", random.Random(0))
    await found.start()
    yield found
    await found.end()


async def live_through(life: Life, seed: int, steps: int) -> None:
    life.dice.seed(seed)
    for _ in range(steps):
        event = life.dice.choice(
            [
                life.put,
                life.put,
                life.put,
                life.restart,
                life.crash,
                life.damage,
                life.outage,
                life.loss,
                life.lost_consumer,
            ]
        )
        await event()
        if life.dice.random() < 0.5:
            await life.check()
    await life.check()


async def test_a_life_ends_as_the_log_says(life: Life) -> None:
    await live_through(life, 1, 8)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 12))
async def test_many_lives_end_as_the_log_says(life: Life, seed: int) -> None:
    await live_through(life, seed, 40)
