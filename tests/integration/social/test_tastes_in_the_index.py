"""What people hear, told by social, kept by the retriever as it is run, and back as people and tracks for them."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import nats.js.errors
import numpy as np
import pytest
from numpy.typing import NDArray

from museed.embedder.v1 import events_pb2 as embedder_events_pb2
from museed.social.v1 import (
    blocklists_pb2,
    blocklists_pb2_grpc,
    catalog_pb2,
    listening_pb2,
    listening_pb2_grpc,
    recommendations_pb2,
    recommendations_pb2_grpc,
    sessions_pb2,
    sessions_pb2_grpc,
)
from services.chassis import vectors
from services.chassis.bus import PROFILES, Bus
from services.chassis.channel import connect
from services.chassis.errors import DomainError
from services.social.__main__ import running
from services.social.domain.ids import new_id
from services.social.settings import SocialSettings
from tests.conftest import NatsServer
from tests.integration.social.conftest import (
    EMBEDDED,
    TIMEOUT_S,
    Client,
    Person,
    Sql,
    registration,
    sha,
    until,
    until_streams,
)
from tests.integration.social.fakes import DIMENSION, ENCODER_ID, FakeEmbedder, embedding, serving_embedder
from tests.integration.social.people_steps import block, follow

ROOT = Path(__file__).parents[3]
PATIENCE_S = 90.0
Vector: TypeAlias = NDArray[np.float64]


@pytest.fixture
def settings(settings: SocialSettings) -> SocialSettings:
    return settings.model_copy(update={"taste_delay_s": 0.0})


def sound_of(style: int, number: int) -> Vector:
    """A unit vector beside those of its style, and never so near to one that both are one recording."""
    noise = np.random.default_rng([style, number]).standard_normal(DIMENSION)
    vector = 2.5 * np.eye(DIMENSION)[style] + 0.5 * noise
    found: Vector = vector / np.linalg.norm(vector)
    return found


@dataclass
class World:
    """A social process, the retriever beside it, and a library of two styles, twelve tracks each."""

    client: Client
    admin: Person
    bus: Bus
    tracks: list[list[str]] = field(default_factory=list)
    sounds: dict[str, Vector] = field(default_factory=dict)

    async def hear(self, who: Person, track_ids: Sequence[str], days_ago: float = 0.0) -> list[str]:
        """Tell plays of tracks, and return their ids."""
        began = datetime.now(UTC) - timedelta(days=days_ago)
        plays = [listening_pb2.Play(play_id=new_id(), track_id=one, heard_seconds=45.0) for one in track_ids]
        for play in plays:
            play.played_at.FromDatetime(began)
        request = listening_pb2.RecordPlaysRequest(plays=plays)
        answer = await self._listening.RecordPlays(request, timeout=TIMEOUT_S, metadata=who.metadata)
        assert set(answer.outcomes) == {listening_pb2.PLAY_OUTCOME_COUNTED}
        return [play.play_id for play in plays]

    async def forget(self, who: Person) -> None:
        request = listening_pb2.DeleteHistoryRequest(all=True)
        await self._listening.DeleteHistory(request, timeout=TIMEOUT_S, metadata=who.metadata)

    async def found(self, who: Person) -> list[tuple[str, float]]:
        """Names of the people who are recommended, with similarities."""
        request = recommendations_pb2.ListRecommendedUsersRequest()
        answer = await self._recommendations.ListRecommendedUsers(request, timeout=TIMEOUT_S, metadata=who.metadata)
        return [(one.user.username, one.similarity) for one in answer.users]

    async def recommended(self, who: Person) -> recommendations_pb2.ListRecommendedTracksResponse:
        request = recommendations_pb2.ListRecommendedTracksRequest(count=200)
        return await self._recommendations.ListRecommendedTracks(request, timeout=TIMEOUT_S, metadata=who.metadata)

    async def mix(self, who: Person) -> list[str]:
        request = recommendations_pb2.GetDailyMixRequest()
        answer = await self._recommendations.GetDailyMix(request, timeout=TIMEOUT_S, metadata=who.metadata)
        return [one.track_id for one in answer.tracks]

    async def by_sound(self, who: Person) -> list[str]:
        """The tracks that sound found for somebody."""
        return [one.track_id for one in (await self.recommended(who)).tracks if one.HasField("similarity")]

    async def until_found(self, who: Person, names: list[str]) -> None:
        """Wait until just these people are recommended, in this order."""
        await eventually(lambda: self.found(who), lambda found: [name for name, _ in found] == names)

    def taste(self, weights: dict[str, float]) -> Vector:
        mean = np.sum([weight * self.sounds[track_id] for track_id, weight in weights.items()], axis=0)
        unit: Vector = mean / np.linalg.norm(mean)
        return unit

    @property
    def _listening(self) -> "listening_pb2_grpc.ListeningServiceAsyncStub":
        return listening_pb2_grpc.ListeningServiceStub(self.client.channel)

    @property
    def _recommendations(self) -> "recommendations_pb2_grpc.RecommendationServiceAsyncStub":
        return recommendations_pb2_grpc.RecommendationServiceStub(self.client.channel)


async def eventually(ask: Callable[[], Awaitable[object]], is_so: Callable[..., bool]) -> None:
    """Wait until an answer is as it should be; who is not ready yet is asked again."""
    last: object = None

    async def is_it() -> bool:
        nonlocal last
        try:
            last = await ask()
        except DomainError as error:
            last = error
            return False
        return is_so(last)

    try:
        await until(is_it, PATIENCE_S)
    except TimeoutError as error:
        raise AssertionError(f"the last answer was {last}") from error


@contextlib.asynccontextmanager
async def retriever_process(
    settings: SocialSettings, nats_server: NatsServer, folder: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python -m services.retriever` until the block ends; killed then."""
    nats = nats_server.settings("retriever")
    environment = os.environ | {
        "RETRIEVER_LISTEN": settings.retriever_address,
        "RETRIEVER_SOCIAL_ADDRESS": settings.listen,
        "RETRIEVER_ENCODER_ID": ENCODER_ID,
        "RETRIEVER_SNAPSHOT_FOLDER": str(folder),
        "NATS_URL": nats.url,
        "NATS_USER": nats.user,
        "NATS_PASSWORD": nats.password,
    }
    with (folder.parent / "retriever.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.retriever", cwd=ROOT, env=environment, stderr=log
        )
        try:
            yield process
        finally:
            process.kill()
            await process.wait()


