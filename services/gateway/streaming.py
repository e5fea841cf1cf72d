"""GET and HEAD /tracks/{id}/stream: a track's audio, whole or a range of it, read from its media root."""

import asyncio
import logging
import os
import re
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from museed.social.v1 import catalog_pb2
from services.chassis.errors import FailedPrecondition, NotFound, Unauthenticated
from services.chassis.media import open_below, open_in_thread
from services.gateway.context import Parts
from services.gateway.ids import decode_id
from services.gateway.ranges import Span, UnsatisfiableRangeError, is_not_modified, parse_range, range_applies

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 256 * 1024
# What the catalogue says becomes a header; nothing that a browser would run comes from here.
_AUDIO_TYPE = re.compile(r"(audio|video)/[\w.+-]{1,100}|application/ogg", re.ASCII)
_UNKNOWN_TYPE = "application/octet-stream"


class AudioStreams:
    """The route of tracks' audio.

    Args:
        parts: The parts of the process.
        threads: Reads files, so that a slow disk holds up neither the loop nor other work.
    """

    def __init__(self, parts: Parts, threads: ThreadPoolExecutor) -> None:
        self._parts = parts
        self._threads = threads

    async def handle(self, request: Request) -> Response:
        """Answer a request for a track's audio.

        Raises:
            Unauthenticated: Neither a signed address nor a good token, or the session has ended.
            PermissionDenied: SIGNATURE_INVALID or URL_EXPIRED.
            Unavailable: Tokens cannot be verified now.
            NotFound: No such track, or no such file any more.
            FailedPrecondition: MEDIA_CHANGED.
        """
        track_id = decode_id(request.path_params["track_id"], "Track", "trackId")
        session_id = await self._admit(request, track_id)
        return await self.track_audio(request, track_id, session_id)

    async def track_audio(self, request: Request, track_id: str, session_id: str = "") -> Response:
        """Answer with a track's audio, to somebody who was let in.

        Args:
            request: GET or HEAD.
            track_id: UUID.
            session_id: The connection is broken when this session ends.

        Raises:
            NotFound, FailedPrecondition: As `handle` does.
        """
        media = await self._parts.upstream.catalog.GetTrackMedia(
            catalog_pb2.GetTrackMediaRequest(track_id=track_id), timeout=self._parts.settings.upstream_timeout_s
        )
        etag = f'"{media.file_hash.hex()}"'
        headers = {
            "ETag": etag,
            "Accept-Ranges": "bytes",
            "Cache-Control": f"private, max-age={self._parts.settings.stream_url_lifetime_s}",
        }
        if is_not_modified(request.headers.get("if-none-match"), etag):
            return Response(status_code=304, headers=headers)
        headers["Content-Type"] = media.content_type if _AUDIO_TYPE.fullmatch(media.content_type) else _UNKNOWN_TYPE
        descriptor = await self._open(media, track_id)
        try:
            size = os.fstat(descriptor).st_size
            if size != media.size_bytes:
                raise FailedPrecondition(
                    f"the file has {size} bytes now and had {media.size_bytes} when it was registered: ingest it again",
                    reason="MEDIA_CHANGED",
                    field="trackId",
                    value=track_id,
                )
            span, status, more = _plan(request, size, etag)
        except BaseException:
            os.close(descriptor)
            raise
        headers |= more
        if span is None or request.method == "HEAD":
            os.close(descriptor)
            return Response(status_code=status, headers=headers)
        revocations = self._parts.authenticator.revocations
        return _FileResponse(
            descriptor, span, self._threads, lambda: session_id in revocations, status_code=status, headers=headers
        )

    async def _open(self, media: catalog_pb2.GetTrackMediaResponse, track_id: str) -> int:
        try:
            return await open_in_thread(self._threads, lambda: open_below(media.root_location, media.relative_path))
        except NotFound as error:
            # Its path is nobody's business here; the log has it.
            logger.warning("media_not_found", extra={"track_id": track_id, "detail": error.message})
            raise NotFound(
                "the file of this track is gone", reason=error.reason, field="trackId", value=track_id
            ) from error

    async def _admit(self, request: Request, track_id: str) -> str:
        """Return the session under which the audio is heard; empty for guests."""
        authenticator = self._parts.authenticator
        if "signature" in request.query_params:
            await authenticator.bind(None)
            grant = self._parts.signer.verify(track_id, request.query_params)
            if grant.session_id:
                await authenticator.revocations.be_read()
            if grant.session_id in authenticator.revocations:
                raise Unauthenticated("the session has ended, log in again", reason="SESSION_REVOKED")
            return grant.session_id
        viewer = await authenticator.bind(request.headers.get("authorization"))
        if viewer is None:
            raise Unauthenticated("take the address from `streamUrl`, or send a token", reason="LOGIN_REQUIRED")
        return viewer.session_id


def _plan(request: Request, size: int, etag: str) -> tuple[Span | None, int, dict[str, str]]:
    """Return what to send, the status, and the headers that depend on it. Only GET knows ranges (RFC 9110, 14.2)."""
    has_range = request.method == "GET" and range_applies(request.headers.get("if-range"), etag)
    try:
        span = parse_range(request.headers.get("range"), size) if has_range else None
    except UnsatisfiableRangeError:
        return None, 416, {"Content-Range": f"bytes */{size}", "Content-Length": "0"}
    if span is None:
        return Span(0, size), 200, {"Content-Length": str(size)}
    return (
        span,
        206,
        {"Content-Range": f"bytes {span.start}-{span.end - 1}/{size}", "Content-Length": str(span.length)},
    )


class _FileResponse(StreamingResponse):
    """Sends a span of an open file while that is allowed, and closes it, also when the client goes away."""

    def __init__(
        self,
        descriptor: int,
        span: Span,
        threads: ThreadPoolExecutor,
        is_over: Callable[[], bool],
        *,
        status_code: int,
        headers: dict[str, str],
    ) -> None:
        super().__init__(_read(descriptor, span, threads, is_over), status_code=status_code, headers=headers)
        self._descriptor = descriptor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            os.close(self._descriptor)


async def _read(
    descriptor: int, span: Span, threads: ThreadPoolExecutor, is_over: Callable[[], bool]
) -> AsyncGenerator[bytes, None]:
    loop = asyncio.get_running_loop()
    position = span.start
    while position < span.end:
        if is_over():
            raise PermissionError("the session ended while its audio was sent")
        length = min(_CHUNK_BYTES, span.end - position)
        chunk = await loop.run_in_executor(threads, os.pread, descriptor, length, position)
        if not chunk:
            # The length is promised already: breaking off is the only way to tell.
            logger.warning("media_truncated", extra={"position": position, "end": span.end})
            raise OSError("the file was cut off while it was sent")
        yield chunk
        position += len(chunk)
