"""gRPC in: the library's tracks, their search and their counts; CatalogService's other RPCs lie beside."""

from collections.abc import Callable
from datetime import datetime, timedelta

import grpc

from museed.social.v1 import catalog_pb2
from services.chassis.auth import viewer
from services.chassis.blobs import BlobStore
from services.social.actions.library_stats import LibraryStats
from services.social.domain import fields, paging, terms
from services.social.domain.catalog import MOST_TRACKS_READ
from services.social.domain.folding import LONGEST_QUERY, folded
from services.social.domain.genres import GENRES
from services.social.domain.ids import TrackId, UserId, is_id
from services.social.domain.uploads import Lent
from services.social.errors import Malformed, TrackNotFound
from services.social.servicer import catalog_messages as to
from services.social.servicer.catalog_ingest import CatalogIngest
from services.social.servicer.catalog_uploads import CatalogUploads
from services.social.store import catalog, search, vector_log
from services.social.store.database import Database
from services.social.store.search import TRACKS

_DEFAULT_PAGE, _LARGEST_PAGE = 20, 100


class CatalogServicer(CatalogIngest, CatalogUploads):
    """Serves CatalogService.

    Args:
        database: The truth.
        quota: What a person may lend in 24 hours.
        upload_life: How long an upload may be used.
        clock: Time of day.
        stats: Counts of everything.
        blobs: Where uploads lie; None believes that they are there.
    """

    def __init__(
        self,
        database: Database,
        quota: Lent,
        upload_life: timedelta,
        clock: Callable[[], datetime],
        stats: LibraryStats,
        *,
        blobs: BlobStore | None = None,
    ) -> None:
        self._stats = stats
        CatalogIngest.__init__(self, database)
        CatalogUploads.__init__(self, database, quota, upload_life, clock, blobs)

    async def SearchTracks(
        self,
        request: catalog_pb2.SearchTracksRequest,
        context: grpc.aio.ServicerContext[catalog_pb2.SearchTracksRequest, catalog_pb2.SearchTracksResponse],
    ) -> catalog_pb2.SearchTracksResponse:
        """Find tracks, best first."""
        asked = terms.asked(folded(fields.line(request.query, "query", longest=LONGEST_QUERY)))
        if request.genre and request.genre not in GENRES:
            raise Malformed("genre", request.genre, f"one of {', '.join(GENRES)}")
        size = paging.page_size(request.page_size, _DEFAULT_PAGE, _LARGEST_PAGE)
        blocker = _person() if request.leave_out_blocked else None
        scope = f"SearchTracks {request.genre}\0{asked.query}\0{blocker or ''}"
        after = search.decode(scope, request.page_token)
        # What somebody has just blocked is left out at once.
        borrowed = self._database.reading() if blocker is None else self._database.connection()
        async with borrowed as connection:
            async with connection.transaction(readonly=True):
                found = await search.search(
                    connection, TRACKS, asked, after, size + 1, only=request.genre or None, blocker=blocker
                )
            page = paging.cut(found, size, scope, search.key_of)
            track_ids = [TrackId(one.found_id) for one in page.items]
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
            blocker = _person() if request.leave_out_blocked else None
            found = await catalog.find_tracks(connection, track_ids, blocker)
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

    async def GetStats(
        self,
        request: catalog_pb2.GetStatsRequest,
        context: grpc.aio.ServicerContext[catalog_pb2.GetStatsRequest, catalog_pb2.GetStatsResponse],
    ) -> catalog_pb2.GetStatsResponse:
        """Count everything."""
        counts = await self._stats.read()
        return catalog_pb2.GetStatsResponse(
            track_count=counts.tracks,
            indexed_count=counts.indexed,
            user_count=counts.users,
            playlist_count=counts.playlists,
            play_count=counts.plays,
            genres=[
                catalog_pb2.GenreCount(genre=genre.name, track_count=genre.tracks)
                for genre in counts.genres
                if genre.tracks
            ],
        )


def _person() -> UserId | None:
    who = viewer()
    return UserId(who.user_id) if who is not None and who.is_person else None
