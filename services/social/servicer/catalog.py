"""gRPC in: the library's tracks, their search, their way to the index; uploads."""

from collections.abc import Callable
from datetime import datetime, timedelta

import grpc

from museed.social.v1 import catalog_pb2, catalog_pb2_grpc
from services.chassis.auth import require_viewer
from services.social import fields, paging
from services.social.catalog import MOST_REGISTRATIONS, MOST_TRACKS_READ, EmbeddingState, Registration, check_location
from services.social.errors import Malformed, RootNotFound, TrackNotFound, UploadNotFound, UploadQuotaReached
from services.social.folding import LONGEST_QUERY, folded, query_words
from services.social.genres import GENRES
from services.social.ids import RootId, TrackId, UploadId, UserId, is_id, new_id
from services.social.registration import register
from services.social.servicer import catalog_messages as to
from services.social.store import accounts, catalog, search, stats, uploads, vector_log
from services.social.store.database import Database
from services.social.store.search import Found
from services.social.uploads import QUOTA_PERIOD, Upload, check_upload

_DEFAULT_PAGE, _LARGEST_PAGE = 20, 100
_DEFAULT_FAILED_PAGE = 50


class CatalogServicer(catalog_pb2_grpc.CatalogServiceServicer):
    """Serves CatalogService.

    Args:
        database: The truth.
        uploads_per_day: Uploads that a person may make in 24 hours.
        upload_life: How long an upload may be used.
        clock: Time of day.
    """

    def __init__(
        self, database: Database, uploads_per_day: int, upload_life: timedelta, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._uploads_per_day = uploads_per_day
        self._upload_life = upload_life
        self._clock = clock

    async def RegisterRoot(
        self,
        request: catalog_pb2.RegisterRootRequest,
        context: grpc.aio.ServicerContext[catalog_pb2.RegisterRootRequest, catalog_pb2.RegisterRootResponse],
    ) -> catalog_pb2.RegisterRootResponse:
        """Register a folder; the same folder again is the same root."""
        location = check_location(request.location)
        async with self._database.transaction() as connection:
            root_id = await catalog.insert_root(connection, RootId(new_id()), location)
        return catalog_pb2.RegisterRootResponse(root_id=root_id)

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
            found = await stats.failed_tracks(connection, root_id, before, size + 1)
        page = paging.cut(found, size, scope, lambda one: (one.failed_at.isoformat(), one.track_id))
        return catalog_pb2.ListFailedTracksResponse(
            failures=[to.failed_track(one) for one in page.items], next_page_token=page.next_token
        )

    async def SearchTracks(
        self,
        request: catalog_pb2.SearchTracksRequest,
        context: grpc.aio.ServicerContext[catalog_pb2.SearchTracksRequest, catalog_pb2.SearchTracksResponse],
    ) -> catalog_pb2.SearchTracksResponse:
        """Find tracks, best first."""
        query = folded(fields.line(request.query, "query", longest=LONGEST_QUERY))
        if request.genre and request.genre not in GENRES:
            raise Malformed("genre", request.genre, f"one of {', '.join(GENRES)}")
        size = paging.page_size(request.page_size, _DEFAULT_PAGE, _LARGEST_PAGE)
        scope = f"SearchTracks {request.genre}\0{query}"
        key = paging.decode_token(scope, request.page_token, [paging.is_number, paging.is_text, is_id])
        after = None if key is None else Found(float(key[0]), str(key[1]), TrackId(str(key[2])))
        async with self._database.connection() as connection:
            words = query_words(query)
            found = await search.search_tracks(connection, query, words, request.genre or None, after, size + 1)
            page = paging.cut(found, size, scope, lambda one: (one.rank, one.search_title, one.track_id))
            track_ids = [one.track_id for one in page.items]
            tracks = {track.track_id: track for track in await catalog.find_tracks(connection, track_ids)}
        return catalog_pb2.SearchTracksResponse(
            tracks=[to.track(tracks[track_id]) for track_id in track_ids if track_id in tracks],
            next_page_token=page.next_token,
        )

    async def BatchGetTracks(
        self,
        request: catalog_pb2.BatchGetTracksRequest,
        context: grpc.aio.ServicerContext[catalog_pb2.BatchGetTracksRequest, catalog_pb2.BatchGetTracksResponse],
    ) -> catalog_pb2.BatchGetTracksResponse:
        """Return tracks by id."""
        fields.count(len(request.track_ids), "track_ids", MOST_TRACKS_READ)
        track_ids = [TrackId(track_id) for track_id in request.track_ids if is_id(track_id)]
        async with self._database.connection() as connection:
            found = await catalog.find_tracks(connection, track_ids)
        return catalog_pb2.BatchGetTracksResponse(tracks=[to.track(track) for track in found])

    async def GetTrackMedia(
        self,
        request: catalog_pb2.GetTrackMediaRequest,
        context: grpc.aio.ServicerContext[catalog_pb2.GetTrackMediaRequest, catalog_pb2.GetTrackMediaResponse],
    ) -> catalog_pb2.GetTrackMediaResponse:
        """Say where a track's audio lies."""
        if not is_id(request.track_id):
            raise TrackNotFound(request.track_id)
        async with self._database.connection() as connection:
            media = await catalog.find_media(connection, TrackId(request.track_id))
        if media is None:
            raise TrackNotFound(request.track_id)
        return to.media(media)

    async def GetReadPoint(
        self,
        request: catalog_pb2.GetReadPointRequest,
        context: grpc.aio.ServicerContext[catalog_pb2.GetReadPointRequest, catalog_pb2.GetReadPointResponse],
    ) -> catalog_pb2.GetReadPointResponse:
        """Return the newest confirmed point of the VECTORS log."""
        async with self._database.connection() as connection:
            point = await vector_log.read_point(connection)
        return catalog_pb2.GetReadPointResponse(read_point=to.read_point(point))

    async def CreateUpload(
        self,
        request: catalog_pb2.CreateUploadRequest,
        context: grpc.aio.ServicerContext[catalog_pb2.CreateUploadRequest, catalog_pb2.CreateUploadResponse],
    ) -> catalog_pb2.CreateUploadResponse:
        """Record an upload of the caller's, within their quota."""
        user_id = UserId(require_viewer().user_id)
        new = check_upload(request.digest, request.size_bytes, request.content_type, request.file_name)
        now = self._clock()
        upload = Upload(
            UploadId(new_id()),
            user_id,
            new.digest,
            new.size_bytes,
            new.content_type,
            new.file_name,
            now,
            now + self._upload_life,
        )
        async with self._database.transaction() as connection:
            await accounts.lock_person(connection, user_id)
            count = await uploads.count_since(connection, user_id, now - QUOTA_PERIOD)
            if count >= self._uploads_per_day:
                raise UploadQuotaReached(count, self._uploads_per_day)
            await uploads.insert_upload(connection, upload)
        return catalog_pb2.CreateUploadResponse(upload=to.upload(upload))

    async def GetUpload(
        self,
        request: catalog_pb2.GetUploadRequest,
        context: grpc.aio.ServicerContext[catalog_pb2.GetUploadRequest, catalog_pb2.GetUploadResponse],
    ) -> catalog_pb2.GetUploadResponse:
        """Return an upload of the caller's own."""
        user_id, upload_id = UserId(require_viewer().user_id), UploadId(request.upload_id)
        if not is_id(upload_id):
            raise UploadNotFound(upload_id)
        async with self._database.connection() as connection:
            found = await uploads.find_uploads(connection, [upload_id], user_id, self._clock())
        if upload_id not in found:
            raise UploadNotFound(upload_id)
        return catalog_pb2.GetUploadResponse(upload=to.upload(found[upload_id]))

    async def GetStats(
        self,
        request: catalog_pb2.GetStatsRequest,
        context: grpc.aio.ServicerContext[catalog_pb2.GetStatsRequest, catalog_pb2.GetStatsResponse],
    ) -> catalog_pb2.GetStatsResponse:
        """Count everything."""
        async with self._database.connection() as connection:
            counts = await stats.count_everything(connection)
        return catalog_pb2.GetStatsResponse(
            track_count=counts.tracks,
            indexed_count=counts.indexed,
            user_count=counts.users,
            playlist_count=counts.playlists,
            genres=[catalog_pb2.GenreCount(genre=genre, track_count=count) for genre, count in counts.genres],
        )


def _root_id(given: str) -> RootId:
    if not is_id(given):
        raise RootNotFound(given)
    return RootId(given)
