"""Whatever is killed with -9 while people write: what was acknowledged is there, once, and told once and in order."""

import asyncio
import contextlib
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from google.protobuf.message import Message

from museed.social.v1 import events_pb2, people_events_pb2
from services.chassis.bus import PEOPLE_EVENTS, SOCIAL_EVENTS, Bus
from services.chassis.bus.streams import stream_of
from services.chassis.channel import connect
from services.chassis.errors import NotFound
from tests.conftest import NatsServer
from tests.integration.social.client import Client
from tests.integration.social.conftest import until
from tests.integration.social.crashes.cluster import PATIENCE_S, Cluster
from tests.integration.social.crashes.writer import Told, World, Writer
from tests.integration.social.hands import Hands, register_tracks

WRITERS = 4
# Each is among the victims of every run.
VICTIMS = ["social", "social", "all of social", "nats", "postgres"]
SUBJECT = "museed.social.v1."
# What names the write that an event tells of, for those events that a writer expects; their key is the writer.
ABOUT: dict[str, tuple[type[Message], tuple[str, ...]]] = {
    "user_signed_up": (people_events_pb2.UserSignedUp, ("user_id",)),
    "playlist_changed": (people_events_pb2.PlaylistChanged, ("playlist_id", "version")),
    "playlist_deleted": (people_events_pb2.PlaylistDeleted, ("playlist_id",)),
    "playlist_liked": (people_events_pb2.PlaylistLiked, ("playlist_id",)),
    "playlist_unliked": (people_events_pb2.PlaylistUnliked, ("playlist_id",)),
    "playlist_saved": (people_events_pb2.PlaylistSaved, ("playlist_id", "copy_id")),
    "comment_added": (people_events_pb2.CommentAdded, ("comment_id",)),
    "comment_removed": (people_events_pb2.CommentRemoved, ("comment_id",)),
    "user_followed": (people_events_pb2.UserFollowed, ("followee_id",)),
    "user_unfollowed": (people_events_pb2.UserUnfollowed, ("followee_id",)),
    "track_played": (people_events_pb2.TrackPlayed, ("play_id",)),
}


@pytest.fixture
async def cluster(tmp_path: Path, nats_server: NatsServer) -> AsyncIterator[Cluster]:
    made = Cluster(tmp_path, nats_server, size=2)
    try:
        await made.start()
        yield made
    finally:
        await made.close()


@contextlib.asynccontextmanager
async def calling(cluster: Cluster) -> AsyncIterator[list[Client]]:
    """Yield a client of each process."""
    async with contextlib.AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(connect(process.address)) for process in cluster.processes]
        yield [Client(channel) for channel in channels]


async def write(world: World, name: str, seed: int, done: asyncio.Event) -> None:
    writer = Writer(world, name, random.Random(f"{seed} {name}"))
    await writer.sign_up()
    while not done.is_set():
        await writer.act()


async def kill_at_random(cluster: Cluster, world: World, dice: random.Random, rounds: int) -> None:
    """Kill something whenever so many more writes are acknowledged; a process comes back while others are killed."""
    starting = {process: asyncio.create_task(asyncio.sleep(0)) for process in cluster.processes}
    for victim in dice.sample(VICTIMS * rounds, len(VICTIMS) * rounds):
        goal = world.acknowledged + dice.randint(5, 40)
        await until(lambda goal=goal: world.acknowledged >= goal, timeout_s=PATIENCE_S)  # type: ignore[misc]
        await asyncio.sleep(dice.random() * 0.02)
        if victim == "nats":
            cluster.nats.kill()
            goal = world.acknowledged + dice.randint(0, 10)
            await until(lambda goal=goal: world.acknowledged >= goal, timeout_s=PATIENCE_S)  # type: ignore[misc]
            await asyncio.to_thread(cluster.nats.start)
        elif victim == "postgres":
            cluster.postgres.kill()
            await cluster.postgres.start()
        else:
            processes = cluster.processes if victim == "all of social" else [dice.choice(cluster.processes)]
            await asyncio.gather(*(starting[process] for process in processes))
            await asyncio.gather(*(process.kill() for process in processes))
            for process in processes:
                starting[process] = asyncio.create_task(process.start())
    await asyncio.gather(*starting.values())


async def check(cluster: Cluster, world: World, bus: Bus) -> None:
    async with cluster.sql() as sql:

        async def is_quiet() -> bool:
            left = (
                "(SELECT count(*) FROM outbox) + (SELECT count(*) FROM signals) + (SELECT count(*) FROM touched_people)"
            )
            return bool(await sql.fetchval(f"SELECT {left} = 0"))

        await until(is_quiet, timeout_s=PATIENCE_S)
        await check_events(sql, bus, world.writers)
        for writer in world.writers:
            await check_rows(sql, writer)
    for writer in world.writers:
        await check_lists(world, writer)


