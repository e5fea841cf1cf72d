"""What an ingest client asks: which files are known, which are gone, and vectors in and out."""

import struct
from collections.abc import Sequence

import pytest

from museed.social.v1 import catalog_pb2, ingest_pb2, ingest_pb2_grpc
from services.chassis.errors import InvalidArgument, NotFound
from services.social.domain.ids import new_id
from tests.integration.social.conftest import (
    TIMEOUT_S,
    Client,
    Library,
    Mesh,
    Person,
    Sql,
    make_library,
    publish_embedded,
    registration,
    sha,
    until,
)
from tests.integration.social.fakes import ENCODER_ID, embedding

DIMENSION = len(embedding(sha("any")).vector) // 4
UNIT = struct.pack(f"<{DIMENSION}f", 1.0, *[0.0] * (DIMENSION - 1))


class Ingest:
    """Calls of IngestService as one person."""

    def __init__(self, client: Client, who: Person) -> None:
        self.stub = ingest_pb2_grpc.IngestServiceStub(client.channel)
        self.metadata = who.metadata

    async def files(self, root_id: str, size: int = 0, token: str = "") -> ingest_pb2.ListRootFilesResponse:
        request = ingest_pb2.ListRootFilesRequest(root_id=root_id, page_size=size, page_token=token)
        return await self.stub.ListRootFiles(request, timeout=TIMEOUT_S, metadata=self.metadata)

    async def all_files(self, root_id: str, size: int) -> list[ingest_pb2.RootFile]:
        found: list[ingest_pb2.RootFile] = []
        token = ""
        while True:
            page = await self.files(root_id, size, token)
            found += page.files
            token = page.next_page_token
            if not token:
                return found

    async def mark(self, root_id: str, *paths: bytes) -> int:
        request = ingest_pb2.MarkMissingRequest(root_id=root_id, relative_paths=paths)
        return (await self.stub.MarkMissing(request, timeout=TIMEOUT_S, metadata=self.metadata)).marked_count

    async def vectors(
        self, encoder_id: str = ENCODER_ID, root_id: str = "", size: int = 0, token: str = ""
    ) -> ingest_pb2.ListEmbeddingsResponse:
        request = ingest_pb2.ListEmbeddingsRequest(
            encoder_id=encoder_id, root_id=root_id, page_size=size, page_token=token
        )
        return await self.stub.ListEmbeddings(request, timeout=TIMEOUT_S, metadata=self.metadata)

    async def put(
        self, *given: tuple[bytes, bytes, float], encoder_id: str = ENCODER_ID
    ) -> Sequence[ingest_pb2.ImportedEmbedding]:
        embeddings = [
            ingest_pb2.StoredEmbedding(audio_hash=audio_hash, vector=vector, duration_seconds=seconds)
            for audio_hash, vector, seconds in given
        ]
        request = ingest_pb2.ImportEmbeddingsRequest(encoder_id=encoder_id, embeddings=embeddings)
        return (await self.stub.ImportEmbeddings(request, timeout=TIMEOUT_S, metadata=self.metadata)).embeddings


@pytest.fixture
async def admin(social: Client) -> Person:
    return await social.sign_up("admin")


@pytest.fixture
def ingest(social: Client, admin: Person) -> Ingest:
    return Ingest(social, admin)


async def encoder_known(client: Client) -> None:
    async def is_known() -> bool:
        return (await client.roles())[0] != ""

    await until(is_known)


async def test_files_of_a_root_are_listed_once_each_whatever_the_page(
    social: Client, admin: Person, ingest: Ingest
) -> None:
    root_id, other_id = await social.register_root(admin), await social.register_root(admin, "/other")
    names = [f"Track {number}" for number in range(7)]
    odd = registration("odd", relative_path=b"caf\xe9/\xff.mp3")
    tracks = await social.register(admin, root_id, [*map(registration, names), odd])
    await social.register(admin, other_id, [registration("elsewhere")])
    found = await ingest.all_files(root_id, 3)
    assert len(found) == 8
    assert {file.relative_path for file in found} == {f"{name}.ogg".encode() for name in names} | {b"caf\xe9/\xff.mp3"}
    assert {file.track_id for file in found} == {track.track_id for track in tracks}
    one = next(file for file in found if file.relative_path == b"Track 0.ogg")
    assert (one.size_bytes, one.file_hash, one.audio_hash) == (1_000, sha("file Track 0"), sha("audio Track 0"))
    assert not one.HasField("missing_since")
    assert len((await ingest.files(root_id)).files) == 8


