"""After NATS has lost what it held, everything ends as if nothing had happened."""

import contextlib
import shutil
from datetime import UTC

import pytest

from museed.social.v1 import catalog_pb2, encoders_pb2, events_pb2
from services.chassis.bus import EMBED_WORK, VECTORS, Bus, vector_subject
from services.chassis.errors import Unavailable
from services.social.store import vector_log
from services.social.store.database import Database
from services.social.workers.streams_keeper import StreamKeeper
from tests.conftest import NatsServer
from tests.integration.social.conftest import (
    TIMEOUT_S,
    Client,
    Library,
    Mesh,
    Sql,
    publish_embedded,
    registration,
    sha,
    until,
)
from tests.integration.social.fakes import ENCODER_ID, unit_vector


async def lose_store(nats: NatsServer) -> None:
    nats.kill()
    shutil.rmtree(nats.store)
    nats.start()


async def messages(bus: Bus, stream: str) -> int:
    try:
        return int((await bus.jetstream.stream_info(stream)).state.messages)
    except Exception:
        return -1


async def test_lost_store_is_filled_again_from_the_tables(
    mesh: Mesh, social: Client, library: Library, sql: Sql
) -> None:
    pending = await social.register(
        library.admin, library.root_id, [registration(f"pending {number}") for number in range(3)]
    )
    bus = await mesh.bus("social")
    await until(lambda: sql.fetchval("SELECT count(*) = 0 FROM outbox"))
    before = (await bus.jetstream.stream_info(VECTORS)).created
    await lose_store(mesh.nats)

    async def is_whole() -> bool:
        return await messages(bus, VECTORS) == 6 and await messages(bus, EMBED_WORK) == 3

    await until(is_whole, timeout_s=60)
    after = (await bus.jetstream.stream_info(VECTORS)).created
    assert after != before
    for number, track_id in enumerate(library.track_ids):
        message = await bus.jetstream.get_last_msg(VECTORS, vector_subject(ENCODER_ID, track_id))
        state = events_pb2.TrackVector.FromString(message.data or b"")
        assert (state.title, state.vector) == (f"Track {number}", unit_vector(sha(f"audio Track {number}")))
    embedder = await mesh.bus()
    for number, track in enumerate(pending):
        await publish_embedded(embedder, track.track_id, sha(f"audio pending {number}"))

    async def is_indexed() -> bool:
        request = catalog_pb2.GetIngestProgressRequest(root_id=library.root_id)
        progress = await social.catalog.GetIngestProgress(request, timeout=TIMEOUT_S, metadata=library.admin.metadata)
        return progress.indexed == 9

    await until(is_indexed)
    point = (await social.catalog.GetReadPoint(catalog_pb2.GetReadPointRequest(), timeout=TIMEOUT_S)).read_point
    info = await bus.jetstream.stream_info(VECTORS)
    assert info.created is not None
    assert point.stream_created_at.ToDatetime(tzinfo=info.created.tzinfo) == info.created
    assert point.sequence == info.state.last_seq == 9
    told = await social.encoders.GetServingEncoder(encoders_pb2.GetServingEncoderRequest(), timeout=TIMEOUT_S)
    assert (told.log_created_at.ToDatetime(tzinfo=UTC), told.is_log_filling) == (info.created, False)


async def test_store_is_lost_while_social_is_down(mesh: Mesh, social: Client, library: Library) -> None:
    await mesh.stack.aclose()
    await lose_store(mesh.nats)
    await mesh.start()
    bus = await mesh.bus("social")

    async def is_whole() -> bool:
        return await messages(bus, VECTORS) == 6

    await until(is_whole, timeout_s=60)


async def test_rebuild_is_noted_until_everything_is_published(
    mesh: Mesh, social: Client, library: Library, database: Database, sql: Sql
) -> None:
    await mesh.stack.aclose()
    bus = await Bus.connect(mesh.nats.settings("social"), "social")
    keeper = StreamKeeper(database, bus, lost_after_s=300)
    await keeper.keep_streams()
    async with database.connection() as connection:
        assert await vector_log.is_rebuilding(connection) is False
    await lose_store(mesh.nats)

    async def are_streams_kept() -> bool:
        with contextlib.suppress(Unavailable):
            await keeper.keep_streams()
            return True
        return False

    await until(are_streams_kept, timeout_s=60)
    async with database.connection() as connection:
        assert await vector_log.is_rebuilding(connection) is True
        assert await vector_log.filling(connection) == (await bus.stream_created_at(VECTORS), True)
        assert await vector_log.read_point(connection) is None
    assert await sql.fetchval("SELECT count(*) FROM outbox WHERE kind = 'vector'") == 6
    await keeper.keep_streams()
    assert await sql.fetchval("SELECT count(*) FROM outbox WHERE kind = 'vector'") == 6
    await bus.close()
    await mesh.start()
    await until(lambda: sql.fetchval("SELECT rebuild_through IS NULL FROM streams WHERE name = 'VECTORS'"))
    async with database.connection() as connection:
        assert await vector_log.is_rebuilding(connection) is False
        assert (await vector_log.filling(connection))[1] is False
    assert await sql.fetchval("SELECT count(*) FROM track_embeddings WHERE state = 'INDEXED'") == 6


@pytest.fixture
async def keeper(mesh: Mesh, library: Library, database: Database, social: Client) -> StreamKeeper:
    """A library with one more track whose work is out, its social stopped, and a keeper that is called by hand."""
    await social.register(library.admin, library.root_id, [registration("slow")])
    return StreamKeeper(database, await mesh.bus("social"), lost_after_s=60)


