"""The catalogue over real sockets: registrations, what they send to embedder and index, and what comes back."""

import asyncio
import random
from dataclasses import dataclass

import pytest

from museed.embedder.v1 import events_pb2 as embedder_events_pb2
from museed.social.v1 import catalog_pb2, events_pb2
from services.chassis.bus import EMBED_WORK, VECTORS, Bus, embed_track_subject, vector_subject
from services.chassis.errors import InvalidArgument, NotFound
from services.social.domain.ids import new_id
from tests.integration.social.conftest import (
    EMBEDDING_FAILED,
    TIMEOUT_S,
    Client,
    Library,
    Mesh,
    Person,
    Sql,
    publish_embedded,
    registration,
    sha,
    until,
    until_streams,
)
from tests.integration.social.fakes import ENCODER_ID, embedding, unit_vector

CREATED = catalog_pb2.REGISTRATION_OUTCOME_CREATED
UNCHANGED = catalog_pb2.REGISTRATION_OUTCOME_UNCHANGED
RETAGGED = catalog_pb2.REGISTRATION_OUTCOME_RETAGGED
REPLACED = catalog_pb2.REGISTRATION_OUTCOME_REPLACED
MOVED = catalog_pb2.REGISTRATION_OUTCOME_MOVED
REFUSED = catalog_pb2.REGISTRATION_OUTCOME_REFUSED
PENDING = catalog_pb2.EMBEDDING_STATE_PENDING
INDEXED = catalog_pb2.EMBEDDING_STATE_INDEXED
FAILED = catalog_pb2.EMBEDDING_STATE_FAILED
# What the fake embedder measures: no tempo.
DESCRIPTORS = catalog_pb2.Descriptors(
    loudness_lufs=-14.5, peak_dbfs=-0.25, key="A minor", key_confidence=0.5, energy=0.75
)


@dataclass
class Ingest:
    """An admin with a root, an encoder that is served, and the bus as the embedder and as social see it."""

    social: Client
    admin: Person
    root_id: str
    embedder: Bus
    watcher: Bus

    async def register(self, *tracks: catalog_pb2.TrackRegistration) -> list[catalog_pb2.RegisteredTrack]:
        return await self.social.register(self.admin, self.root_id, tracks)

    async def embedded(self, *names: str) -> list[str]:
        """Register tracks and answer for the embedder; return their ids once they are indexed."""
        before = len(await self.work())
        tracks = await self.register(*(registration(name) for name in names))
        # Work is only for what waits for it: a result that overtakes it would leave the queue empty.
        await self.until_work(before + len(tracks))
        for name, track in zip(names, tracks, strict=True):
            await publish_embedded(self.embedder, track.track_id, sha(f"audio {name}"))
        for track in tracks:
            await self.until_state(track.track_id, INDEXED)
        return [track.track_id for track in tracks]

    async def until_state(self, track_id: str, state: catalog_pb2.EmbeddingState.ValueType) -> None:
        async def is_there() -> bool:
            return bool((await self.social.track(track_id)).embedding_state == state)

        await until(is_there)

    async def work(self) -> list[events_pb2.EmbedTrack]:
        """Read all work that lies in the queue, without taking it."""
        info = await self.watcher.jetstream.stream_info(EMBED_WORK)
        found = []
        for sequence in range(max(1, info.state.first_seq), info.state.last_seq + 1):
            message = await self.watcher.jetstream.get_msg(EMBED_WORK, sequence)
            assert message.subject == embed_track_subject(ENCODER_ID)
            found.append(events_pb2.EmbedTrack.FromString(message.data or b""))
        return found

    async def until_work(self, count: int) -> list[events_pb2.EmbedTrack]:
        async def is_there() -> bool:
            return len(await self.work()) == count

        await until(is_there)
        return await self.work()

    async def in_log(self, track_id: str) -> events_pb2.TrackVector | None:
        """Read what the VECTORS log holds of a track; None for a tombstone."""
        message = await self.watcher.jetstream.get_last_msg(VECTORS, vector_subject(ENCODER_ID, track_id))
        return events_pb2.TrackVector.FromString(message.data) if message.data else None

    async def fail(self, track_id: str, name: str, reason: str, message: str, file_hash: bytes = b"") -> None:
        event = embedder_events_pb2.TrackEmbeddingFailed(
            track_id=track_id,
            audio_hash=sha(f"audio {name}"),
            encoder_id=ENCODER_ID,
            reason=reason,
            message=message,
            file_hash=file_hash,
        )
        await self.embedder.publish(EMBEDDING_FAILED, event.SerializeToString(), new_id())


