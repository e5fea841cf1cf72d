"""gRPC in: what an ingest client needs to read a library a second time, and to carry vectors in and out."""

from collections.abc import Callable
from datetime import datetime

import grpc

from museed.social.v1 import ingest_pb2, ingest_pb2_grpc
from services.chassis.errors import DomainError
from services.social.domain import fields, paging
from services.social.domain.ids import EncoderId, RootId, is_id
from services.social.domain.stored_vectors import MOST_VECTORS, StoredVector, check_vectors
from services.social.errors import Missing, OutOfRange, RootNotFound
from services.social.errors.ingest import EncoderNotFound
from services.social.store import catalog, encoders, ingest
from services.social.store.database import Connection, Database
from services.social.wire import timestamp

_DEFAULT_FILES, _MOST_FILES = 500, 1_000
_DEFAULT_ROOTS, _MOST_ROOTS = 50, 100
_DEFAULT_VECTORS = 100
_MOST_PATHS = 500
_LONGEST_PATH_BYTES = 4_096
_LONGEST_ENCODER_ID = 200


class IngestServicer(ingest_pb2_grpc.IngestServiceServicer):
    """Serves IngestService.

    Args:
        database: The truth.
        clock: Tells when a file was found missing.
    """

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    async def ListRoots(
        self,
        request: ingest_pb2.ListRootsRequest,
        context: grpc.aio.ServicerContext[ingest_pb2.ListRootsRequest, ingest_pb2.ListRootsResponse],
    ) -> ingest_pb2.ListRootsResponse:
        """List the roots."""
        size = paging.page_size(request.page_size, _DEFAULT_ROOTS, _MOST_ROOTS)
        key = paging.decode_token("ListRoots", request.page_token, [is_id])
        after = None if key is None else RootId(str(key[0]))
        async with self._database.connection() as connection:
            found = await ingest.roots(connection, after, size + 1)
        page = paging.cut(found, size, "ListRoots", lambda root: [root.root_id])
        return ingest_pb2.ListRootsResponse(
            roots=[
                ingest_pb2.Root(
                    root_id=root.root_id,
                    location=root.location,
                    created_at=timestamp(root.created_at),
                    track_count=root.tracks,
                    missing_count=root.missing,
                )
                for root in page.items
            ],
            next_page_token=page.next_token,
        )

    async def ListRootFiles(
        self,
        request: ingest_pb2.ListRootFilesRequest,
        context: grpc.aio.ServicerContext[ingest_pb2.ListRootFilesRequest, ingest_pb2.ListRootFilesResponse],
    ) -> ingest_pb2.ListRootFilesResponse:
        """List the files of a root."""
        root_id = _root_id(request.root_id)
        size = paging.page_size(request.page_size, _DEFAULT_FILES, _MOST_FILES)
        scope = f"ListRootFiles {root_id}"
        key = paging.decode_token(scope, request.page_token, [_is_digest])
        async with self._database.connection() as connection:
            await _check_root(connection, root_id)
            found = await ingest.root_files(connection, root_id, _after(key), size + 1)
        page = paging.cut(found, size, scope, lambda file: [file.path_hash.hex()])
        return ingest_pb2.ListRootFilesResponse(
            files=[_root_file(file) for file in page.items], next_page_token=page.next_token
        )

    async def MarkMissing(
        self,
        request: ingest_pb2.MarkMissingRequest,
        context: grpc.aio.ServicerContext[ingest_pb2.MarkMissingRequest, ingest_pb2.MarkMissingResponse],
    ) -> ingest_pb2.MarkMissingResponse:
        """Note which files are gone."""
        root_id = _root_id(request.root_id)
        if not request.relative_paths:
            raise Missing("relative_paths")
        fields.count(len(request.relative_paths), "relative_paths", _MOST_PATHS)
        for path in request.relative_paths:
            if len(path) > _LONGEST_PATH_BYTES:
                raise OutOfRange("relative_paths", len(path), _LONGEST_PATH_BYTES, "bytes")
        async with self._database.transaction() as connection:
            if not await catalog.lock_root(connection, root_id):
                raise RootNotFound(root_id)
            marked = await ingest.mark_missing(connection, root_id, list(request.relative_paths), self._clock())
        return ingest_pb2.MarkMissingResponse(marked_count=marked)

    async def ListEmbeddings(
        self,
        request: ingest_pb2.ListEmbeddingsRequest,
        context: grpc.aio.ServicerContext[ingest_pb2.ListEmbeddingsRequest, ingest_pb2.ListEmbeddingsResponse],
    ) -> ingest_pb2.ListEmbeddingsResponse:
        """List an encoder's vectors."""
        root_id = _root_id(request.root_id) if request.root_id else None
        size = paging.page_size(request.page_size, _DEFAULT_VECTORS, MOST_VECTORS)
        scope = f"ListEmbeddings {request.encoder_id} {request.root_id}"
        key = paging.decode_token(scope, request.page_token, [_is_digest])
        async with self._database.connection() as connection:
            encoder_id, _ = await _encoder(connection, request.encoder_id)
            if root_id is not None:
                await _check_root(connection, root_id)
            found = await ingest.list_vectors(connection, encoder_id, root_id, _after(key), size + 1)
        page = paging.cut(found, size, scope, lambda one: [one.audio_hash.hex()])
        stored = [
            ingest_pb2.StoredEmbedding(
                audio_hash=one.audio_hash, vector=one.vector, duration_seconds=one.duration_seconds
            )
            for one in page.items
        ]
        return ingest_pb2.ListEmbeddingsResponse(embeddings=stored, next_page_token=page.next_token)

    async def ImportEmbeddings(
        self,
        request: ingest_pb2.ImportEmbeddingsRequest,
        context: grpc.aio.ServicerContext[ingest_pb2.ImportEmbeddingsRequest, ingest_pb2.ImportEmbeddingsResponse],
    ) -> ingest_pb2.ImportEmbeddingsResponse:
        """Take vectors in."""
        if not request.embeddings:
            raise Missing("embeddings")
        fields.count(len(request.embeddings), "embeddings", MOST_VECTORS)
        given = [StoredVector(one.audio_hash, one.vector, one.duration_seconds) for one in request.embeddings]
        async with self._database.transaction() as connection:
            encoder_id, dimension = await _encoder(connection, request.encoder_id)
            checked = check_vectors(given, dimension)
            good = [one for one in checked if isinstance(one, StoredVector)]
            sounds = await ingest.sounds_of_tracks(connection, [one.audio_hash for one in good])
            with_track = set(sounds.values())
            wanted = [one for one in good if one.audio_hash in with_track]
            stored = await ingest.import_vectors(connection, encoder_id, wanted, list(sounds)) if wanted else set()
        return ingest_pb2.ImportEmbeddingsResponse(embeddings=[_imported(one, with_track, stored) for one in checked])


