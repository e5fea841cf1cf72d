"""gRPC in: what people lent."""

from collections.abc import Callable
from datetime import datetime

import grpc

from museed.social.v1 import uploads_pb2, uploads_pb2_grpc
from services.chassis.auth import require_viewer
from services.chassis.blobs import BlobStore
from services.social.domain import fields, paging
from services.social.domain.idempotency import check_key
from services.social.domain.ids import UploadId, UserId, is_id
from services.social.domain.uploads import LARGEST_BYTES, QUOTA_PERIOD, Lent, left_of, rest_of
from services.social.errors import UploadNotFound
from services.social.events.uploads import upload_deleted
from services.social.servicer import catalog_messages as to
from services.social.store import accounts, idempotency, outbox, uploads
from services.social.store.database import Database
from services.social.workers.upload_sweeps import delete_if_released

_PAGE_SIZE, _LARGEST_PAGE = 20, 100


class UploadServicer(uploads_pb2_grpc.UploadServiceServicer):
    """Serves UploadService.

    Args:
        database: The truth.
        blobs: Where uploads lie; None leaves them there.
        quota: What a person may lend in 24 hours.
        clock: Time of day.
    """

    def __init__(self, database: Database, blobs: BlobStore | None, quota: Lent, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._blobs = blobs
        self._quota = quota
        self._clock = clock

    async def CheckUpload(
        self,
        request: uploads_pb2.CheckUploadRequest,
        context: grpc.aio.ServicerContext[uploads_pb2.CheckUploadRequest, uploads_pb2.CheckUploadResponse],
    ) -> uploads_pb2.CheckUploadResponse:
        """Say what is left of the caller's quota, where the file fits in it or is in it already."""
        user_id, now = UserId(require_viewer().user_id), self._clock()
        size_bytes = fields.integer(request.size_bytes, "size_bytes", 0, LARGEST_BYTES)
        key = check_key(request.idempotency_key) if request.idempotency_key else ""
        known = None
        async with self._database.connection() as connection:
            lent = await uploads.lent_since(connection, user_id, now - QUOTA_PERIOD)
            if key and (bound := await idempotency.find_result(connection, user_id, "CreateUpload", key, now)):
                known = await uploads.find_any(connection, UploadId(bound))
        if known is not None and size_bytes in (0, known.size_bytes):
            rest = rest_of(self._quota, lent)
            return uploads_pb2.CheckUploadResponse(
                left_count=max(1, rest.count), left_bytes=max(known.size_bytes, rest.size_bytes)
            )
        left = left_of(self._quota, lent, size_bytes)
        return uploads_pb2.CheckUploadResponse(left_count=left.count, left_bytes=left.size_bytes)

    async def GetUploadQuota(
        self,
        request: uploads_pb2.GetUploadQuotaRequest,
        context: grpc.aio.ServicerContext[uploads_pb2.GetUploadQuotaRequest, uploads_pb2.GetUploadQuotaResponse],
    ) -> uploads_pb2.GetUploadQuotaResponse:
        """Say what is left of the caller's quota."""
        user_id = UserId(require_viewer().user_id)
        async with self._database.connection() as connection:
            lent = await uploads.lent_since(connection, user_id, self._clock() - QUOTA_PERIOD)
        left = rest_of(self._quota, lent)
        return uploads_pb2.GetUploadQuotaResponse(left_count=left.count, left_bytes=left.size_bytes)

    async def ListMyUploads(
        self,
        request: uploads_pb2.ListMyUploadsRequest,
        context: grpc.aio.ServicerContext[uploads_pb2.ListMyUploadsRequest, uploads_pb2.ListMyUploadsResponse],
    ) -> uploads_pb2.ListMyUploadsResponse:
        """List the caller's uploads whose audio is there."""
        user_id = UserId(require_viewer().user_id)
        size = paging.page_size(request.page_size, _PAGE_SIZE, _LARGEST_PAGE)
        scope = f"uploads {user_id}"
        key = paging.decode_token(scope, request.page_token, [is_id])
        before = None if key is None else UploadId(str(key[0]))
        async with self._database.connection() as connection:
            found = await uploads.own_uploads(connection, user_id, self._clock(), before, size + 1)
            heard = await uploads.heard_in(connection, [upload.upload_id for upload in found])
        page = paging.cut(found, size, scope, lambda upload: [upload.upload_id])
        return uploads_pb2.ListMyUploadsResponse(
            uploads=[to.upload(upload, heard.get(upload.upload_id)) for upload in page.items],
            next_page_token=page.next_token,
        )

    async def DeleteUpload(
        self,
        request: uploads_pb2.DeleteUploadRequest,
        context: grpc.aio.ServicerContext[uploads_pb2.DeleteUploadRequest, uploads_pb2.DeleteUploadResponse],
    ) -> uploads_pb2.DeleteUploadResponse:
        """Delete the audio of an upload now; a deleted one stays so."""
        user_id, upload_id, now = UserId(require_viewer().user_id), UploadId(request.upload_id), self._clock()
        if not is_id(upload_id):
            raise UploadNotFound(upload_id)
        async with self._database.transaction() as connection:
            await accounts.lock_person(connection, user_id)
            digest, is_new = await uploads.delete_audio(connection, upload_id, user_id, now)
            if is_new:
                await outbox.add(connection, upload_deleted(upload_id, user_id, now))
        if self._blobs is not None:
            await delete_if_released(self._database, self._blobs, digest)
        return uploads_pb2.DeleteUploadResponse()