@pytest.fixture
async def ingest(mesh: Mesh, social: Client, sql: Sql) -> Ingest:
    admin = await social.sign_up("admin")
    root_id = await social.register_root(admin)
    embedder = await mesh.bus()
    await until_streams(embedder)

    async def is_encoder_known() -> bool:
        return bool(await sql.fetchval("SELECT count(*) FROM serving_encoder"))

    await until(is_encoder_known)
    return Ingest(social, admin, root_id, embedder, await mesh.bus("social"))


async def test_track_goes_from_registration_to_the_index(ingest: Ingest) -> None:
    (created,) = await ingest.register(registration("song", relative_path=b"Folder/\xff song.ogg", title=""))
    assert (created.outcome, created.embedding_state) == (CREATED, PENDING)
    (work,) = await ingest.until_work(1)
    assert work == events_pb2.EmbedTrack(
        track_id=created.track_id,
        encoder_id=ENCODER_ID,
        audio_hash=sha("audio song"),
        root_location="/music",
        relative_path=b"Folder/\xff song.ogg",
        file_hash=sha("file song"),
    )
    await publish_embedded(ingest.embedder, created.track_id, sha("audio song"))
    await ingest.until_state(created.track_id, INDEXED)
    assert await ingest.in_log(created.track_id) == events_pb2.TrackVector(
        track_id=created.track_id,
        encoder_id=ENCODER_ID,
        version=2,
        vector=unit_vector(sha("audio song")),
        title="\ufffd song",
        artist="Somebody",
        album="An Album",
        folder="Folder",
        genre="Rock",
        year=1999,
        duration_seconds=61.5,
        audio_hash=sha("audio song"),
        tags=["guitar", "rock"],
        descriptors=DESCRIPTORS,
        windows_digest=embedding(sha("audio song")).windows_digest,
    )
    track = await ingest.social.track(created.track_id)
    assert [(tag.name, tag.score) for tag in track.tags] == [("guitar", 0.75), ("rock", 0.5)]
    assert (track.duration_seconds, track.raw_genre, track.genre) == (61.5, "Rock", "Rock")
    assert track.descriptors == DESCRIPTORS
    assert not track.descriptors.HasField("tempo_bpm")
    point = await ingest.social.catalog.GetReadPoint(catalog_pb2.GetReadPointRequest(), timeout=TIMEOUT_S)
    assert point.read_point == track.read_point
    info = await ingest.watcher.jetstream.stream_info(VECTORS)
    assert track.read_point.sequence == info.state.last_seq
    assert info.created is not None
    assert track.read_point.stream_created_at.ToDatetime(tzinfo=info.created.tzinfo) == info.created


async def test_registering_again_changes_nothing_and_sends_nothing(ingest: Ingest, sql: Sql) -> None:
    first = await ingest.register(*(registration(name) for name in "abc"))
    await ingest.until_work(3)

    async def is_all_sent() -> bool:
        return not await sql.fetchval("SELECT count(*) FROM outbox")

    await until(is_all_sent)
    again = await ingest.register(*(registration(name) for name in "abc"))
    assert [track.outcome for track in again] == [UNCHANGED] * 3
    assert [track.track_id for track in again] == [track.track_id for track in first]
    assert await sql.fetchval("SELECT count(*) FROM outbox") == 0
    assert len(await ingest.work()) == 3