def _root_id(given: str) -> RootId:
    if not is_id(given):
        raise RootNotFound(given)
    return RootId(given)


async def _check_root(connection: Connection, root_id: RootId) -> None:
    if not await catalog.root_exists(connection, root_id):
        raise RootNotFound(root_id)


async def _encoder(connection: Connection, given: str) -> tuple[EncoderId, int]:
    """Return the encoder's id and its dimension."""
    fields.line(given, "encoder_id", longest=_LONGEST_ENCODER_ID, is_required=True)
    encoder = None if "\0" in given else await encoders.find_encoder(connection, EncoderId(given))
    if encoder is None:
        raise EncoderNotFound(given)
    return encoder.encoder_id, encoder.dimension


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def _after(key: list[paging.KeyPart] | None) -> bytes:
    return b"" if key is None else bytes.fromhex(str(key[0]))


def _root_file(file: ingest.RootFile) -> ingest_pb2.RootFile:
    message = ingest_pb2.RootFile(
        track_id=file.track_id,
        relative_path=file.relative_path,
        size_bytes=file.size_bytes,
        mtime_ns=file.mtime_ns,
        file_hash=file.file_hash,
        audio_hash=file.audio_hash,
        has_cover=file.has_cover,
    )
    if file.missing_since is not None:
        message.missing_since.FromDatetime(file.missing_since)
    return message


def _imported(
    one: StoredVector | DomainError, with_track: set[bytes], stored: set[bytes]
) -> ingest_pb2.ImportedEmbedding:
    if isinstance(one, DomainError):
        return ingest_pb2.ImportedEmbedding(
            outcome=ingest_pb2.IMPORT_OUTCOME_REFUSED, reason=one.reason, message=one.message
        )
    if one.audio_hash not in with_track:
        return ingest_pb2.ImportedEmbedding(outcome=ingest_pb2.IMPORT_OUTCOME_NO_TRACK)
    is_new = one.audio_hash in stored
    return ingest_pb2.ImportedEmbedding(
        outcome=ingest_pb2.IMPORT_OUTCOME_STORED if is_new else ingest_pb2.IMPORT_OUTCOME_KNOWN
    )
