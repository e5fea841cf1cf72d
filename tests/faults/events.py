"""Compares events that transactions promised with those that NATS holds in the end."""

import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import nats.js.errors

from services.chassis.bus import PEOPLE_EVENTS, SOCIAL_EVENTS, Bus, BusSettings
from services.chassis.bus.connection import MESSAGE_ID_HEADER
from services.chassis.bus.streams import stream_of
from tests.faults.findings import Finding, Kind
from tests.faults.mesh import FaultyMesh

# What is committed is noted by the database itself, in the same transaction; the outbox forgets what it has told.
_RECORD = """
CREATE TABLE promised_events (
    id bigint PRIMARY KEY, event_id text NOT NULL, key text NOT NULL, subject text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(), left_at timestamptz
);
CREATE FUNCTION note_promised_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO public.promised_events (id, event_id, key, subject)
    VALUES (NEW.id, NEW.event_id::text, NEW.key, NEW.subject);
    RETURN NULL;
END $$;
CREATE TRIGGER outbox_note AFTER INSERT ON outbox
    FOR EACH ROW WHEN (NEW.kind = 'event') EXECUTE FUNCTION note_promised_event();
CREATE FUNCTION note_left_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    UPDATE public.promised_events SET left_at = clock_timestamp() WHERE id = OLD.id;
    RETURN NULL;
END $$;
CREATE TRIGGER outbox_left AFTER DELETE ON outbox
    FOR EACH ROW WHEN (OLD.kind = 'event') EXECUTE FUNCTION note_left_event();
INSERT INTO promised_events (id, event_id, key, subject)
SELECT id, event_id::text, key, subject FROM outbox WHERE kind = 'event';
"""
_READ = """
SELECT event_id, key, subject, at, left_at
FROM promised_events AS promised ORDER BY id
"""


# Between an event's confirmation and its leaving the outbox the store may be wiped, while its publisher oversleeps and
# the database is away.
_IN_FLIGHT = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Promised:
    """An event of a transaction that was committed; in the order in which they were written.

    Attributes:
        at: When it was written.
        left_at: When it left the outbox, for good; None while it waits there.
    """

    event_id: str
    key: str
    stream: str
    at: datetime
    left_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A message of a stream, in the stream's order."""

    event_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream as it is in the end; what was told before is gone with the store that was wiped.

    Attributes:
        wiped_at: When the server before was dead: nothing that was written since then was told to it.
        made_at: When the stream was made anew.
        messages: What it holds.
    """

    wiped_at: datetime
    made_at: datetime
    messages: list[Told]


async def record_events(mesh: FaultyMesh) -> datetime:
    """Have every event noted that is committed from now on, and return since when."""
    connection = await asyncpg.connect(mesh.database.url(), timeout=30)
    try:
        async with connection.transaction():
            await connection.execute("LOCK TABLE outbox IN SHARE ROW EXCLUSIVE MODE")
            since: datetime = await connection.fetchval("SELECT clock_timestamp()")
            await connection.execute(_RECORD)
        return since
    finally:
        await connection.close()


async def check_events(
    mesh: FaultyMesh, since: datetime, wiped_at: datetime | None = None
) -> tuple[list[Finding], int]:
    """Return what was promised and not told, told twice, or told and not promised; and how many had to be there.

    Args:
        mesh: At rest.
        since: When noting began.
        wiped_at: When NATS was dead whose store was wiped last; None where none was.
    """
    # What is promised meanwhile may be told already, and need not be.
    promised = [event for event in await _promised(mesh) if event.left_at is not None]
    async with social_bus(mesh) as bus:
        streams = {name: await _read(bus, name, wiped_at or since) for name in (SOCIAL_EVENTS, PEOPLE_EVENTS)}
    committed = {event.event_id for event in await _promised(mesh)}
    due = sum(len(_due(name, stream, promised)) for name, stream in streams.items())
    return judge_events(promised, streams, since, committed), due


def judge_events(
    promised: list[Promised], streams: dict[str, Stream], since: datetime, committed: set[str]
) -> list[Finding]:
    """Compare both; what had left the outbox before a stream was made can only be told of by the stream before it.

    Args:
        promised: What has left the outbox before the streams were read.
        streams: Those in question, by name.
        since: When noting began.
        committed: Ids of all events that were noted after the streams were read.
    """
    found = []
    window = timedelta(minutes=2)
    for name, stream in streams.items():
        mine = [event for event in promised if event.stream == name]
        first: dict[str, int] = {}
        for place, message in enumerate(stream.messages):
            if message.event_id in first:
                if message.at - stream.messages[first[message.event_id]].at < window:
                    found.append(Finding(Kind.DOUBLED, f"the event {message.event_id} is in {name} twice"))
            else:
                first[message.event_id] = place
        for event in _due(name, stream, promised):
            if event.event_id not in first:
                found.append(Finding(Kind.LOST, f"the event {event.event_id} of {event.key} is not in {name}"))
        for event_id in first.keys() - committed:
            if stream.messages[first[event_id]].at > since:
                found.append(Finding(Kind.DOUBLED, f"the event {event_id} of {name} is of no committed transaction"))
        found += _check_order(name, mine, first)
    return found


def _due(name: str, stream: Stream, promised: Iterable[Promised]) -> list[Promised]:
    """Return what a stream must hold: all that was written since a wipe, or was still to be told long after it."""
    return [
        event
        for event in promised
        if event.stream == name
        and event.left_at is not None
        and (event.at > stream.wiped_at or event.left_at > stream.made_at + _IN_FLIGHT)
    ]


def _check_order(name: str, promised: Iterable[Promised], first: dict[str, int]) -> list[Finding]:
    places: defaultdict[str, list[int]] = defaultdict(list)
    for event in promised:
        if event.event_id in first:
            places[event.key].append(first[event.event_id])
    return [
        Finding(Kind.STALE, f"the events of {key} are in {name} in another order than they were committed in")
        for key, found in places.items()
        if found != sorted(found)
    ]


async def _promised(mesh: FaultyMesh) -> list[Promised]:
    connection = await asyncpg.connect(mesh.database.url(), timeout=30)
    try:
        rows = await connection.fetch(_READ)
    finally:
        await connection.close()
    return [Promised(row["event_id"], row["key"], stream_of(row["subject"]), row["at"], row["left_at"]) for row in rows]


@contextlib.asynccontextmanager
async def social_bus(mesh: FaultyMesh) -> AsyncIterator[Bus]:
    """Connect to the mesh's NATS itself, over no link, as who may read all of it."""
    settings = BusSettings(
        url=f"nats://127.0.0.1:{mesh.ports.nats}", user="social", password=mesh.state.secret("nats_social")
    )
    bus = await Bus.connect(settings, "social")
    try:
        yield bus
    finally:
        await bus.close()


async def _read(bus: Bus, name: str, wiped_at: datetime) -> Stream:
    info = await bus.jetstream.stream_info(name)
    assert info.created is not None
    messages = []
    for sequence in range(info.state.first_seq, info.state.last_seq + 1):
        with contextlib.suppress(nats.js.errors.NotFoundError):
            message: Any = await bus.jetstream.get_msg(name, sequence)
            messages.append(Told(message.headers[MESSAGE_ID_HEADER], message.time.astimezone(UTC)))
    return Stream(wiped_at, info.created, messages)