async def test_file_that_moves_while_it_waits_is_heard_at_its_new_place(ingest: Ingest, sql: Sql) -> None:
    (track,) = await ingest.register(registration("song"))
    await ingest.until_work(1)
    old_work = str(await sql.fetchval("SELECT event_id FROM embedding_work"))
    (moved,) = await ingest.register(registration("song", relative_path=b"New/song.ogg", previous_path=b"song.ogg"))
    assert (moved.outcome, moved.track_id, moved.embedding_state) == (MOVED, track.track_id, PENDING)
    first, second = await ingest.until_work(2)
    assert (first.relative_path, second.relative_path) == (b"song.ogg", b"New/song.ogg")
    # An answer to the old work is none to the new.
    assert str(await sql.fetchval("SELECT event_id FROM embedding_work")) != old_work
    await publish_embedded(ingest.embedder, track.track_id, sha("audio song"))
    await ingest.until_state(track.track_id, INDEXED)
    state = await ingest.in_log(track.track_id)
    assert state is not None
    assert state.folder == "New"


async def test_refused_registration_spoils_no_other(ingest: Ingest) -> None:
    tracks = await ingest.register(
        registration("good"), registration("bad", audio_hash=b"short"), registration("also good")
    )
    assert [track.outcome for track in tracks] == [CREATED, REFUSED, CREATED]
    assert (tracks[1].track_id, tracks[1].reason) == ("", "MALFORMED")
    assert "audio_hash" in tracks[1].message


async def test_unknown_root_and_too_many_tracks_are_refused(ingest: Ingest, sql: Sql) -> None:
    for root_id in (new_id(), "nonsense"):
        with pytest.raises(NotFound) as missing:
            await ingest.social.register(ingest.admin, root_id, [registration("a")])
        assert missing.value.reason == "ROOT_NOT_FOUND"
    with pytest.raises(InvalidArgument) as refusal:
        await ingest.register(*(registration(f"t{number}") for number in range(501)))
    error = refusal.value
    assert (error.reason, error.field, error.value, error.limit) == ("OUT_OF_RANGE", "tracks", "501", "500")
    assert await sql.fetchval("SELECT count(*) FROM tracks") == 0


async def test_same_folder_is_the_same_root(ingest: Ingest) -> None:
    assert await ingest.social.register_root(ingest.admin, "/music/") == ingest.root_id
    assert await ingest.social.register_root(ingest.admin, "/other") != ingest.root_id


async def test_retagged_track_keeps_its_vector_and_the_index_hears_of_it(ingest: Ingest) -> None:
    (track_id,) = await ingest.embedded("song")
    (retagged,) = await ingest.register(registration("song", raw_genre="Techno", file_hash=sha("new tags")))
    assert (retagged.outcome, retagged.track_id) == (RETAGGED, track_id)

    async def is_told() -> bool:
        state = await ingest.in_log(track_id)
        return state is not None and (state.genre, state.version) == ("Electronic", 3)

    await until(is_told)
    await ingest.until_state(track_id, INDEXED)
    assert len(await ingest.work()) == 1


async def test_replaced_audio_leaves_the_index_until_it_is_embedded(ingest: Ingest) -> None:
    (track_id,) = await ingest.embedded("song")
    (replaced,) = await ingest.register(registration("song", audio_hash=sha("audio other")))
    assert (replaced.outcome, replaced.track_id, replaced.embedding_state) == (REPLACED, track_id, PENDING)

    async def is_gone() -> bool:
        return await ingest.in_log(track_id) is None

    await until(is_gone)
    await publish_embedded(ingest.embedder, track_id, sha("audio song"))  # a late answer for what it was
    await publish_embedded(ingest.embedder, track_id, sha("audio other"))
    await ingest.until_state(track_id, INDEXED)
    state = await ingest.in_log(track_id)
    assert state is not None
    assert state.vector == unit_vector(sha("audio other"))


async def test_duplicate_shares_the_embedding(ingest: Ingest, sql: Sql) -> None:
    (first,) = await ingest.embedded("song")
    (second,) = await ingest.register(registration("copy", audio_hash=sha("audio song")))
    assert second.outcome == CREATED
    await ingest.until_state(second.track_id, INDEXED)
    assert second.track_id != first
    assert len(await ingest.work()) == 1
    assert await sql.fetchval("SELECT count(*) FROM embeddings") == 1