async def check_events(sql: "asyncpg.Connection[asyncpg.Record]", bus: Bus, writers: Sequence[Writer]) -> None:
    """What is published is what was committed, in the order of each key; and that is what writers were told is done."""
    committed = await sql.fetch("SELECT key, event_id, subject FROM committed_events ORDER BY id")
    published = await everything(bus)
    key_of = {row["event_id"]: row["key"] for row in committed}
    for stream in (SOCIAL_EVENTS, PEOPLE_EVENTS):
        wanted, found = defaultdict(list), defaultdict(list)
        for row in committed:
            if stream_of(row["subject"]) == stream:
                wanted[row["key"]].append(row["event_id"])
        for event_id, _, _ in published[stream]:
            found[key_of[event_id]].append(event_id)
        assert found == wanted, stream
    told: defaultdict[str, list[Told]] = defaultdict(list)
    for event_id, subject, data in published[PEOPLE_EVENTS]:
        name = subject.removeprefix(SUBJECT)
        if name in ABOUT:
            kind, fields = ABOUT[name]
            message: Any = kind.FromString(data)
            told[key_of[event_id]].append(Told(name, tuple(getattr(message, field) for field in fields)))
    for writer in writers:
        assert told[writer.user_id] == writer.told, writer.name
    made = [events_pb2.PlaylistCreated.FromString(data).playlist_id for _, _, data in published[SOCIAL_EVENTS]]
    known = [one for writer in writers for one in (*writer.lists, *writer.gone, *writer.copies.values())]
    assert sorted(made) == sorted(known)


async def everything(bus: Bus) -> dict[str, list[tuple[str, str, bytes]]]:
    """Read id, subject and body of all that the streams of events hold, in order."""
    found: dict[str, list[tuple[str, str, bytes]]] = {}
    for name in (SOCIAL_EVENTS, PEOPLE_EVENTS):
        state = (await bus.jetstream.stream_info(name)).state
        assert state.messages == state.last_seq, "an event was dropped"
        messages = [
            await bus.jetstream.get_msg(name, sequence, direct=True) for sequence in range(1, state.last_seq + 1)
        ]
        found[name] = [((one.headers or {})["Nats-Msg-Id"], one.subject or "", one.data or b"") for one in messages]
    return found


async def check_rows(sql: "asyncpg.Connection[asyncpg.Record]", writer: Writer) -> None:
    """Check that the tables hold what somebody was told is done, and nothing else of theirs."""

    async def column(statement: str) -> list[str]:
        return sorted([str(row[0]) for row in await sql.fetch(statement, writer.user_id)])

    assert await column("SELECT username FROM users WHERE user_id = $1") == [writer.name]
    own = await column("SELECT playlist_id FROM playlists WHERE owner_id = $1")
    assert own == sorted([*writer.lists, *writer.copies.values()])
    assert await column("SELECT playlist_id FROM likes WHERE user_id = $1") == sorted(writer.likes)
    assert await column("SELECT copy_id FROM saves WHERE user_id = $1") == sorted(writer.copies.values())
    assert await column("SELECT followee_id FROM follows WHERE follower_id = $1") == sorted(writer.follows)
    said = await sql.fetch(
        "SELECT comment_id::text, text FROM comments WHERE user_id = $1 AND deleted_at IS NULL", writer.user_id
    )
    assert {row["comment_id"]: row["text"] for row in said} == writer.comments
    assert await column("SELECT play_id FROM plays WHERE user_id = $1 AND counted") == sorted(writer.plays)
    counted = await sql.fetchrow("SELECT plays, following FROM person_counts WHERE user_id = $1", writer.user_id)
    expected = (len(writer.plays), len(writer.follows))
    assert (tuple(counted) if counted else (0, 0)) == expected
    heard = "SELECT coalesce(sum(plays), 0) FROM listening WHERE user_id = $1"
    assert await sql.fetchval(heard, writer.user_id) == len(writer.plays)


async def check_lists(world: World, writer: Writer) -> None:
    hands = Hands(world.clients[0], writer.person)
    for one in writer.lists.values():
        shown = await hands.get(one.playlist_id)
        assert [(entry.entry_id, entry.track_id) for entry in shown.entries] == one.entries
        assert (shown.playlist.title, shown.playlist.version) == (one.title, one.version)
        assert shown.playlist.entry_count == len(one.entries)
        assert shown.playlist.like_count == sum(one.playlist_id in each.likes for each in world.writers)
        assert shown.playlist.save_count == sum(one.playlist_id in each.copies for each in world.writers)
    for playlist_id in writer.gone:
        with pytest.raises(NotFound):
            await hands.get(playlist_id)


async def run(cluster: Cluster, seed: int, rounds: int) -> None:
    async with calling(cluster) as clients:
        world = World(clients, await register_tracks(clients[0]))
        done = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            writing = [tasks.create_task(write(world, f"writer{number}", seed, done)) for number in range(WRITERS)]
            await kill_at_random(cluster, world, random.Random(seed), rounds)
            done.set()
            await asyncio.gather(*writing)
        for process in cluster.processes:
            process.check_runs()
        bus = await Bus.connect(cluster.nats.settings("social"), "social")
        try:
            await check(cluster, world, bus)
        finally:
            await bus.close()
        repeated = sum(writer.repeated for writer in world.writers)
        print(f"seed {seed}: {rounds * len(VICTIMS)} kills, {world.acknowledged} writes, {repeated} calls repeated")


async def test_acknowledged_writes_survive_kills_and_are_applied_once(cluster: Cluster) -> None:
    await run(cluster, seed=1, rounds=1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10, 16))
async def test_acknowledged_writes_survive_many_kills(cluster: Cluster, seed: int) -> None:
    await run(cluster, seed, rounds=12)
