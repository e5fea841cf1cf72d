"""gRPC in: people's own uploads; a part of CatalogService."""

from collections.abc import Callable
from datetime import datetime, timedelta

import grpc

from museed.social.v1 import catalog_pb2, catalog_pb2_grpc
from services.chassis.auth import require_viewer
from services.chassis.blobs import BlobStore
from services.social.domain.idempotency import check_key, digest_of
from services.social.domain.ids import UploadId, UserId, is_id, new_id
from services.social.domain.uploads import QUOTA_PERIOD, Lent, NewUpload, Upload, check_upload, left_of
from services.social.errors import UploadNotFound
from services.social.errors.uploads import UploadBytesGone, UploadIdTaken
from services.social.servicer import catalog_messages as to
from services.social.store import accounts, upload_blobs, uploads
from services.social.store.claims import Claim
from services.social.store.database import Database
from services.social.workers.upload_sweeps import is_there


class CatalogUploads(catalog_pb2_grpc.CatalogServiceServicer):
    """RPCs of CatalogService about uploads.

    Args:
        database: The truth.
        quota: What a person may lend in 24 hours.
        upload_life: How long an upload may be used.
        clock: Time of day.
        blobs: Where uploads lie; None believes that they are there.
    """

    def __init__(
        self,
        database: Database,
        quota: Lent,
        upload_life: timedelta,
        clock: Callable[[], datetime],
        blobs: BlobStore | None = None,
    ) -> None:
        self._database = database
        self._quota = quota
        self._upload_life = upload_life
        self._clock = clock
        self._blobs = blobs

    async def CreateUpload(
        self,
        request: catalog_pb2.CreateUploadRequest,
        context: grpc.aio.ServicerContext[catalog_pb2.CreateUploadRequest, catalog_pb2.CreateUploadResponse],
    ) -> catalog_pb2.CreateUploadResponse:
        """Record an upload of the caller's, within their quota."""
        user_id = UserId(require_viewer().user_id)
        new = check_upload(
            request.digest, request.size_bytes, request.content_type, request.file_name, request.upload_id
        )
        now = self._clock()
        upload = Upload(
            new.upload_id or UploadId(new_id()),
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
            if new.upload_id is not None and (made := await uploads.find_any(connection, new.upload_id)) is not None:
                if (made.user_id, made.digest) != (user_id, new.digest):
                    raise UploadIdTaken(new.upload_id)
                return catalog_pb2.CreateUploadResponse(upload=to.upload(made))
            if request.idempotency_key:
                claim = Claim(user_id, "CreateUpload", check_key(request.idempotency_key), _digest_of(new))
                known_id = UploadId(await claim.bind(connection, upload.upload_id, now))
                if known_id != upload.upload_id:
                    known = await uploads.find_any(connection, known_id)
                    if known is None:
                        raise UploadNotFound(known_id)
                    return catalog_pb2.CreateUploadResponse(upload=to.upload(known))
            lent = await uploads.lent_since(connection, user_id, now - QUOTA_PERIOD)
            left_of(self._quota, lent, new.size_bytes)
            # The gateway found the bytes before this: since then, they may have been deleted as somebody else's.
            is_lent = await upload_blobs.hold(connection, new.digest)
            if self._blobs is not None and not is_lent and not await is_there(self._blobs, new.digest):
                raise UploadBytesGone
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
            heard = await uploads.heard_in(connection, list(found))
        if upload_id not in found:
            raise UploadNotFound(upload_id)
        return catalog_pb2.GetUploadResponse(upload=to.upload(found[upload_id], heard.get(upload_id)))


def _digest_of(new: NewUpload) -> bytes:
    return digest_of(
        digest=new.digest.hex(), size_bytes=new.size_bytes, content_type=new.content_type, file_name=new.file_name
    )