async def test_two_pending_duplicates_are_one_piece_of_work(ingest: Ingest) -> None:
    tracks = await ingest.register(registration("a"), registration("b", audio_hash=sha("audio a")))
    tracks += await ingest.register(registration("c", audio_hash=sha("audio a")))
    await ingest.until_work(1)
    await publish_embedded(ingest.embedder, tracks[1].track_id, sha("audio a"))
    for track in tracks:
        await ingest.until_state(track.track_id, INDEXED)
    assert len(await ingest.work()) == 1


async def test_known_bad_audio_is_never_sent_again(ingest: Ingest) -> None:
    (track,) = await ingest.register(registration("silence"))
    await ingest.until_work(1)
    await ingest.fail(track.track_id, "silence", "AUDIO_SILENT", "the loudest window has −91 dB, −60 dB is needed")
    await ingest.until_state(track.track_id, FAILED)
    (again,) = await ingest.register(registration("silence"))
    (copy,) = await ingest.register(registration("copy", audio_hash=sha("audio silence")))
    for one in (again, copy):
        assert (one.embedding_state, one.reason) == (FAILED, "AUDIO_SILENT")
        assert one.message == "the loudest window has −91 dB, −60 dB is needed"
    assert len(await ingest.work()) == 1


async def test_absent_file_says_nothing_of_its_sound(ingest: Ingest) -> None:
    first, second = await ingest.register(registration("a"), registration("b", audio_hash=sha("audio a")))
    (work,) = await ingest.until_work(1)
    other = second if work.track_id == first.track_id else first
    await ingest.fail(work.track_id, "a", "MEDIA_NOT_FOUND", "no readable file")
    await ingest.until_state(work.track_id, FAILED)
    assert (await ingest.until_work(2))[1].track_id == other.track_id
    assert (await ingest.social.track(other.track_id)).embedding_state == PENDING
    await ingest.fail(other.track_id, "a", "MEDIA_NOT_FOUND", "no readable file")
    await ingest.until_state(other.track_id, FAILED)
    (again,) = await ingest.register(registration("a"))
    assert (again.outcome, again.embedding_state) == (UNCHANGED, PENDING)
    await ingest.until_work(3)


async def test_file_that_was_registered_anew_is_asked_for_where_the_one_before_it_was_not_found(ingest: Ingest) -> None:
    (created,) = await ingest.register(registration("a"))
    (work,) = await ingest.until_work(1)
    await ingest.register(registration("a", file_hash=sha("file a with new tags")))
    await ingest.fail(created.track_id, "a", "MEDIA_CHANGED", "another file", work.file_hash)
    again = (await ingest.until_work(2))[1]
    assert (again.track_id, again.file_hash) == (created.track_id, sha("file a with new tags"))
    assert (await ingest.social.track(created.track_id)).embedding_state == PENDING
    await ingest.fail(created.track_id, "a", "MEDIA_CHANGED", "another file", again.file_hash)
    await ingest.until_state(created.track_id, FAILED)
    (unchanged,) = await ingest.register(registration("a", file_hash=sha("file a with new tags")))
    assert (unchanged.outcome, unchanged.embedding_state) == (UNCHANGED, PENDING)
    await ingest.until_work(3)


async def test_file_that_was_not_found_while_it_was_registered_anew_is_asked_for(ingest: Ingest, sql: Sql) -> None:
    async def are_waiting(count: int) -> bool:
        return bool(await sql.fetchval("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted") == count)

    (created,) = await ingest.register(registration("a"))
    (work,) = await ingest.until_work(1)
    new_tags = registration("a", file_hash=sha("file a with new tags"), title="Otherwise")
    async with sql.transaction():
        await sql.execute("SELECT FROM track_embeddings FOR UPDATE")
        registering = asyncio.create_task(ingest.register(new_tags))
        await until(lambda: are_waiting(1))  # it has seen that nothing went wrong so far
        await ingest.fail(created.track_id, "a", "MEDIA_CHANGED", "another file", work.file_hash)
        await until(lambda: are_waiting(2))
    await registering
    again = (await ingest.until_work(2))[1]
    assert (again.track_id, again.file_hash) == (created.track_id, sha("file a with new tags"))
    assert (await ingest.social.track(created.track_id)).embedding_state == PENDING


