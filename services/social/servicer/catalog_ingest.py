"""gRPC in: tracks on their way into the library and to the index; the part of CatalogService that admins use."""

from datetime import datetime

import grpc

from museed.social.v1 import catalog_pb2, catalog_pb2_grpc
from services.chassis.auth import require_viewer
from services.social.actions.registration import register
from services.social.domain import fields, paging
from services.social.domain.catalog import MOST_REGISTRATIONS, EmbeddingState, Registration, check_location
from services.social.domain.ids import RootId, TrackId, UserId, is_id, new_id
from services.social.domain.moderation import Subject
from services.social.errors import RootNotFound
from services.social.servicer import catalog_messages as to
from services.social.store import audit, catalog, ingest, stats
from services.social.store.database import Database
from services.social.wire import timestamp

_DEFAULT_FAILED_PAGE, _LARGEST_PAGE = 50, 100


class CatalogIngest(catalog_pb2_grpc.CatalogServiceServicer):
    """RPCs of CatalogService that register tracks and tell what became of them.

    Args:
        database: The truth.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def RegisterRoot(
        self,
        request: catalog_pb2.RegisterRootRequest,
        context: grpc.aio.ServicerContext[catalog_pb2.RegisterRootRequest, catalog_pb2.RegisterRootResponse],
    ) -> catalog_pb2.RegisterRootResponse:
        """Register a folder; the same folder again is the same root."""
        location = check_location(request.location)
        async with self._database.transaction() as connection:
            fresh_id = RootId(new_id())
            root_id = await catalog.insert_root(connection, fresh_id, location)
            if root_id == fresh_id:
                admin_id = UserId(require_viewer().user_id)
                detail: dict[str, object] = {"location": location}
                await audit.add(connection, admin_id, "register_root", Subject.ROOT, root_id, detail=detail)
            root = await ingest.find_root(connection, root_id)
        return catalog_pb2.RegisterRootResponse(
            root_id=root_id,
            location=root.location,
            created_at=timestamp(root.created_at),
            track_count=root.tracks,
            missing_count=root.missing,
        )

    async def RegisterTracks(
        self,
        request: catalog_pb2.RegisterTracksRequest,
        context: grpc.aio.ServicerContext[catalog_pb2.RegisterTracksRequest, catalog_pb2.RegisterTracksResponse],
    ) -> catalog_pb2.RegisterTracksResponse:
        """Register tracks and ask for what is not known of their sound."""
        fields.count(len(request.tracks), "tracks", MOST_REGISTRATIONS)
        given = [
            Registration(
                track.relative_path,
                track.file_hash,
                track.audio_hash,
                track.size_bytes,
                track.content_type,
                track.title,
                track.artist,
                track.album,
                track.raw_genre,
                track.year,
                track.duration_seconds,
                track.genre,
                track.sub_genres,
                track.tags,
                track.isrc,
                track.musicbrainz_recording_id,
                track.licence,
                track.source,
                track.mtime_ns,
                track.previous_path,
                track.musicbrainz_artist_id,
                track.musicbrainz_release_id,
                track.has_cover if track.HasField("has_cover") else None,
            )
            for track in request.tracks
        ]
        registered = await register(self._database, _root_id(request.root_id), given)
        return catalog_pb2.RegisterTracksResponse(tracks=[to.registered_track(one) for one in registered])

    async def GetIngestProgress(
        self,
        request: catalog_pb2.GetIngestProgressRequest,
        context: grpc.aio.ServicerContext[catalog_pb2.GetIngestProgressRequest, catalog_pb2.GetIngestProgressResponse],
    ) -> catalog_pb2.GetIngestProgressResponse:
        """Count a root's tracks by state."""
        root_id = _root_id(request.root_id)
        async with self._database.connection() as connection:
            if not await catalog.root_exists(connection, root_id):
                raise RootNotFound(root_id)
            counts = await stats.progress_of_root(connection, root_id)
        return catalog_pb2.GetIngestProgressResponse(
            **{state.value.lower(): counts.get(state, 0) for state in EmbeddingState}
        )

    async def ListFailedTracks(
        self,
        request: catalog_pb2.ListFailedTracksRequest,
        context: grpc.aio.ServicerContext[catalog_pb2.ListFailedTracksRequest, catalog_pb2.ListFailedTracksResponse],
    ) -> catalog_pb2.ListFailedTracksResponse:
        """List tracks that could not be embedded, newest failure first."""
        root_id = _root_id(request.root_id) if request.root_id else None
        size = paging.page_size(request.page_size, _DEFAULT_FAILED_PAGE, _LARGEST_PAGE)
        scope = f"ListFailedTracks {request.root_id}"
        key = paging.decode_token(scope, request.page_token, [paging.is_time, is_id])
        before = None if key is None else (datetime.fromisoformat(str(key[0])), TrackId(str(key[1])))
        async with self._database.connection() as connection:
            if root_id is not None and not await catalog.root_exists(connection, root_id):
                raise RootNotFound(root_id)
            found = await stats.failed_tracks(connection, root_id, before, size + 1)
        page = paging.cut(found, size, scope, lambda one: (one.failed_at.isoformat(), one.track_id))
        return catalog_pb2.ListFailedTracksResponse(
            failures=[to.failed_track(one) for one in page.items], next_page_token=page.next_token
        )


def _root_id(given: str) -> RootId:
    if not is_id(given):
        raise RootNotFound(given)
    return RootId(given)