async def test_pictures_are_known_as_they_were_told_last(social: Client, admin: Person, ingest: Ingest) -> None:
    root_id = await social.register_root(admin)

    async def tell(has_cover: bool | None, **more: str) -> list[object]:
        told = registration("one", **more)
        if has_cover is not None:
            told.has_cover = has_cover
        (outcome,) = await social.register(admin, root_id, [told])
        (file,), track = (await ingest.files(root_id)).files, await social.track(outcome.track_id)
        shown = [each.has_cover if each.HasField("has_cover") else None for each in (file, track)]
        return [outcome.outcome, *shown]

    # A picture is no news of a file; who says nothing of it changes nothing, but for another file.
    assert await tell(None) == [catalog_pb2.REGISTRATION_OUTCOME_CREATED, None, None]
    unchanged = catalog_pb2.REGISTRATION_OUTCOME_UNCHANGED
    for has_cover, known in ((False, False), (None, False), (True, True), (None, True), (False, False)):
        assert await tell(has_cover) == [unchanged, known, known]
    retagged = catalog_pb2.REGISTRATION_OUTCOME_RETAGGED
    assert await tell(True, title="Other") == [retagged, True, True]
    assert await tell(None, title="Another") == [retagged, None, None]


async def test_roots_are_listed_page_by_page_with_their_tracks(social: Client, admin: Person, ingest: Ingest) -> None:
    await encoder_known(social)
    locations = [f"/music/{number}" for number in range(3)]
    root_ids = [await social.register_root(admin, location) for location in locations]
    files = [registration(name) for name in ("a", "b")]
    await social.register(admin, root_ids[1], files)
    gone = ingest_pb2.MarkMissingRequest(root_id=root_ids[1], relative_paths=[files[0].relative_path])
    await ingest.stub.MarkMissing(gone, timeout=TIMEOUT_S, metadata=ingest.metadata)
    found: list[ingest_pb2.Root] = []
    token = ""
    while True:
        request = ingest_pb2.ListRootsRequest(page_size=2, page_token=token)
        page = await ingest.stub.ListRoots(request, timeout=TIMEOUT_S, metadata=ingest.metadata)
        found += page.roots
        token = page.next_page_token
        if not token:
            break
    assert [(root.root_id, root.location) for root in found] == list(zip(root_ids, locations, strict=True))
    assert [(root.track_count, root.missing_count) for root in found] == [(0, 0), (2, 1), (0, 0)]
    assert all(root.created_at.seconds for root in found)
    again = catalog_pb2.RegisterRootRequest(location=locations[1] + "/")
    same = await social.catalog.RegisterRoot(again, timeout=TIMEOUT_S, metadata=admin.metadata)
    assert same == catalog_pb2.RegisterRootResponse(
        root_id=root_ids[1],
        location=locations[1],
        created_at=found[1].created_at,
        track_count=2,
        missing_count=1,
    )
    forged = ingest_pb2.ListRootsRequest(page_token="forged")
    with pytest.raises(InvalidArgument):
        await ingest.stub.ListRoots(forged, timeout=TIMEOUT_S, metadata=ingest.metadata)


async def test_what_is_gone_is_marked_once(social: Client, admin: Person, ingest: Ingest, sql: Sql) -> None:
    root_id, other_id = await social.register_root(admin), await social.register_root(admin, "/other")
    await social.register(admin, root_id, [registration("a"), registration("b")])
    await social.register(admin, other_id, [registration("a")])
    assert await ingest.mark(root_id, b"a.ogg", b"a.ogg", b"never there") == 1
    (since,) = [file.missing_since for file in await ingest.all_files(root_id, 0) if file.HasField("missing_since")]
    assert await ingest.mark(root_id, b"a.ogg") == 0
    missing = {file.relative_path: file.missing_since for file in await ingest.all_files(root_id, 0)}
    assert missing[b"a.ogg"] == since
    assert await sql.fetchval("SELECT count(*) FROM tracks WHERE missing_since IS NOT NULL") == 1


