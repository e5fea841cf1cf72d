"""Uploads that go on where they were interrupted: POST /uploads begins one, HEAD, PATCH and DELETE /uploads/{id}."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable

from starlette.requests import Request
from starlette.responses import Response

from museed.social.v1 import uploads_pb2
from services.chassis import auth
from services.chassis.errors import (
    DeadlineExceeded,
    DomainError,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unauthenticated,
)
from services.gateway.border import error_response
from services.gateway.context import Parts
from services.gateway.ids import decode_id
from services.gateway.tus import protocol
from services.gateway.tus.partial_uploads import PIECE_BYTES, PartialUpload, PartialUploads, offset_mismatch
from services.gateway.upload_bodies import HEAD_BYTES, sniff, unstalled
from services.gateway.upload_intake import UploadIntake

logger = logging.getLogger(__name__)

_MAX_UNFINISHED = 10


class TusUploads:
    """The routes of resumable uploads.

    Args:
        parts: The parts of the process.
        intake: What every upload goes through.
        partial: Those that are not whole.
    """

    def __init__(self, parts: Parts, intake: UploadIntake, partial: PartialUploads) -> None:
        self._parts = parts
        self._intake = intake
        self._partial = partial

    async def describe(self, request: Request) -> Response:
        """Answer OPTIONS: what of tus is spoken here."""
        return Response(
            status_code=204,
            headers={
                "Tus-Resumable": protocol.VERSION,
                "Tus-Version": protocol.VERSION,
                "Tus-Extension": protocol.EXTENSIONS,
                "Tus-Max-Size": str(self._parts.settings.max_upload_bytes),
                "Tus-Checksum-Algorithm": protocol.CHECKSUM_ALGORITHMS,
            },
        )

    async def create(self, request: Request) -> Response:
        """Begin an upload, with its first bytes where they come along."""
        return await self._answer(self._create(request))

    async def handle(self, request: Request) -> Response:
        """Tell of an upload, go on with it, or end it."""
        method = request.method
        if method == "POST":  # of clients whose network lets nothing else pass
            method = request.headers.get("x-http-method-override", "").upper()
        handlers = {"HEAD": self._tell, "PATCH": self._go_on, "DELETE": self._end}
        if method not in handlers:
            raise InvalidArgument(f"{method or 'POST'} does nothing here", reason="METHOD_NOT_ALLOWED", value=method)
        return await self._answer(handlers[method](request))

    async def _answer(self, answering: Awaitable[Response]) -> Response:
        """Give every answer the headers of the protocol, refusals, too."""
        try:
            response = await answering
        except DomainError as error:
            response = error_response(error)
            if error.reason == "TUS_VERSION_UNKNOWN":
                response.headers["Tus-Version"] = protocol.VERSION
        response.headers["Tus-Resumable"] = protocol.VERSION
        response.headers["Cache-Control"] = "no-store"
        return response

    async def _create(self, request: Request) -> Response:
        viewer = await self._admit(request)
        length = protocol.read_length(request.headers, self._parts.settings.max_upload_bytes)
        metadata = request.headers.get("upload-metadata", "")
        name = protocol.read_file_name(metadata)
        key = protocol.read_key(request.headers)
        with self._intake.place(viewer.user_id):
            upload = await self._partial.begun(viewer.user_id, key) if key else None
            if upload is None:
                await self._check_room(viewer.user_id, length)
                upload = await self._partial.begin(viewer.user_id, length, name, metadata, key)
            if (upload.length, upload.metadata) != (length, metadata):
                raise InvalidArgument(
                    "this key began another upload", reason="IDEMPOTENCY_KEY_REUSED", field="Idempotency-Key", value=key
                )
            if protocol.has_body_type(request.headers) and upload.offset == 0:  # else it goes on by PATCH
                upload = await self._receive(request, upload)
        location = f"{self._parts.settings.public_url}/uploads/{upload.upload_id}"
        return Response(status_code=201, headers={"Location": location, **_state(upload)})

    async def _tell(self, request: Request) -> Response:
        viewer = await self._admit(request)
        upload = await self._find(request, viewer)
        # Whole and not recorded: this process was killed then, or social was away, and no more bytes will come.
        if upload.is_whole and not upload.recorded_as:
            with self._intake.place(viewer.user_id):
                upload = await self._finish(upload)
        told = {**_state(upload), "Upload-Length": str(upload.length)}
        if upload.metadata:
            told["Upload-Metadata"] = upload.metadata
        return Response(status_code=200, headers=told)

    async def _go_on(self, request: Request) -> Response:
        viewer = await self._admit(request)
        if not protocol.has_body_type(request.headers):
            raise InvalidArgument(
                f"the body must be {protocol.BODY_TYPE}",
                reason="CONTENT_TYPE_REFUSED",
                field="Content-Type",
                value=request.headers.get("content-type", ""),
                limit=protocol.BODY_TYPE,
            )
        offset = protocol.read_offset(request.headers)
        with self._intake.place(viewer.user_id):
            upload = await self._find(request, viewer)
            if offset != upload.offset:
                raise offset_mismatch(upload.offset, offset)
            upload = await self._receive(request, upload)
        return Response(status_code=204, headers=_state(upload))

    async def _end(self, request: Request) -> Response:
        upload = await self._find(request, await self._admit(request))
        if upload.recorded_as:
            await self._delete(upload.recorded_as)
        await self._partial.forget(upload)
        if not upload.recorded_as:  # but it may just have been, by a request whose bytes were the last
            with contextlib.suppress(NotFound):
                await self._delete(upload.upload_id)
        return Response(status_code=204)

    async def _delete(self, upload_id: str) -> None:
        await self._parts.upstream.uploads.DeleteUpload(
            uploads_pb2.DeleteUploadRequest(upload_id=upload_id), timeout=self._parts.settings.upstream_timeout_s
        )

    async def _admit(self, request: Request) -> auth.Viewer:
        protocol.check_version(request.headers)
        return await self._intake.admit(request)

    async def _find(self, request: Request, viewer: auth.Viewer) -> PartialUpload:
        upload_id = decode_id(request.path_params["upload_id"], "Upload", "uploadId")
        upload = await self._partial.find(viewer.user_id, upload_id)
        if upload is None:
            raise NotFound(
                "there is no such unfinished upload of yours, begin again",
                reason="UPLOAD_NOT_FOUND",
                field="uploadId",
                value=upload_id,
            )
        return upload

    async def _check_room(self, user_id: str, length: int) -> None:
        """Refuse what would not be recorded in the end, and more beginnings than anybody needs."""
        unfinished = await self._partial.unfinished(user_id)
        if len(unfinished) >= _MAX_UNFINISHED:
            raise ResourceExhausted(
                f"{len(unfinished)} of your uploads are unfinished, limit is {_MAX_UNFINISHED}",
                reason="TOO_MANY_UNFINISHED_UPLOADS",
                value=len(unfinished),
                limit=_MAX_UNFINISHED,
            )
        await self._intake.left_bytes(length + sum(upload.length for upload in unfinished))

    async def _receive(self, request: Request, upload: PartialUpload) -> PartialUpload:
        """Add a body to an upload, and have it recorded when it is whole.

        What came before an interruption stays, unless a checksum was to tell whether it is sound.
        """
        checksum = protocol.read_checksum(request.headers)
        _check_size(upload, request.headers.get("content-length"), is_checked=checksum is not None)
        held = bytearray()
        try:
            async for chunk in unstalled(request):
                self._check_session()
                held += chunk
                _check_size(upload, str(len(held)), is_checked=checksum is not None)
                while len(held) >= PIECE_BYTES and checksum is None:
                    piece = bytes(held[:PIECE_BYTES])
                    del held[:PIECE_BYTES]
                    upload = await self._add(upload, piece)
        except DeadlineExceeded:
            if held and checksum is None:
                await self._add(upload, bytes(held))
            raise
        if checksum is not None:
            await asyncio.to_thread(checksum.check, bytes(held))
        if held:
            upload = await self._add(upload, bytes(held))
        return await self._finish(upload)

    async def _add(self, upload: PartialUpload, piece: bytes) -> PartialUpload:
        if upload.offset == 0 and (len(piece) >= HEAD_BYTES or len(piece) == upload.length):
            await self._drop_if_refused(upload, piece)
        return await self._partial.add(upload, piece)

    async def _drop_if_refused(self, upload: PartialUpload, head: bytes) -> None:
        """Look at the first bytes: what is no audio need not come to its end."""
        try:
            sniff(head)
        except InvalidArgument:
            await self._partial.forget(upload)
            raise

    async def _finish(self, upload: PartialUpload) -> PartialUpload:
        """Have an upload recorded once it is whole; repeating it makes no second one."""
        if not upload.is_whole or upload.recorded_as:
            return upload
        try:
            recorded = await self._intake.take(
                self._partial.chunks(upload), upload.length, upload.file_name, upload.upload_id
            )
        except InvalidArgument:  # no audio: that will not change
            await self._partial.forget(upload)
            raise
        except FileNotFoundError as error:
            found = await self._partial.find(upload.user_id, upload.upload_id)
            if found is not None and found.recorded_as:  # by another request, which was quicker
                return found
            raise _deleted() from error
        if await self._partial.find(upload.user_id, upload.upload_id) is None:
            with contextlib.suppress(NotFound):
                await self._delete(recorded.upload_id)
            raise _deleted()
        return await self._partial.record(upload, recorded.upload_id)

    def _check_session(self) -> None:
        if auth.require_viewer().session_id in self._parts.authenticator.revocations:
            raise Unauthenticated("the session has ended, log in again", reason="SESSION_REVOKED")


def _deleted() -> NotFound:
    return NotFound("the upload was deleted", reason="UPLOAD_NOT_FOUND", field="uploadId")


def _state(upload: PartialUpload) -> dict[str, str]:
    told = {"Upload-Offset": str(upload.offset), "Upload-Expires": protocol.http_date(upload.expires_at)}
    if upload.recorded_as:
        told["Museed-Upload-Id"] = upload.recorded_as
    return told


def _check_size(upload: PartialUpload, length: str | None, *, is_checked: bool) -> None:
    """Refuse a chunk that is longer than what is missing, or than what can be held until its checksum is known."""
    if length is None or not (length.isascii() and length.isdigit()):
        return  # counted as it comes
    missing = upload.length - upload.offset
    limit = min(missing, PIECE_BYTES) if is_checked else missing
    if len(length) > 18 or int(length) > limit:
        raise ResourceExhausted(
            f"the chunk has {length} bytes, the limit is {limit}",
            reason="UPLOAD_CHUNK_TOO_LARGE",
            field="body",
            value=length,
            limit=limit,
        )