@pytest.fixture
async def world(settings: SocialSettings, nats_server: NatsServer, tmp_path: Path) -> AsyncIterator[World]:
    async with contextlib.AsyncExitStack() as stack:
        address = settings.listen
        await stack.enter_async_context(serving_embedder(FakeEmbedder(), settings.embedder_address, lambda: address))
        await stack.enter_async_context(running(settings, nats_server.settings("social")))
        client = Client(await stack.enter_async_context(connect(address)))
        bus = await Bus.connect(nats_server.settings("embedder"), "embedder")
        stack.push_async_callback(bus.close)
        await stack.enter_async_context(retriever_process(settings, nats_server, tmp_path / "snapshots"))
        made = World(client, await client.sign_up("admin"), bus)
        await _fill(made)
        yield made


async def _fill(world: World) -> None:
    async def is_encoder_known() -> bool:
        return (await world.client.roles())[0] != ""

    await until(is_encoder_known, PATIENCE_S)
    await until_streams(world.bus)
    root_id = await world.client.register_root(world.admin)
    for style in range(2):
        names = [f"Style {style} Track {number}" for number in range(12)]
        registered = await world.client.register(
            world.admin,
            root_id,
            [
                registration(name, artist=f"Artist {style} {number // 2}", duration_seconds=60.0 + 5 * number)
                for number, name in enumerate(names)
            ],
        )
        world.tracks.append([one.track_id for one in registered])
        for number, (name, one) in enumerate(zip(names, registered, strict=True)):
            world.sounds[one.track_id] = sound_of(style, number)
            heard = embedding(sha(f"audio {name}"))
            heard.vector = vectors.encode(world.sounds[one.track_id].astype(np.float32))
            event = embedder_events_pb2.TrackEmbedded(
                track_id=one.track_id, audio_hash=sha(f"audio {name}"), embedding=heard
            )
            await world.bus.publish(EMBEDDED, event.SerializeToString(), new_id())

    async def is_indexed() -> bool:
        request = catalog_pb2.GetIngestProgressRequest(root_id=root_id)
        progress = await world.client.catalog.GetIngestProgress(
            request, timeout=TIMEOUT_S, metadata=world.admin.metadata
        )
        return progress.indexed == 24

    await until(is_indexed, PATIENCE_S)