async def test_bad_questions_about_files_are_refused(social: Client, admin: Person, ingest: Ingest) -> None:
    root_id = await social.register_root(admin)
    for unknown in ("", "nonsense", new_id()):
        with pytest.raises(NotFound) as nowhere:
            await ingest.files(unknown)
        assert nowhere.value.reason == "ROOT_NOT_FOUND"
        with pytest.raises(NotFound):
            await ingest.mark(unknown, b"a")
    for paths, reason in (([], "REQUIRED"), ([b"a"] * 501, "OUT_OF_RANGE"), ([b"a" * 4_097], "OUT_OF_RANGE")):
        with pytest.raises(InvalidArgument) as refused:
            await ingest.mark(root_id, *paths)
        assert (refused.value.reason, refused.value.field) == (reason, "relative_paths")
    with pytest.raises(InvalidArgument):
        await ingest.files(root_id, -1)
    other = await social.register_root(admin, "/other")
    await social.register(admin, other, [registration("a"), registration("b")])
    foreign = (await ingest.files(other, 1)).next_page_token
    with pytest.raises(InvalidArgument) as mixed:
        await ingest.files(root_id, 1, foreign)
    assert mixed.value.field == "page_token"


async def test_vectors_come_out_as_they_were_heard(mesh: Mesh, social: Client, sql: Sql) -> None:
    library = await make_library(mesh, social, 5)
    ingest = Ingest(social, library.admin)
    elsewhere = await social.register_root(library.admin, "/other")
    await social.register(library.admin, elsewhere, [registration("copy", audio_hash=sha("audio Track 3"))])
    first = await ingest.vectors(size=2)
    second = await ingest.vectors(size=2, token=first.next_page_token)
    third = await ingest.vectors(size=2, token=second.next_page_token)
    found = [*first.embeddings, *second.embeddings, *third.embeddings]
    assert third.next_page_token == ""
    assert [one.audio_hash for one in found] == sorted(sha(f"audio Track {number}") for number in range(5))
    assert all(one.vector == embedding(one.audio_hash).vector for one in found)
    assert [one.audio_hash for one in (await ingest.vectors(root_id=elsewhere)).embeddings] == [sha("audio Track 3")]
    with pytest.raises(NotFound) as nobody:
        await ingest.vectors("no-such-encoder")
    assert nobody.value.reason == "ENCODER_NOT_FOUND"
    for unknown in ("nonsense", new_id()):
        with pytest.raises(NotFound) as nowhere:
            await ingest.vectors(root_id=unknown)
        assert nowhere.value.reason == "ROOT_NOT_FOUND"


