"""GET and HEAD /tracks/{id}/cover and /albums/{id}/cover: the picture of a file, else of its folder."""

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from starlette.requests import Request
from starlette.responses import Response

from museed.social.v1 import catalog_pb2, library_pb2
from services.chassis.errors import NotFound
from services.chassis.media import open_below, open_in_thread
from services.gateway.context import Parts
from services.gateway.covers.cover_cache import Cover, CoverCache, Key
from services.gateway.covers.extraction import PictureExtraction
from services.gateway.covers.folder_images import open_folder_image
from services.gateway.covers.images import image_type
from services.gateway.ids import decode_id
from services.gateway.ranges import is_not_modified

logger = logging.getLogger(__name__)

_MAX_AGE_S = 3_600
# Each that has none costs a process, once.
_MOST_TRACKS = 12


class Covers:
    """The routes of cover art. Covers are everybody's, as search is, of tracks whose audio may be heard.

    Args:
        parts: The parts of the process.
        threads: Reads files.
    """

    def __init__(self, parts: Parts, threads: ThreadPoolExecutor) -> None:
        self._parts = parts
        self._threads = threads
        self._max_bytes = parts.settings.max_cover_bytes
        self._cache = CoverCache(parts.settings.cover_cache_bytes)
        self._extraction = PictureExtraction(self._max_bytes)
        self._reading: dict[Key, asyncio.Task[Cover | None]] = {}

    async def handle_track(self, request: Request) -> Response:
        """Answer with a track's picture.

        Raises:
            InvalidArgument: ID_INVALID or ID_OF_ANOTHER_TYPE.
            NotFound: TRACK_NOT_FOUND, or COVER_NOT_FOUND.
            Unavailable: COVERS_BUSY, or social is away.
        """
        track_id = decode_id(request.path_params["track_id"], "Track", "trackId")
        await self._parts.authenticator.bind(None)
        return self._answer(request, await self._cover_of(track_id), "trackId", track_id)

    async def handle_album(self, request: Request) -> Response:
        """Answer with the picture of the first track of an album that has one, of so many as are looked at.

        Raises:
            InvalidArgument: ID_INVALID or ID_OF_ANOTHER_TYPE.
            NotFound: ALBUM_NOT_FOUND, or COVER_NOT_FOUND.
            Unavailable: COVERS_BUSY, or social is away.
        """
        album_id = decode_id(request.path_params["album_id"], "Album", "albumId")
        await self._parts.authenticator.bind(None)
        answer = await self._parts.upstream.library.ListTracksOfAlbum(
            library_pb2.ListTracksOfAlbumRequest(album_id=album_id, page_size=_MOST_TRACKS),
            timeout=self._parts.settings.upstream_timeout_s,
        )
        cover = None
        for track in answer.tracks:
            with contextlib.suppress(NotFound):  # nothing of it may be heard yet
                cover = await self._cover_of(track.track_id)
            if cover is not None:
                break
        return self._answer(request, cover, "albumId", album_id)

    def _answer(self, request: Request, cover: Cover | None, field: str, id_: str) -> Response:
        if cover is None:
            raise NotFound("there is no cover", reason="COVER_NOT_FOUND", field=field, value=id_)
        headers = {"ETag": cover.etag, "Cache-Control": f"public, max-age={_MAX_AGE_S}"}
        if is_not_modified(request.headers.get("if-none-match"), cover.etag):
            return Response(status_code=304, headers=headers)
        headers |= {"Content-Type": cover.content_type, "Content-Length": str(len(cover.content))}
        return Response(b"" if request.method == "HEAD" else cover.content, headers=headers)

    async def _cover_of(self, track_id: str) -> Cover | None:
        media = await self._parts.upstream.catalog.GetTrackMedia(
            catalog_pb2.GetTrackMediaRequest(track_id=track_id), timeout=self._parts.settings.upstream_timeout_s
        )
        root, path = media.root_location, media.relative_path
        try:
            descriptor = await open_in_thread(self._threads, lambda: open_below(root, path))
        except NotFound as error:
            # Its path is nobody's business here; the log has it.
            logger.warning("media_not_found", extra={"track_id": track_id, "detail": error.message})
            descriptor = -1
        embedded = None
        if descriptor >= 0:
            key: Key = (b"embedded", media.file_hash, *_facts(descriptor))
            embedded = await self._once(key, descriptor, lambda: self._embedded(descriptor))
        return embedded or await self._beside(root, path)

    async def _embedded(self, descriptor: int) -> bytes:
        return await self._extraction.picture_in(descriptor)

    async def _beside(self, root: str, path: bytes) -> Cover | None:
        loop = asyncio.get_running_loop()
        found = loop.run_in_executor(self._threads, open_folder_image, root, path)
        try:
            descriptor = await asyncio.shield(found)
        except asyncio.CancelledError:
            found.add_done_callback(_close)
            raise
        if descriptor is None:
            return None
        size = os.fstat(descriptor).st_size

        async def read() -> bytes:
            if size > self._max_bytes:
                return b""
            return await loop.run_in_executor(self._threads, os.pread, descriptor, size, 0)

        return await self._once((b"beside", *_facts(descriptor)), descriptor, read)

    async def _once(self, key: Key, descriptor: int, read: Callable[[], Awaitable[bytes]]) -> Cover | None:
        """Read a picture once for all who want it now, and keep it; closes the descriptor when that is done."""
        if key in self._cache:
            os.close(descriptor)
            return self._cache.get(key)
        if key in self._reading:
            os.close(descriptor)
        else:
            task = asyncio.create_task(self._read(key, descriptor, read))
            self._reading[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))
        # Shielded: who leaves must not take it from the others.
        return await asyncio.shield(self._reading[key])

    def _forget(self, key: Key, done: asyncio.Task[Cover | None]) -> None:
        del self._reading[key]
        if not done.cancelled():
            done.exception()  # all who wanted it may have left

    async def _read(self, key: Key, descriptor: int, read: Callable[[], Awaitable[bytes]]) -> Cover | None:
        try:
            content = await read()
        finally:
            os.close(descriptor)
        content_type = image_type(content)
        cover = None if content_type is None else Cover.of(content, content_type)
        self._cache.put(key, cover)
        return cover


def _facts(descriptor: int) -> tuple[int, ...]:
    """Return what changes when a file does."""
    stat = os.fstat(descriptor)
    return stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns


def _close(found: asyncio.Future[int | None]) -> None:
    if not found.cancelled() and found.exception() is None and (descriptor := found.result()) is not None:
        os.close(descriptor)
