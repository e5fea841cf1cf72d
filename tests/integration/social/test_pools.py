"""What is read from the replica, and that what the process does on its own takes no connection from requests."""

import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import asyncpg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import SecretStr

from deploy.local.postgres import Postgres
from museed.social.v1 import (
    catalog_pb2,
    feed_pb2,
    feed_pb2_grpc,
    library_pb2,
    library_pb2_grpc,
    listening_pb2,
    listening_pb2_grpc,
    trends_pb2,
    trends_pb2_grpc,
)
from services.chassis.channel import connect
from services.chassis.errors import NotFound
from services.chassis.telemetry import Metrics
from services.social.__main__ import running
from services.social.domain.ids import new_id
from services.social.errors import DatabaseUnavailable
from services.social.settings import SocialSettings
from services.social.store.database import Database
from services.social.wiring import PARTS
from services.social.wiring.tools import opened
from tests.conftest import NatsServer, free_port, fresh_database
from tests.integration.social.conftest import TIMEOUT_S, Client, Mesh, until
from tests.integration.social.hands import PUBLIC, Hands, register_tracks

NAME = "SELECT current_database()"


class Filled(NamedTuple):
    """What a database holds: tracks, somebody who heard one, and a public playlist."""

    tracks: list[str]
    user_id: str
    playlist_id: str


@contextlib.asynccontextmanager
async def connected(url: str, replica_url: str = "") -> AsyncIterator[Database]:
    database = await Database.connect(url, size=2, statement_timeout_ms=5_000, replica_url=replica_url)
    yield database
    await database.close()


@pytest.fixture
async def replica_url(postgres: Postgres, migrated: str) -> AsyncIterator[str]:
    """Another database in the replica's place."""
    async with fresh_database(postgres, migrated) as url:
        yield url


async def test_public_lists_are_read_from_the_replica_and_all_else_is_not(database_url: str, replica_url: str) -> None:
    async with connected(database_url, replica_url) as database:
        first = await asked(database_url)
        async with database.reading() as connection:
            assert await connection.fetchval(NAME) == await asked(replica_url) != first
        async with database.connection() as connection:
            assert await connection.fetchval(NAME) == first
        async with database.transaction() as connection:
            assert await connection.fetchval(NAME) == first


async def test_replica_is_never_written_to(database_url: str, replica_url: str) -> None:
    async with connected(database_url, replica_url) as database:
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            async with database.reading() as connection:
                await connection.execute("DELETE FROM users")


async def test_without_a_replica_lists_are_read_from_the_first(database_url: str) -> None:
    async with connected(database_url) as database, database.reading() as connection:
        assert await connection.fetchval(NAME) == await asked(database_url)


async def test_replica_that_is_away_is_told_and_hinders_nothing_else(database_url: str) -> None:
    async with connected(database_url, f"postgresql://nobody@127.0.0.1:{free_port()}/away") as database:
        with pytest.raises(DatabaseUnavailable):
            async with database.reading():
                pass
        async with database.transaction() as connection:
            assert await connection.fetchval(NAME) == await asked(database_url)