async def take_work(bus: Bus) -> None:
    """Take all work and never answer, as a lost embedder or its dead letters do."""
    info = await bus.jetstream.stream_info(EMBED_WORK)
    for sequence in range(info.state.first_seq, info.state.last_seq + 1):
        await bus.jetstream.delete_msg(EMBED_WORK, sequence)


async def test_work_without_an_answer_is_sent_again_and_given_up_in_the_end(
    mesh: Mesh, keeper: StreamKeeper, sql: Sql
) -> None:
    watcher = await mesh.bus("social")
    await until(lambda: sql.fetchval("SELECT count(*) = 1 FROM embedding_work WHERE sequence IS NOT NULL"))
    for _ in range(3):
        await until(lambda: sql.fetchval("SELECT bool_and(sequence IS NOT NULL) FROM embedding_work"))
        await take_work(watcher)
        before = await sql.fetchval("SELECT losses FROM embedding_work")
        await keeper.find_lost()
        assert await sql.fetchval("SELECT losses FROM embedding_work") == before  # it may still be answered
        await sql.execute("UPDATE embedding_work SET sent_at = sent_at - interval '61 seconds'")
        await keeper.find_lost()
    assert await sql.fetchval("SELECT count(*) FROM embedding_work") == 0
    row = await sql.fetchrow("SELECT state, failure_reason FROM track_embeddings WHERE state <> 'INDEXED'")
    assert row is not None
    assert tuple(row) == ("FAILED", "EMBEDDING_GAVE_UP")


async def test_work_that_waits_in_the_queue_is_left_alone_however_old(
    mesh: Mesh, keeper: StreamKeeper, sql: Sql
) -> None:
    watcher = await mesh.bus("social")
    await until(lambda: sql.fetchval("SELECT count(*) = 1 FROM embedding_work WHERE sequence IS NOT NULL"))
    waiting = await messages(watcher, EMBED_WORK)
    await sql.execute("UPDATE embedding_work SET sent_at = sent_at - interval '1 day'")
    await keeper.find_lost()
    assert await messages(watcher, EMBED_WORK) == waiting
    assert await sql.fetchval("SELECT losses FROM embedding_work") == 0


async def test_log_that_lost_its_end_is_published_again(mesh: Mesh, keeper: StreamKeeper, sql: Sql) -> None:
    await sql.execute("UPDATE track_embeddings SET sequence = 10_000 WHERE state = 'INDEXED'")
    await keeper.find_lost()
    await until(
        lambda: sql.fetchval("SELECT bool_and(sequence < 10_000) FROM track_embeddings WHERE state = 'INDEXED'")
    )
    await until(lambda: sql.fetchval("SELECT count(*) = 6 FROM track_embeddings WHERE state = 'INDEXED'"))


async def test_log_that_was_purged_is_published_again(mesh: Mesh, keeper: StreamKeeper, sql: Sql) -> None:
    bus = await mesh.bus("social")
    await bus.jetstream.purge_stream(VECTORS, keep=2)
    assert await messages(bus, VECTORS) == 2
    await keeper.find_lost()

    async def is_whole() -> bool:
        return await messages(bus, VECTORS) == 6

    await until(is_whole)
    await until(lambda: sql.fetchval("SELECT count(*) = 6 FROM track_embeddings WHERE state = 'INDEXED'"))
    last = (await bus.jetstream.stream_info(VECTORS)).state.last_seq
    await keeper.find_lost()
    assert await sql.fetchval("SELECT count(*) FROM outbox WHERE kind = 'vector'") == 0
    assert (await bus.jetstream.stream_info(VECTORS)).state.last_seq == last


async def test_log_whose_oldest_message_is_just_being_replaced_is_not_taken_for_purged(
    mesh: Mesh, library: Library, keeper: StreamKeeper, sql: Sql
) -> None:
    bus = await mesh.bus("social")
    await until(lambda: sql.fetchval("SELECT count(*) = 6 FROM track_embeddings WHERE state = 'INDEXED'"))
    await mesh.stack.aclose()
    bus = await Bus.connect(mesh.nats.settings("social"), "social")
    database_keeper = StreamKeeper(keeper._database, bus, lost_after_s=60)
    first = await sql.fetchrow(
        "SELECT track_id::text, encoder_id, version FROM track_embeddings WHERE sequence IS NOT NULL ORDER BY sequence"
    )
    assert first is not None
    await sql.execute(
        "INSERT INTO outbox (kind, key, event_id, encoder_id, version) VALUES ('vector', $1, uuidv7(), $2, $3)", *first
    )
    await bus.publish(vector_subject(first["encoder_id"], first["track_id"]), b"newer", "event-newer")
    await database_keeper.find_lost()
    assert await sql.fetchval("SELECT count(*) FROM outbox WHERE kind = 'vector'") == 1
    await bus.close()


async def test_track_whose_work_is_gone_is_wanted_again(mesh: Mesh, keeper: StreamKeeper, sql: Sql) -> None:
    await until(lambda: sql.fetchval("SELECT count(*) = 1 FROM embedding_work WHERE sequence IS NOT NULL"))
    await sql.execute("DELETE FROM embedding_work")
    await keeper.find_lost()
    assert await sql.fetchval("SELECT count(*) FROM embedding_work") == 0  # it may be on its way
    await sql.execute("UPDATE track_embeddings SET changed_at = changed_at - interval '61 seconds'")
    await keeper.find_lost()
    assert await sql.fetchval("SELECT count(*) FROM embedding_work") == 1
