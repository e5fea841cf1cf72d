"""POST /uploads: one audio file as the request's body, streamed to the blob store and recorded by social."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from services.chassis.errors import InvalidArgument, ResourceExhausted
from services.gateway.schema.values import to_datetime
from services.gateway.upload_bodies import UNKNOWN_TYPE, file_name, unstalled
from services.gateway.upload_intake import UploadIntake


class Uploads:
    """The route of uploads.

    Args:
        intake: What every upload goes through.
        max_bytes: Of the largest.
    """

    def __init__(self, intake: UploadIntake, max_bytes: int) -> None:
        self._intake = intake
        self._max_bytes = max_bytes

    async def handle(self, request: Request) -> Response:
        """Take a file.

        Raises:
            Unauthenticated: No good token.
            InvalidArgument: CONTENT_TYPE_REFUSED, CONTENT_LENGTH_INVALID, UPLOAD_EMPTY or UPLOAD_NOT_AUDIO.
            ResourceExhausted: UPLOAD_TOO_LARGE; before anything is read UPLOAD_QUOTA_REACHED, TOO_MANY_UPLOADS_AT_ONCE.
            Unavailable: UPLOADS_BUSY.
            DeadlineExceeded: UPLOAD_STALLED.
        """
        viewer = await self._intake.admit(request)
        _refuse_multipart(request.headers.get("content-type", ""))
        length = request.headers.get("content-length")
        _refuse_length(length, self._max_bytes)
        name = file_name(request.headers.get("x-file-name") or request.query_params.get("fileName") or "")
        with self._intake.place(viewer.user_id):
            key = request.headers.get("idempotency-key", "")
            max_bytes = min(self._max_bytes, await self._intake.left_bytes(int(length or 0), key))
            upload = await self._intake.take(unstalled(request), max_bytes, name, idempotency_key=key)
        return JSONResponse(
            {
                "uploadId": upload.upload_id,
                "sizeBytes": upload.size_bytes,
                "contentType": upload.content_type,
                "expiresAt": to_datetime(upload.expires_at).isoformat(),
            },
            status_code=201,
        )


def _refuse_multipart(content_type: str) -> None:
    if content_type.lower().startswith(("multipart/", "application/x-www-form-urlencoded")):
        raise InvalidArgument(
            "send the file's bytes as the body, as application/octet-stream; forms are not taken",
            reason="CONTENT_TYPE_REFUSED",
            field="Content-Type",
            value=content_type,
            limit=UNKNOWN_TYPE,
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
