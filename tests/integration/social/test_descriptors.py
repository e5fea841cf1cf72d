"""Measures of sounds: kept by sound and revision, told to the index, missed by nobody who has none."""

from museed.embedder.v1 import embedder_pb2, events_pb2
from museed.social.v1 import catalog_pb2
from museed.social.v1.events_pb2 import TrackVector
from services.chassis.bus import VECTORS, Bus, vector_subject
from services.social.domain.catalog import Descriptors
from services.social.domain.ids import new_id
from services.social.store.descriptors import COLUMNS, from_row, store_descriptors
from tests.integration.social.conftest import Client, Mesh, Sql, registration, sha, until, until_streams
from tests.integration.social.fakes import ENCODER_ID, embedding

EMBEDDED = "museed.embedder.v1.track_embedded"


async def library(mesh: Mesh, social: Client, sql: Sql, *names: str) -> tuple[Bus, dict[str, str]]:
    """Register tracks; return the embedder's bus and the tracks' ids."""
    admin = await social.sign_up("admin")
    root_id = await social.register_root(admin)
    bus = await mesh.bus()
    await until_streams(bus)

    async def is_encoder_known() -> bool:
        return bool(await sql.fetchval("SELECT count(*) FROM serving_encoder"))

    await until(is_encoder_known)
    tracks = await social.register(admin, root_id, [registration(name) for name in names])
    return bus, {name: track.track_id for name, track in zip(names, tracks, strict=True)}


async def publish(bus: Bus, track_id: str, sound: bytes, found: embedder_pb2.Descriptors | None) -> None:
    heard = embedding(sound)
    heard.ClearField("descriptors")
    if found is not None:
        heard.descriptors.CopyFrom(found)
    event = events_pb2.TrackEmbedded(track_id=track_id, audio_hash=sound, embedding=heard)
    await bus.publish(EMBEDDED, event.SerializeToString(), new_id())


async def until_indexed(social: Client, track_id: str) -> catalog_pb2.Track:
    async def is_there() -> bool:
        return bool((await social.track(track_id)).embedding_state == catalog_pb2.EMBEDDING_STATE_INDEXED)

    await until(is_there)
    return await social.track(track_id)


async def test_embedding_without_descriptors_is_whole_and_asks_for_nothing(
    mesh: Mesh, social: Client, sql: Sql
) -> None:
    bus, tracks = await library(mesh, social, sql, "old")
    await publish(bus, tracks["old"], sha("audio old"), None)
    track = await until_indexed(social, tracks["old"])
    assert not track.HasField("descriptors")
    watcher = await mesh.bus("social")
    message = await watcher.jetstream.get_last_msg(VECTORS, vector_subject(ENCODER_ID, tracks["old"]))
    assert not TrackVector.FromString(message.data or b"").HasField("descriptors")
    assert await sql.fetchval("SELECT count(*) FROM embedding_work") == 0
    assert await sql.fetchval("SELECT count(*) FROM outbox WHERE kind = 'work'") == 0


async def test_unknown_fields_stay_unset_and_zero_is_a_number(mesh: Mesh, social: Client, sql: Sql) -> None:
    bus, tracks = await library(mesh, social, sql, "calm")
    measured = embedder_pb2.Descriptors(revision=1, energy=0.0, peak_dbfs=0.0)
    await publish(bus, tracks["calm"], sha("audio calm"), measured)
    found = (await until_indexed(social, tracks["calm"])).descriptors
    assert found == catalog_pb2.Descriptors(energy=0.0, peak_dbfs=0.0)
    assert [field.name for field, _ in found.ListFields()] == ["peak_dbfs", "energy"]


async def test_measures_belong_to_the_sound_and_not_to_the_encoder(mesh: Mesh, social: Client, sql: Sql) -> None:
    bus, tracks = await library(mesh, social, sql, "song")
    await publish(bus, tracks["song"], sha("audio song"), embedder_pb2.Descriptors(revision=1, energy=0.25))
    await until_indexed(social, tracks["song"])
    await sql.execute("INSERT INTO encoders (encoder_id, name, dimension) VALUES ('other-1', 'other', 4)")
    await sql.execute("UPDATE serving_encoder SET encoder_id = 'other-1'")
    track = await social.track(tracks["song"])
    assert (track.embedding_state, list(track.tags)) == (catalog_pb2.EMBEDDING_STATE_PENDING, [])
    assert track.descriptors.energy == 0.25


async def test_higher_revision_replaces_and_lower_and_same_do_not(social: Client, sql: Sql) -> None:
    sound = sha("audio")
    for revision, energy, expected in ((2, 0.5, 0.5), (1, 0.1, 0.5), (2, 0.2, 0.5), (3, 0.9, 0.9)):
        await store_descriptors(sql, sound, Descriptors(revision, None, None, 120.0, None, None, energy))
        row = await sql.fetchrow(f"SELECT {COLUMNS} FROM descriptors AS measured WHERE audio_hash = $1", sound)
        assert row is not None
        found = from_row(row)
        assert found is not None
        assert (found.energy, found.tempo_bpm, found.loudness_lufs) == (expected, 120.0, None)
