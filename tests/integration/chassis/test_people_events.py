"""The stream of what people do, on a real nats-server: whose it is, and that an older social lets it be."""

import asyncio

import pytest
from nats.js.api import RetentionPolicy, StorageType

from services.chassis.bus import PEOPLE_EVENTS, SOCIAL_EVENTS, STREAMS, Bus, connection
from services.chassis.bus.listen import listen
from services.chassis.bus.streams import stream_of
from services.chassis.errors import Unavailable
from tests.conftest import NatsServer

NAMES = """
    activity_recorded badge_earned comment_added comment_changed comment_removed history_deleted notification_added
    playlist_changed playlist_deleted playlist_liked playlist_saved playlist_unliked report_decided report_filed
    schedule_ran track_played upload_deleted user_changed user_deleted user_followed user_reinstated user_signed_up
    user_suspended user_unfollowed
""".split()
SUBJECTS = [f"museed.social.v1.{name}" for name in NAMES]
# Of the release before this stream.
OLDER_EVENTS = [f"museed.social.v1.{name}" for name in ("job_progressed", "playlist_created", "session_revoked")]


async def test_each_event_has_its_subject_and_is_bounded(bus: Bus) -> None:
    config = (await bus.jetstream.stream_info(PEOPLE_EVENTS)).config
    assert config.subjects == SUBJECTS
    assert (config.retention, config.storage) == (RetentionPolicy.LIMITS, StorageType.FILE)
    assert (config.max_age, config.max_bytes) == (7 * 86400, 1024**3)
    for number, subject in enumerate(SUBJECTS, start=1):
        ack = await bus.publish(subject, b"ids", f"event-{number}")
        assert (ack.stream, ack.sequence, stream_of(subject)) == (PEOPLE_EVENTS, number, PEOPLE_EVENTS)
    with pytest.raises(Unavailable):
        await bus.publish("museed.social.v1.unheard_of", b"", "event-0")


async def test_an_older_social_leaves_it_as_it_is(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    await bus.publish(SUBJECTS[0], b"kept", "event-1")
    created = await bus.stream_created_at(PEOPLE_EVENTS)
    older = {name: config for name, config in STREAMS.items() if name != PEOPLE_EVENTS}
    assert older[SOCIAL_EVENTS].subjects == OLDER_EVENTS
    with monkeypatch.context() as patched:
        patched.setattr(connection, "STREAMS", older)
        assert set(await bus.ensure_streams()) == set(older)
    info = await bus.jetstream.stream_info(PEOPLE_EVENTS)
    assert (info.config.subjects, info.state.messages, info.created) == (SUBJECTS, 1, created)
    assert (await bus.ensure_streams())[PEOPLE_EVENTS] == created


async def test_the_gateway_hears_it_and_nobody_but_social_writes(bus: Bus, nats_server: NatsServer) -> None:
    gateway = await Bus.connect(nats_server.settings("gateway"), "gateway")
    events = listen(gateway, PEOPLE_EVENTS, "museed.social.v1.user_followed")
    first = asyncio.ensure_future(anext(events))
    async with asyncio.timeout(60):
        while not (await bus.jetstream.stream_info(PEOPLE_EVENTS)).state.consumer_count:
            await asyncio.sleep(0.02)
        await bus.publish("museed.social.v1.user_changed", b"other", "event-1")
        await bus.publish("museed.social.v1.user_followed", b"heard", "event-2")
        assert (await first).payload == b"heard"
    await events.aclose()
    for name in ("gateway", "embedder", "retriever"):
        stranger = await Bus.connect(nats_server.settings(name), name)
        with pytest.raises(Unavailable):
            await stranger.publish(SUBJECTS[0], b"forged", f"forged-{name}", timeout_s=0.3)
        await stranger.close()
    await gateway.close()
    assert (await bus.jetstream.stream_info(PEOPLE_EVENTS)).state.messages == 2