async def test_what_is_heard_becomes_people_and_tracks_for_who_hears_it(world: World, sql: Sql) -> None:
    rock, jazz = world.tracks
    ann, bob, cid, dan = [await world.client.sign_up(name) for name in ("ann", "bob", "cid", "dan")]
    await world.hear(ann, rock[:6], days_ago=9.0)
    await world.hear(ann, rock[:2])
    await world.hear(bob, rock[4:10])
    await world.hear(cid, [*jazz[:5], rock[0]])
    await world.hear(dan, rock[:4])  # too few to be found by

    half = 0.5 ** (9.0 / 30.0)
    tastes = {
        "ann": world.taste({track_id: half + (number < 2) for number, track_id in enumerate(rock[:6])}),
        "bob": world.taste(dict.fromkeys(rock[4:10], 1.0)),
        "cid": world.taste(dict.fromkeys([*jazz[:5], rock[0]], 1.0)),
    }
    similarities = {name: float(tastes["ann"] @ tastes[name]) for name in ("bob", "cid")}
    # What is told of one play may be told anew after the next.
    await eventually(lambda: world.found(ann), lambda found: dict(found) == pytest.approx(similarities, abs=1e-4))
    await world.until_found(ann, ["bob", "cid"])
    await eventually(lambda: world.found(dan), lambda found: {name for name, _ in found} == {"ann", "bob", "cid"})

    answer = await world.recommended(ann)
    assert not answer.is_sound_away
    assert {one.source for one in answer.tracks} == {recommendations_pb2.RECOMMENDATION_SOURCE_SOUND}
    nearest = sorted(
        (one for one in world.sounds if one not in rock[:6]), key=lambda one: -float(world.sounds[one] @ tastes["ann"])
    )
    assert [one.track_id for one in answer.tracks] == nearest
    cosines = [float(world.sounds[one] @ tastes["ann"]) for one in nearest]
    assert [one.similarity for one in answer.tracks] == pytest.approx(cosines, abs=1e-4)
    assert set(await world.mix(ann)) == set(nearest)

    # Nothing blocked, nobody followed, and nobody across a block.
    lists = blocklists_pb2_grpc.BlocklistServiceStub(world.client.channel)
    await lists.BlockTrack(
        blocklists_pb2.BlockTrackRequest(track_id=nearest[0]), timeout=TIMEOUT_S, metadata=ann.metadata
    )
    assert [one.track_id for one in (await world.recommended(ann)).tracks] == nearest[1:]
    assert set(await world.mix(ann)) == set(nearest[1:])
    await follow(world.client, ann, bob.user_id)
    assert [name for name, _ in await world.found(ann)] == ["cid"]
    await block(world.client, cid, ann.user_id)
    assert await world.found(ann) == []


async def test_who_hides_forgets_or_leaves_is_found_no_more(world: World, sql: Sql) -> None:
    rock, _ = world.tracks
    names = ("ann", "bob", "cid", "dan", "eve")
    ann, bob, cid, dan, eve = [await world.client.sign_up(name) for name in names]
    for number, who in enumerate((ann, bob, cid, dan, eve)):
        await world.hear(who, rock[number : number + 6])
    await eventually(
        lambda: world.found(ann), lambda found: {name for name, _ in found} == {"bob", "cid", "dan", "eve"}
    )
    order = [name for name, _ in await world.found(ann)]

    credentials = sessions_pb2_grpc.CredentialServiceStub(world.client.channel)
    await credentials.UpdateProfile(
        sessions_pb2.UpdateProfileRequest(is_listed=False), timeout=TIMEOUT_S, metadata=bob.metadata
    )
    left = [name for name in order if name != "bob"]
    assert [name for name, _ in await world.found(ann)] == left, "at once, whatever the index knows"
    # Who is not listed still finds others.
    assert {name for name, _ in await world.found(bob)} == {"ann", "cid", "dan", "eve"}

    await world.forget(cid)
    left = [name for name in left if name != "cid"]
    await world.until_found(ann, left)
    assert await world.found(cid) == []
    assert not any(one.HasField("similarity") for one in (await world.recommended(cid)).tracks)

    await sql.execute("UPDATE users SET deleted_at = now() WHERE user_id = $1", dan.user_id)
    left = [name for name in left if name != "dan"]
    assert [name for name, _ in await world.found(ann)] == left

    # Heard again, found again: under a version above that of the time before.
    await world.hear(cid, rock[2:8])
    await eventually(lambda: world.found(ann), lambda found: {name for name, _ in found} == {"cid", "eve"})


async def test_a_log_of_tastes_that_was_lost_is_told_anew(
    world: World, settings: SocialSettings, nats_server: NatsServer
) -> None:
    rock, _ = world.tracks
    ann, bob = await world.client.sign_up("ann"), await world.client.sign_up("bob")
    await world.hear(ann, rock[:6])
    await world.hear(bob, rock[4:10])
    await world.until_found(ann, ["bob"])
    before, tracks = await world.found(ann), await world.by_sound(ann)
    bus = await Bus.connect(nats_server.settings("social"), "social")
    try:
        await bus.jetstream.delete_stream(PROFILES)

        async def is_made_anew() -> bool:
            try:
                info = await bus.jetstream.stream_info(PROFILES)
            except nats.js.errors.NotFoundError:
                return False
            return bool(info.state.messages == 2)

        await eventually(is_made_anew, bool)
    finally:
        await bus.close()
    await world.until_found(ann, ["bob"])
    assert await world.found(ann) == before
    assert await world.by_sound(ann) == tracks