async def test_late_failure_does_not_undo_an_embedding(ingest: Ingest) -> None:
    (track_id,) = await ingest.embedded("song")
    await ingest.fail(track_id, "song", "AUDIO_CORRUPT", "too late")
    await ingest.embedded("next")
    assert (await ingest.social.track(track_id)).embedding_state == INDEXED


async def test_result_that_comes_twice_counts_once(ingest: Ingest, sql: Sql) -> None:
    (track_id,) = await ingest.embedded("song")
    for _ in range(3):
        await publish_embedded(ingest.embedder, track_id, sha("audio song"))
    await ingest.embedded("next")
    assert await sql.fetchval("SELECT version FROM track_embeddings WHERE track_id = $1", track_id) == 2
    state = await ingest.in_log(track_id)
    assert state is not None
    assert state.version == 2


async def test_result_that_nobody_wants_is_dropped(ingest: Ingest, sql: Sql) -> None:
    await publish_embedded(ingest.embedder, new_id(), sha("unknown"))
    await ingest.embedded("song")
    assert await sql.fetchval("SELECT count(*) FROM embeddings") == 1


async def test_registrations_and_results_at_once_leave_nobody_waiting(ingest: Ingest) -> None:
    """Copies of a sound are registered while its result is being stored: each must hear of it."""
    names = [f"song {number}" for number in range(12)]
    tracks = await ingest.register(*(registration(name) for name in names))

    # All wait for the lock of their root: at once they would be more than there are connections.
    places = asyncio.Semaphore(6)

    async def copy(name: str, number: int) -> str:
        async with places:
            copies = await ingest.register(registration(f"{name} {number}", audio_hash=sha(f"audio {name}")))
        return copies[0].track_id

    ids = await asyncio.gather(
        *(copy(name, number) for name in names for number in range(3)),
        *(
            publish_embedded(ingest.embedder, track.track_id, sha(f"audio {name}"))
            for name, track in zip(names, tracks, strict=True)
        ),
    )
    for track_id in (one for one in ids if one is not None):
        await ingest.until_state(track_id, INDEXED)


async def test_same_files_registered_twice_at_once_are_one_track_each(ingest: Ingest, sql: Sql) -> None:
    names = [registration(f"song {number}") for number in range(50)]
    results = await asyncio.gather(*(ingest.register(*names) for _ in range(3)))
    assert len({tuple(track.track_id for track in tracks) for tracks in results}) == 1
    assert sorted(tracks[0].outcome for tracks in results) == [CREATED, UNCHANGED, UNCHANGED]
    assert await sql.fetchval("SELECT count(*) FROM tracks") == 50
    await ingest.until_work(50)


async def test_tracks_that_came_before_the_encoder_are_embedded_too(mesh: Mesh) -> None:
    mesh.embedder.encoder_id = ""
    social = await mesh.start()
    admin = await social.sign_up()
    root_id = await social.register_root(admin)
    (track,) = await social.register(admin, root_id, [registration("early")])
    assert (track.outcome, track.embedding_state) == (CREATED, PENDING)
    mesh.embedder.encoder_id = ENCODER_ID
    watcher = await mesh.bus("social")
    await until_streams(watcher)

    async def is_work_out() -> bool:
        return bool((await watcher.jetstream.stream_info(EMBED_WORK)).state.messages == 1)

    await until(is_work_out)


async def test_another_encoder_does_not_switch_by_itself(mesh: Mesh, sql: Sql) -> None:
    await mesh.start()
    await until(lambda: sql.fetchval("SELECT count(*) FROM serving_encoder"))
    await mesh.stack.aclose()
    mesh.embedder.encoder_id = "other-0000000000000000"
    await mesh.start()
    await until(lambda: sql.fetchval("SELECT count(*) = 2 FROM encoders"))
    assert await sql.fetchval("SELECT encoder_id FROM serving_encoder") == ENCODER_ID