async def test_requests_are_answered_while_loops_hold_all_their_connections(
    settings: SocialSettings, nats_server: NatsServer
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        tools = await stack.enter_async_context(opened(settings, nats_server.settings("social"), Metrics()))
        for _ in range(settings.background_pool_size):
            await stack.enter_async_context(tools.background.connection())
        async with tools.database.connection() as connection:
            assert await connection.fetchval("SELECT 1") == 1
        assert tools.background is not tools.database
        assert [wire(tools) for wire in PARTS]


async def test_service_reads_its_own_truth_where_a_replica_is_set(mesh: Mesh, replica_url: str) -> None:
    mesh.settings = mesh.settings.model_copy(update={"database_replica_url": SecretStr(replica_url)})
    social = await mesh.start()
    await social.sign_up()
    counts = await social.catalog.GetStats(catalog_pb2.GetStatsRequest(), timeout=TIMEOUT_S)
    assert counts.user_count == 1


@pytest.fixture
async def full_replica(settings: SocialSettings, replica_url: str, nats_server: NatsServer) -> Filled:
    """What another service wrote, and the first database of this one does not know."""
    own = settings.model_copy(update={"database_url": SecretStr(replica_url), "trending_interval_s": 1.0})
    async with running(own, nats_server.settings("social")) as service, connect(own.listen) as channel:
        client = Client(channel)
        tracks = await register_tracks(client)
        person = await client.sign_up("listener")
        hands = Hands(client, person)
        made = await hands.create(tracks, "Only there", PUBLIC)
        at = Timestamp()
        at.GetCurrentTime()
        play = listening_pb2.Play(play_id=new_id(), track_id=tracks[0], played_at=at, heard_seconds=60)
        stub: listening_pb2_grpc.ListeningServiceAsyncStub = listening_pb2_grpc.ListeningServiceStub(channel)
        fan = Hands(client, await client.sign_up("fan"))
        await fan.like(made.playlist.playlist_id)
        request = listening_pb2.RecordPlaysRequest(plays=[play])
        await stub.RecordPlays(request, timeout=TIMEOUT_S, metadata=person.metadata)
        sql = await asyncpg.connect(replica_url)
        for left in ("FROM tracks WHERE refined < 2", "FROM trend_plays", "FROM signals"):
            await until(lambda left=left: sql.fetchval(f"SELECT count(*) = 0 {left}"))  # type: ignore[misc]
        await until(lambda: sql.fetchval("SELECT count(*) > 0 FROM trending_ranks"))
        await sql.close()
        assert not service.background.done()
    return Filled(tracks, person.user_id, made.playlist.playlist_id)


async def test_every_rpc_for_public_lists_reads_the_replica_and_writes_nothing(
    mesh: Mesh, full_replica: Filled, replica_url: str
) -> None:
    settings = {"database_replica_url": SecretStr(replica_url), "listen": f"127.0.0.1:{free_port()}"}
    mesh.settings = mesh.settings.model_copy(update=settings)
    social = await mesh.start()
    admin = await social.sign_up("first-admin")
    library = social.stub(library_pb2_grpc.LibraryServiceStub)
    feed = social.stub(feed_pb2_grpc.FeedServiceStub)

    async def ask(call: Any, request: Any) -> Any:
        return await call(request, timeout=TIMEOUT_S, metadata=admin.metadata)

    guest = await social.catalog.SearchTracks(catalog_pb2.SearchTracksRequest(query="track"), timeout=TIMEOUT_S)
    assert {track.track_id for track in guest.tracks} == set(full_replica.tracks)
    (artist,) = (await ask(library.SearchArtists, library_pb2.SearchArtistsRequest())).artists
    (album,) = (await ask(library.SearchAlbums, library_pb2.SearchAlbumsRequest())).albums
    ids = [artist.artist_id]
    assert len((await ask(library.BatchGetArtists, library_pb2.BatchGetArtistsRequest(artist_ids=ids))).artists) == 1
    ids = [album.album_id]
    assert len((await ask(library.BatchGetAlbums, library_pb2.BatchGetAlbumsRequest(album_ids=ids))).albums) == 1
    wanted = library_pb2.BatchGetTrackDetailsRequest(track_ids=full_replica.tracks)
    assert len((await ask(library.BatchGetTrackDetails, wanted)).tracks) == 6
    of_artist = library_pb2.ListTracksOfArtistRequest(artist_id=artist.artist_id)
    assert len((await ask(library.ListTracksOfArtist, of_artist)).tracks) == 6
    of_album = library_pb2.ListTracksOfAlbumRequest(album_id=album.album_id)
    assert len((await ask(library.ListTracksOfAlbum, of_album)).tracks) == 6
    latest = await ask(feed.ListLatest, feed_pb2.ListLatestRequest())
    assert [one.playlist_id for one in latest.playlists] == [full_replica.playlist_id]
    trending = await ask(feed.ListTrending, feed_pb2.ListTrendingRequest())
    assert [one.playlist.playlist_id for one in trending.playlists] == [full_replica.playlist_id]
    day = datetime.now(UTC).date()
    report = trends_pb2.ListTrendsRequest(
        dimension=trends_pb2.TREND_DIMENSION_TRACK,
        from_day=(day - timedelta(days=1)).isoformat(),
        to_day=day.isoformat(),
    )
    stub = social.stub(trends_pb2_grpc.TrendServiceStub)
    assert len((await ask(stub.ListTrends, report)).trends) == 1
    heard = listening_pb2.GetListeningRequest(user_id=full_replica.user_id)
    with pytest.raises(NotFound):  # who may see that is asked of the first database, which does not know the person
        await ask(social.stub(listening_pb2_grpc.ListeningServiceStub).GetListening, heard)


async def asked(url: str) -> str:
    connection = await asyncpg.connect(url)
    name: str = await connection.fetchval(NAME)
    await connection.close()
    return name