async def test_vectors_that_come_in_take_tracks_to_the_index(
    mesh: Mesh, social: Client, admin: Person, ingest: Ingest, sql: Sql
) -> None:
    await encoder_known(social)
    root_id = await social.register_root(admin)
    twice = registration("again", audio_hash=sha("audio a"))
    tracks = await social.register(admin, root_id, [registration("a"), registration("b"), twice])
    assert {track.embedding_state for track in tracks} == {catalog_pb2.EMBEDDING_STATE_PENDING}
    outcomes = await ingest.put(
        (sha("audio a"), UNIT, 61.5),
        (sha("audio nobody"), UNIT, 0),
        (sha("audio a"), UNIT, 0),
        (sha("audio b")[:31], UNIT, 0),
        (sha("audio b"), UNIT[:-4], 0),
        (sha("audio b"), b"\0" * len(UNIT), 0),
        (sha("audio b"), struct.pack("<f", float("nan")) + UNIT[4:], 0),
        (sha("audio b"), UNIT, float("nan")),
        (sha("audio b"), UNIT, -1),
    )
    assert [(ingest_pb2.ImportOutcome.Name(one.outcome)[15:], one.reason) for one in outcomes] == [
        ("STORED", ""),
        ("NO_TRACK", ""),
        ("REFUSED", "MALFORMED"),
        ("REFUSED", "MALFORMED"),
        ("REFUSED", "DIMENSION_MISMATCH"),
        ("REFUSED", "VECTOR_NOT_UNIT"),
        ("REFUSED", "VECTOR_NOT_UNIT"),
        ("REFUSED", "MALFORMED"),
        ("REFUSED", "OUT_OF_RANGE"),
    ]

    async def is_indexed(count: int = 2) -> bool:
        return bool(await sql.fetchval("SELECT count(*) = $1 FROM track_embeddings WHERE state = 'INDEXED'", count))

    await until(is_indexed)
    assert await sql.fetchval("SELECT count(*) FROM embeddings") == 1
    assert await sql.fetchval("SELECT array_agg(audio_hash) FROM embedding_work") == [sha("audio b")]
    (stored,) = (await ingest.vectors()).embeddings
    assert (stored.audio_hash, stored.vector, stored.duration_seconds) == (sha("audio a"), UNIT, 61.5)
    # What an embedder says afterwards, and the same import again, change nothing.
    bus = await mesh.bus()
    await publish_embedded(bus, tracks[0].track_id, sha("audio a"))
    await publish_embedded(bus, tracks[1].track_id, sha("audio b"))
    await until(lambda: is_indexed(3))
    (again,) = await ingest.put((sha("audio a"), embedding(sha("other")).vector, 1))
    assert again.outcome == ingest_pb2.IMPORT_OUTCOME_KNOWN
    vectors = {one.audio_hash: one.vector for one in (await ingest.vectors()).embeddings}
    assert vectors == {sha("audio a"): UNIT, sha("audio b"): embedding(sha("audio b")).vector}


async def test_vector_from_outside_ends_a_failure(social: Client, admin: Person, ingest: Ingest, sql: Sql) -> None:
    await encoder_known(social)
    root_id = await social.register_root(admin)
    await social.register(admin, root_id, [registration("a")])
    await sql.execute("DELETE FROM embedding_work")
    await sql.execute("UPDATE track_embeddings SET state = 'FAILED', failure_reason = 'X', failure_message = 'y'")
    await sql.execute(
        "INSERT INTO embedding_failures (encoder_id, audio_hash, reason, message) VALUES ($1, $2, 'X', 'y')",
        ENCODER_ID,
        sha("audio a"),
    )
    (one,) = await ingest.put((sha("audio a"), UNIT, 60))
    assert one.outcome == ingest_pb2.IMPORT_OUTCOME_STORED

    async def is_indexed() -> bool:
        return bool(await sql.fetchval("SELECT state || failure_reason = 'INDEXED' FROM track_embeddings"))

    await until(is_indexed)
    assert await sql.fetchval("SELECT count(*) FROM embedding_failures") == 0
    assert await sql.fetchval("SELECT count(*) FROM embedding_work") == 0


async def test_bad_imports_are_refused_whole(social: Client, library: Library, sql: Sql) -> None:
    ingest = Ingest(social, library.admin)
    before = await sql.fetchval("SELECT count(*) FROM embeddings")
    with pytest.raises(InvalidArgument) as empty:
        await ingest.put()
    assert (empty.value.reason, empty.value.field) == ("REQUIRED", "embeddings")
    with pytest.raises(InvalidArgument) as many:
        await ingest.put(*[(sha(str(number)), UNIT, 0.0) for number in range(501)])
    assert (many.value.reason, many.value.limit) == ("OUT_OF_RANGE", "500")
    for encoder_id in ("nobody", "a\0b"):
        with pytest.raises(NotFound) as nobody:
            await ingest.put((sha("audio Track 0"), UNIT, 0), encoder_id=encoder_id)
        assert nobody.value.reason == "ENCODER_NOT_FOUND"
    assert await sql.fetchval("SELECT count(*) FROM embeddings") == before
