"""POST /uploads: one audio file as the request's body, streamed to the blob store and recorded by social."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from urllib.parse import unquote

import filetype  # type: ignore[import-untyped]  # ships none
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from museed.social.v1 import catalog_pb2, uploads_pb2
from services.chassis import auth
from services.chassis.errors import DeadlineExceeded, InvalidArgument, ResourceExhausted, Unimplemented
from services.gateway.context import Parts
from services.gateway.schema.values import to_datetime

logger = logging.getLogger(__name__)

# As much as `filetype` looks at.
_HEAD_BYTES = 8192
_STALL_S = 30.0
# Of a whole upload, however steadily it drips.
_LONGEST_S = 3_600.0
_MAX_NAME_CHARACTERS = 255
_UNKNOWN_TYPE = "application/octet-stream"


class Uploads:
    """The route of uploads.

    Args:
        parts: The parts of the process.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def handle(self, request: Request) -> Response:
        """Take a file.

        Raises:
            Unauthenticated: No good token.
            InvalidArgument: CONTENT_TYPE_REFUSED, CONTENT_LENGTH_INVALID, UPLOAD_EMPTY or UPLOAD_NOT_AUDIO.
            ResourceExhausted: UPLOAD_TOO_LARGE, or UPLOAD_QUOTA_REACHED before anything is read.
            DeadlineExceeded: UPLOAD_STALLED.
        """
        await self._parts.authenticator.bind(request.headers.get("authorization"))
        auth.check(auth.Access.USER, auth.viewer())
        _refuse_multipart(request.headers.get("content-type", ""))
        max_bytes = self._parts.settings.max_upload_bytes
        length = request.headers.get("content-length")
        _refuse_length(length, max_bytes)
        max_bytes = min(max_bytes, await self._left_bytes(int(length or 0)))
        name = file_name(request.headers.get("x-file-name") or request.query_params.get("fileName") or "")
        body = _AudioBody(_unstalled(request))
        digest, size = await self._parts.blobs.put_stream(body.chunks(), max_bytes)
        answer = await self._parts.upstream.catalog.CreateUpload(
            catalog_pb2.CreateUploadRequest(
                digest=digest, size_bytes=size, content_type=body.content_type, file_name=name
            ),
            timeout=self._parts.settings.upstream_timeout_s,
        )
        upload = answer.upload
        logger.info("uploaded", extra={"upload_id": upload.upload_id, "size_bytes": size})
        return JSONResponse(
            {
                "uploadId": upload.upload_id,
                "sizeBytes": upload.size_bytes,
                "contentType": upload.content_type,
                "expiresAt": to_datetime(upload.expires_at).isoformat(),
            },
            status_code=201,
        )

    async def _left_bytes(self, size_bytes: int) -> int:
        """Ask how much the caller may lend: what goes beyond the quota must not even lie in the store for a while."""
        request = uploads_pb2.CheckUploadRequest(size_bytes=size_bytes)
        timeout_s = self._parts.settings.upstream_timeout_s
        try:
            return int((await self._parts.upstream.uploads.CheckUpload(request, timeout=timeout_s)).left_bytes)
        except Unimplemented:  # the release before, beside this one: it says so when the upload is recorded
            return self._parts.settings.max_upload_bytes


def file_name(given: str) -> str:
    """Return a harmless form of a percent-encoded file name: its last part, without control characters."""
    decoded = unquote(given, errors="replace").replace("\\", "/").rsplit("/", 1)[-1]
    kept = "".join(character for character in decoded if character.isprintable()).strip()
    return kept[:_MAX_NAME_CHARACTERS] or "upload"


def sniff(head: bytes) -> str:
    """Tell the content type by the first bytes of a file; a container of video may hold only audio.

    What is not recognised passes as application/octet-stream: the decoder knows more formats than this does.

    Raises:
        InvalidArgument: UPLOAD_NOT_AUDIO: it is recognised as something else.
    """
    found = filetype.guess_mime(head)
    if found is None:
        return _UNKNOWN_TYPE
    kind: str = found
    if not kind.startswith(("audio/", "video/")):
        raise InvalidArgument(
            f"this is {kind}, not audio", reason="UPLOAD_NOT_AUDIO", field="body", value=kind, limit="audio/*"
        )
    return kind


def _refuse_multipart(content_type: str) -> None:
    if content_type.lower().startswith(("multipart/", "application/x-www-form-urlencoded")):
        raise InvalidArgument(
            "send the file's bytes as the body, as application/octet-stream; forms are not taken",
            reason="CONTENT_TYPE_REFUSED",
            field="Content-Type",
            value=content_type,
            limit=_UNKNOWN_TYPE,
        )


def _refuse_length(length: str | None, max_bytes: int) -> None:
    if length is None:
        return  # chunked: counted as it comes
    if not (length.isascii() and length.isdigit()) or len(length) > 18:
        raise InvalidArgument(
            "this is not a length", reason="CONTENT_LENGTH_INVALID", field="Content-Length", value=length
        )
    if int(length) > max_bytes:
        raise ResourceExhausted(
            f"the file has {length} bytes, the limit is {max_bytes}",
            reason="UPLOAD_TOO_LARGE",
            field="body",
            value=length,
            limit=max_bytes,
        )


async def _unstalled(request: Request) -> AsyncGenerator[bytes, None]:
    """Yield the body, and give up on a client that is silent for 30 s, or not done within an hour."""
    chunks = request.stream()
    ends_at = time.monotonic() + _LONGEST_S
    while True:
        patience_s = min(_STALL_S, max(0.0, ends_at - time.monotonic()))
        try:
            async with asyncio.timeout(patience_s):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError:
            is_late = time.monotonic() >= ends_at
            said, limit = ("not all came within", _LONGEST_S) if is_late else ("nothing came for", _STALL_S)
            raise DeadlineExceeded(
                f"{said} {limit:.0f} s", reason="UPLOAD_STALLED", field="body", limit=limit
            ) from None
        except ClientDisconnect:
            raise DeadlineExceeded("the client went away", reason="UPLOAD_STALLED", field="body") from None
        if chunk:
            yield chunk


class _AudioBody:
    """A body that tells its content type once its first bytes have passed."""

    def __init__(self, source: AsyncIterator[bytes]) -> None:
        self._source = source
        self.content_type = _UNKNOWN_TYPE

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the body.

        Raises:
            InvalidArgument: UPLOAD_EMPTY or UPLOAD_NOT_AUDIO.
        """
        head = b""
        async for chunk in self._source:
            head += chunk
            if len(head) >= _HEAD_BYTES:
                break
        if not head:
            raise InvalidArgument("the file is empty", reason="UPLOAD_EMPTY", field="body", value=0, limit=1)
        self.content_type = sniff(head)
        yield head
        async for chunk in self._source:
            yield chunk
