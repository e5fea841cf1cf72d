"""Writes: how far NATS is behind PostgreSQL while people act all the time, and after a burst with four publishers."""

import asyncio
import itertools
import random
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime

import asyncpg
import grpc
import numpy as np

from benchmarks.people.calibration import calibrate
from benchmarks.people.service import Social
from benchmarks.retrieval.run import Row
from museed.social.v1 import (
    editing_pb2,
    editing_pb2_grpc,
    engagement_pb2,
    engagement_pb2_grpc,
    listening_pb2,
    listening_pb2_grpc,
    people_pb2,
    people_pb2_grpc,
)
from services.chassis.bus import PEOPLE_EVENTS, SOCIAL_EVENTS, Bus
from services.social.domain.ids import new_id
from services.social.events import Event
from services.social.publisher import Publisher
from services.social.store import outbox
from services.social.store.database import Database
from services.social.store.locks import LaneLocks
from services.social.wire import timestamp
from services.social.workers.background import Nudge

MIXED_S = 60.0
_SATURATED_S = 10.0
BURST = 5_000
_PUBLISHERS = 4
_WRITERS = 32
_KEYS = 500
_TIMEOUT_S = 10.0
_SUBJECT = "museed.social.v1.session_revoked"

Metadata = tuple[tuple[str, str], ...]
Act = Callable[[random.Random, Metadata], Awaitable[object]]


def mixed(social: Social, seconds: float) -> list[Row]:
    """Likes, follows, plays, comments and edits for 60 s at a fixed rate; how far NATS is behind.

    A write of people is several statements and a call, so its commit rate is measured with these very writes, by
    callers who never pause; the bare rate of commits stands in the table's first part.
    """

    async def run() -> list[Row]:
        bus = await Bus.connect(social.bus, "social")
        try:
            found = await calibrate(social.database_url, social.folder, bus, _SUBJECT)
            most = await _act(social, None, _SATURATED_S)
            await _drained(social)
            commits = most.done / _SATURATED_S
            wanted = 0.8 * min(commits, found.publishes)
            first = (await bus.jetstream.stream_info(PEOPLE_EVENTS)).state.last_seq + 1
            acted = await _act(social, wanted, MIXED_S)
            await _drained(social)
            published = (await bus.jetstream.stream_info(PEOPLE_EVENTS)).state.last_seq + 1 - first
        finally:
            await bus.close()
        rates = (
            f"wanted: 80 % of min({commits:.0f} of these commits, {found.publishes:.0f} publishes one after another)"
        )
        return [
            Row(rates, f"{wanted:.0f}/s"),
            Row("writes that were done in 60 s", f"{acted.done / MIXED_S:.0f}/s", f"≥ {0.98 * wanted:.0f}"),
            Row("  p50, p99", _two(acted.latencies_s)),
            Row("  refused", str(dict(acted.refused)) or "none", "none"),
            Row(f"age of the outbox's oldest row, p50, p99 of {len(acted.lags_s)} looks", _two(acted.lags_s), "< 1 s"),
            Row("events that came of it", f"{published:,}"),
        ]

    return asyncio.run(run())


@dataclass
class _Acted:
    """What came of writes: how many were done, latencies in s, refusals by text, and how old the outbox was, in s."""

    done: int = 0
    latencies_s: list[float] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    lags_s: list[float] = field(default_factory=list)


def _two(seconds: Sequence[float]) -> str:
    return f"{1e3 * float(np.percentile(seconds, 50)):.0f} ms, {1e3 * float(np.percentile(seconds, 99)):.0f} ms"


async def _act(social: Social, rate: float | None, seconds: float) -> _Acted:
    """Act for a time at a rate, None for as fast as answers come."""
    acted = _Acted()
    people = social.population.users
    # Another one each time: in a kept database what was liked before would be liked already.
    chance = random.Random(social.population.rows["plays"])
    actors = [chance.choice(people) for _ in range(2_000)]
    tokens = [(("authorization", f"Bearer {social.token(who)}"),) for who in actors]
    async with grpc.aio.insecure_channel(social.address, options=(("grpc.enable_retries", 0),)) as channel:
        acts = _acts(channel, social, set(actors))
        began = time.monotonic()
        numbers = itertools.count()

        async def caller() -> None:
            own = random.Random(chance.random())
            while True:
                due = began + next(numbers) / rate if rate else time.monotonic()
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                if max(due, time.monotonic()) - began > seconds:
                    return
                asked = time.monotonic()
                try:
                    await own.choice(acts)(own, own.choice(tokens))
                except grpc.aio.AioRpcError as error:
                    acted.refused[f"{error.code().name}: {error.details()}"[:80]] += 1
                    continue
                acted.done += 1
                acted.latencies_s.append(time.monotonic() - asked)

        looking = asyncio.create_task(_look(social, acted.lags_s))
        await asyncio.gather(*(caller() for _ in range(_WRITERS)))
        looking.cancel()
    return acted


async def _look(social: Social, lags_s: list[float]) -> None:
    """Note ten times a second how long the oldest event has been waiting; 0 where nothing waits."""
    sql = await asyncpg.connect(social.database_url)
    seen: dict[int, float] = {}
    try:
        while True:
            # In one statement: between two the last row may be gone.
            oldest, newest = await sql.fetchrow("SELECT min(id), max(id) FROM outbox") or (None, None)
            now = time.monotonic()
            if oldest is None:
                lags_s.append(0.0)
                seen.clear()
            else:
                # Ids rise with time: what waits was first seen, or later than, when the newest below it was.
                seen[newest] = now
                lags_s.append(now - min((at for number, at in seen.items() if number >= oldest), default=now))
                seen = {number: at for number, at in seen.items() if number >= oldest}
            await asyncio.sleep(0.1)
    finally:
        await sql.close()