async def test_vector_that_is_none_ends_as_a_dead_letter_and_blocks_nobody(ingest: Ingest, sql: Sql) -> None:
    (track,) = await ingest.register(registration("song"))
    event = embedder_events_pb2.TrackEmbedded(track_id=track.track_id, audio_hash=sha("audio song"))
    event.embedding.encoder_id = ENCODER_ID
    event.embedding.vector = b"\0" * 7
    await ingest.embedder.publish("museed.embedder.v1.track_embedded", event.SerializeToString(), new_id())
    await ingest.embedded("next")
    assert await sql.fetchval("SELECT count(*) FROM embeddings") == 1
    assert (await ingest.social.track(track.track_id)).embedding_state == PENDING


async def test_progress_failures_and_media_are_told(ingest: Ingest) -> None:
    await ingest.embedded("a", "b")
    bad = await ingest.register(*(registration(f"bad {number}") for number in range(3)))
    for number, track in enumerate(bad[:2]):
        await ingest.fail(track.track_id, f"bad {number}", "NOT_AUDIO", f"number {number}")
        await ingest.until_state(track.track_id, FAILED)
    progress = await ingest.social.catalog.GetIngestProgress(
        catalog_pb2.GetIngestProgressRequest(root_id=ingest.root_id),
        timeout=TIMEOUT_S,
        metadata=ingest.admin.metadata,
    )
    assert (progress.pending, progress.embedded, progress.indexed, progress.failed) == (1, 0, 2, 2)
    told: list[str] = []
    token = ""
    for _ in range(2):
        page = await ingest.social.catalog.ListFailedTracks(
            catalog_pb2.ListFailedTracksRequest(root_id=ingest.root_id, page_size=1, page_token=token),
            timeout=TIMEOUT_S,
            metadata=ingest.admin.metadata,
        )
        told += [f"{one.relative_path.decode()} {one.reason} {one.message}" for one in page.failures]
        token = page.next_page_token
    assert told == ["bad 1.ogg NOT_AUDIO number 1", "bad 0.ogg NOT_AUDIO number 0"]
    assert token == ""
    with pytest.raises(NotFound) as nowhere:
        await ingest.social.catalog.ListFailedTracks(
            catalog_pb2.ListFailedTracksRequest(root_id=new_id()), timeout=TIMEOUT_S, metadata=ingest.admin.metadata
        )
    assert nowhere.value.reason == "ROOT_NOT_FOUND"
    good = (await ingest.register(registration("a")))[0]
    media = await ingest.social.catalog.GetTrackMedia(
        catalog_pb2.GetTrackMediaRequest(track_id=good.track_id), timeout=TIMEOUT_S
    )
    assert media == catalog_pb2.GetTrackMediaResponse(
        root_location="/music",
        relative_path=b"a.ogg",
        file_hash=sha("file a"),
        size_bytes=1_000,
        content_type="audio/ogg",
        duration_seconds=60,
    )
    # What no model could hear may be any file at all, and is nobody's to fetch.
    for track_id in (new_id(), "nonsense", bad[0].track_id, bad[2].track_id):
        with pytest.raises(NotFound) as refusal:
            await ingest.social.catalog.GetTrackMedia(
                catalog_pb2.GetTrackMediaRequest(track_id=track_id), timeout=TIMEOUT_S
            )
        assert refusal.value.reason == "TRACK_NOT_FOUND"


async def test_everything_is_counted(social: Client, library: Library) -> None:
    await social.register(
        library.admin, library.root_id, [registration("x", raw_genre="Techno"), registration("y", raw_genre="")]
    )
    found = await social.catalog.GetStats(catalog_pb2.GetStatsRequest(), timeout=TIMEOUT_S)
    assert (found.track_count, found.indexed_count, found.user_count, found.playlist_count) == (8, 6, 1, 0)
    assert [(one.genre, one.track_count) for one in found.genres] == [
        ("Rock", 6),
        ("Electronic", 1),
        ("Experimental", 1),
    ]


async def test_longest_allowed_path_is_registered(ingest: Ingest) -> None:
    path = random.Random(0).randbytes(4_096).replace(b"/", b"_").replace(b"\0", b"_")
    (track,) = await ingest.register(registration("long", relative_path=path))
    assert track.outcome == CREATED
    (again,) = await ingest.register(registration("long", relative_path=path))
    assert (again.outcome, again.track_id) == (UNCHANGED, track.track_id)
