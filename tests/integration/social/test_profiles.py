"""What people listen to, from the transaction that says so to the last message of their subject on PROFILES."""

import nats.js.errors
import pytest

from museed.social.v1 import events_pb2
from services.chassis.bus import PROFILES, Bus, profile_subject
from services.retriever.profile_consumer import parse_profile
from services.social.domain.ids import TrackId, UserId, new_id
from services.social.events import MOST_PROFILE_TRACKS, Event, profile_deleted, profile_weights
from services.social.store import outbox
from services.social.store.database import Database
from tests.integration.social.conftest import Sql, until
from tests.integration.social.test_publisher import is_drained, publishing

PERSON = UserId("01890000-0000-7000-8000-000000000001")
OTHER = UserId("01890000-0000-7000-8000-000000000002")


async def in_log(bus: Bus, profile_id: UserId) -> bytes:
    return (await bus.jetstream.get_last_msg(PROFILES, profile_subject(profile_id))).data or b""


async def write(database: Database, *events: Event) -> None:
    async with database.transaction() as connection:
        await outbox.add(connection, *events)


async def test_the_log_keeps_the_last_state_of_every_profile(
    database: Database, database_url: str, bus: Bus, sql: Sql
) -> None:
    songs = {TrackId(new_id()): 2.5, TrackId(new_id()): 0.25}
    await write(database, profile_weights(PERSON, 1, {TrackId("old"): 1.0}, is_listed=False))
    await write(database, profile_weights(OTHER, 1, songs, is_listed=False))
    await write(database, profile_weights(PERSON, 2, songs, is_listed=True))
    async with publishing(database_url, bus):
        await until(lambda: is_drained(sql))
        payload = await in_log(bus, PERSON)
        found = events_pb2.ProfileWeights.FromString(payload)
        assert (found.profile_id, found.version, found.is_listed) == (PERSON, 2, True)
        assert [(track.track_id, track.weight) for track in found.tracks] == list(songs.items())
        assert not events_pb2.ProfileWeights.FromString(await in_log(bus, OTHER)).is_listed
        # The reader takes what the writer writes.
        profile = parse_profile(payload, PERSON)
        assert dict(zip(profile.track_ids, profile.weights.tolist(), strict=True)) == songs

        await write(database, profile_deleted(PERSON))
        await until(lambda: is_drained(sql))
        assert await in_log(bus, PERSON) == b""
    assert (await bus.jetstream.stream_info(PROFILES)).state.messages == 2


def test_of_too_many_tracks_the_heaviest_are_told_within_the_size_of_an_event() -> None:
    weights = {TrackId(new_id()): float(number % 700) for number in range(MOST_PROFILE_TRACKS + 500)}
    event = profile_weights(PERSON, 1, weights, is_listed=True)
    assert len(event.payload) < 64 * 1024
    profile = parse_profile(event.payload, PERSON)
    expected = sorted(weights, key=lambda one: (-weights[one], one))[:MOST_PROFILE_TRACKS]
    assert list(profile.track_ids) == expected
    assert profile.weights.tolist() == [weights[one] for one in expected]


async def test_an_unknown_profile_has_no_message(bus: Bus) -> None:
    with pytest.raises(nats.js.errors.NotFoundError):
        await in_log(bus, PERSON)