def _acts(channel: grpc.aio.Channel, social: Social, actors: Set[str]) -> list[Act]:
    engagement, editing = (
        engagement_pb2_grpc.EngagementServiceStub(channel),
        editing_pb2_grpc.EditingServiceStub(channel),
    )
    people, listening = people_pb2_grpc.PeopleServiceStub(channel), listening_pb2_grpc.ListeningServiceStub(channel)
    public, tracks = social.population.public_playlists, social.population.tracks
    # Nobody follows themselves.
    others = [each for each in social.population.users if each not in actors]

    def like(chance: random.Random, metadata: Metadata) -> Awaitable[object]:
        request = engagement_pb2.LikePlaylistRequest(playlist_id=chance.choice(public))
        return engagement.LikePlaylist(request, metadata=metadata, timeout=_TIMEOUT_S)

    def follow(chance: random.Random, metadata: Metadata) -> Awaitable[object]:
        request = people_pb2.FollowRequest(user_id=chance.choice(others))
        return people.Follow(request, metadata=metadata, timeout=_TIMEOUT_S)

    def comment(chance: random.Random, metadata: Metadata) -> Awaitable[object]:
        request = engagement_pb2.AddCommentRequest(
            idempotency_key=new_id(), playlist_id=chance.choice(public), text="Good for rain."
        )
        return engagement.AddComment(request, metadata=metadata, timeout=_TIMEOUT_S)

    def play(chance: random.Random, metadata: Metadata) -> Awaitable[object]:
        heard = listening_pb2.Play(
            play_id=new_id(), track_id=chance.choice(tracks), heard_seconds=60, played_at=timestamp(datetime.now(UTC))
        )
        return listening.RecordPlays(
            listening_pb2.RecordPlaysRequest(plays=[heard]), metadata=metadata, timeout=_TIMEOUT_S
        )

    def create(chance: random.Random, metadata: Metadata) -> Awaitable[object]:
        request = editing_pb2.CreatePlaylistRequest(
            idempotency_key=new_id(), title="A new list", track_ids=chance.sample(tracks, 5)
        )
        return editing.CreatePlaylist(request, metadata=metadata, timeout=_TIMEOUT_S)

    return [like, like, like, play, play, play, play, follow, comment, create]


async def _drained(social: Social, timeout_s: float = 60.0) -> float:
    """Wait until nothing waits to be published; return how long that took, in s."""
    sql = await asyncpg.connect(social.database_url)
    began = time.monotonic()
    try:
        while await sql.fetchval("SELECT EXISTS (SELECT FROM outbox)"):
            if time.monotonic() - began > timeout_s:
                raise TimeoutError("the outbox was not drained in time")
            await asyncio.sleep(0.02)
    finally:
        await sql.close()
    return time.monotonic() - began


def burst(social: Social, seconds: float) -> list[Row]:
    """5,000 events by writers whose commits come late by chance, with four publishers beside the service's own."""

    async def run() -> list[Row]:
        bus = await Bus.connect(social.bus, "social")
        database = await Database.connect(social.database_url, size=24, statement_timeout_ms=60_000)
        publishers = [
            asyncio.create_task(Publisher(LaneLocks(social.database_url), bus, Nudge()).run())
            for _ in range(_PUBLISHERS)
        ]
        try:
            first = (await bus.jetstream.stream_info(SOCIAL_EVENTS)).state.last_seq + 1
            written = await _write(database)
            drained_s = await _drained(social)
            last = (await bus.jetstream.stream_info(SOCIAL_EVENTS)).state.last_seq
            read: defaultdict[str, list[str]] = defaultdict(list)
            for sequence in range(first, last + 1):
                key, text = (await bus.jetstream.get_msg(SOCIAL_EVENTS, sequence)).data.decode().split("|")
                read[key].append(text)
        finally:
            for task in publishers:
                task.cancel()
            await asyncio.wait(publishers)
            await database.close()
            await bus.close()
        lost = sum(len(set(texts) - set(read[key])) for key, texts in written.items())
        doubled = sum(len(texts) - len(set(texts)) for texts in read.values())
        disordered = sum(read[key] != texts for key, texts in written.items())
        return [
            Row(f"{BURST:,} events, {_PUBLISHERS + 1} publishers: drained after the last commit", f"{drained_s:.1f} s"),
            Row("  lost; doubled; keys out of order", f"{lost}; {doubled}; {disordered}", "0; 0; 0"),
        ]

    return asyncio.run(run())


async def _write(database: Database) -> dict[str, list[str]]:
    """Write a burst; return by key what was committed, in order."""
    keys = [f"key-{number}" for number in range(_KEYS)]
    turns = {key: asyncio.Lock() for key in keys}  # as the lock on the row that a key names
    written: defaultdict[str, list[str]] = defaultdict(list)
    numbers = itertools.count()

    async def writer(seed: int) -> None:
        chance = random.Random(seed)
        while (number := next(numbers)) < BURST:
            key = chance.choice(keys)
            async with turns[key]:
                text = f"{number:05d}"
                event = Event(new_id(), key, _SUBJECT, f"{key}|{text}".encode())
                async with database.transaction() as connection:
                    await outbox.add(connection, event)
                    await asyncio.sleep(chance.expovariate(100))
                written[key].append(text)

    await asyncio.gather(*(writer(seed) for seed in range(_WRITERS // 2)))
    return dict(written)
