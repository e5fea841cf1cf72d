"""What every upload goes through, however its bytes come: who may, how much, how many at a time, and its record."""

import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Iterator

from starlette.requests import Request

from museed.social.v1 import catalog_pb2, uploads_pb2
from services.chassis import auth
from services.chassis.errors import ResourceExhausted, Unavailable, Unimplemented
from services.gateway.context import Parts
from services.gateway.upload_bodies import AudioBody

logger = logging.getLogger(__name__)

# Each holds some MiB while it comes.
_PER_PERSON = 4
_RETRY_AFTER_MS = 2000


class UploadIntake:
    """Admits uploads and records them at social.

    Args:
        parts: The parts of the process.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._coming: Counter[str] = Counter()

    async def admit(self, request: Request) -> auth.Viewer:
        """Return who sends a request about uploads.

        Raises:
            Unauthenticated: No good token.
            PermissionDenied: An API token that may not write.
        """
        await self._parts.authenticator.bind(request.headers.get("authorization"))
        auth.check(auth.Access.USER, auth.viewer())
        return auth.require_viewer()

    @contextlib.contextmanager
    def place(self, user_id: str) -> Iterator[None]:
        """Hold one of the places of this process while bytes come.

        Raises:
            ResourceExhausted: TOO_MANY_UPLOADS_AT_ONCE of this person.
            Unavailable: UPLOADS_BUSY: all places are taken.
        """
        total = self._parts.settings.max_uploads_at_once
        if self._coming[user_id] >= _PER_PERSON:
            raise ResourceExhausted(
                f"{_PER_PERSON} of your uploads are coming already, limit is {_PER_PERSON}",
                reason="TOO_MANY_UPLOADS_AT_ONCE",
                value=_PER_PERSON,
                limit=_PER_PERSON,
                retry_after_ms=_RETRY_AFTER_MS,
            )
        if self._coming.total() >= total:
            raise Unavailable(
                f"{total} uploads are coming already, limit is {total}",
                reason="UPLOADS_BUSY",
                value=total,
                limit=total,
                retry_after_ms=_RETRY_AFTER_MS,
            )
        self._coming[user_id] += 1
        try:
            yield
        finally:
            self._coming[user_id] -= 1
            if not self._coming[user_id]:
                del self._coming[user_id]

    async def left_bytes(self, size_bytes: int, idempotency_key: str = "") -> int:
        """Ask how much the caller may lend: what goes beyond the quota must not even lie in the store for a while.

        What was recorded with the same key is in it already.

        Raises:
            ResourceExhausted: UPLOAD_QUOTA_REACHED: not so much.
        """
        request = uploads_pb2.CheckUploadRequest(size_bytes=size_bytes, idempotency_key=idempotency_key)
        timeout_s = self._parts.settings.upstream_timeout_s
        try:
            return int((await self._parts.upstream.uploads.CheckUpload(request, timeout=timeout_s)).left_bytes)
        except Unimplemented:  # the release before, beside this one: it says so when the upload is recorded
            return self._parts.settings.max_upload_bytes

    async def take(
        self,
        chunks: AsyncIterator[bytes],
        max_bytes: int,
        file_name: str,
        upload_id: str = "",
        idempotency_key: str = "",
    ) -> catalog_pb2.Upload:
        """Store the bytes of an upload and have it recorded.

        Args:
            chunks: The bytes in order.
            max_bytes: Largest size that is accepted.
            file_name: Harmless already.
            upload_id: With one, repeating it makes no second upload.
            idempotency_key: The same as far as the client says so, for 24 hours.

        Raises:
            InvalidArgument: UPLOAD_EMPTY or UPLOAD_NOT_AUDIO.
            ResourceExhausted: UPLOAD_TOO_LARGE or UPLOAD_QUOTA_REACHED.
            DomainError: What social says, or the source of the bytes.
        """
        body = AudioBody(chunks)
        digest, size = await self._parts.blobs.put_stream(body.chunks(), max_bytes)
        request = catalog_pb2.CreateUploadRequest(
            digest=digest,
            size_bytes=size,
            content_type=body.content_type,
            file_name=file_name,
            upload_id=upload_id,
            idempotency_key=idempotency_key,
        )
        timeout_s = self._parts.settings.upstream_timeout_s
        upload = (await self._parts.upstream.catalog.CreateUpload(request, timeout=timeout_s)).upload
        logger.info("uploaded", extra={"upload_id": upload.upload_id, "size_bytes": size})
        return upload
