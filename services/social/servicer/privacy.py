"""gRPC in: what is kept of the caller, to take away or to have deleted."""

import hashlib
from collections.abc import Callable
from datetime import datetime

import grpc

from museed.social.v1 import privacy_pb2, privacy_pb2_grpc
from services.chassis.auth import require_viewer
from services.chassis.telemetry import request_id
from services.social import events
from services.social.actions import custody
from services.social.domain.idempotency import IDEMPOTENCY_LIFE, check_key
from services.social.domain.ids import JobId, UserId, is_id, new_id
from services.social.domain.jobs import Kind
from services.social.domain.privacy import EXPORT_LIFE, EXPORT_PAUSE
from services.social.errors import IdempotencyKeyReused, Missing
from services.social.errors.privacy import ExportNotFound, ExportNotReady
from services.social.servicer.desk import job_message
from services.social.servicer.proof import PasswordProof
from services.social.store import accounts, idempotency, jobs, outbox, privacy
from services.social.store.database import Database
from services.social.wire import timestamp
from services.social.workers.background import Nudge

_OPERATION = "RequestExport"
_DIGEST = hashlib.sha256(_OPERATION.encode()).digest()


class PrivacyServicer(privacy_pb2_grpc.PrivacyServiceServicer):
    """Serves PrivacyService.

    Args:
        database: The truth.
        proof: Asks who leaves for their password.
        due: Rung when there is a job to do.
        clock: Time of day.
    """

    def __init__(
        self,
        database: Database,
        proof: PasswordProof,
        due: Nudge,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._proof = proof
        self._due = due
        self._clock = clock

    async def RequestExport(
        self,
        request: privacy_pb2.RequestExportRequest,
        context: grpc.aio.ServicerContext[privacy_pb2.RequestExportRequest, privacy_pb2.RequestExportResponse],
    ) -> privacy_pb2.RequestExportResponse:
        """Ask for an export, unless there is one of today or under way."""
        user_id, key = UserId(require_viewer().user_id), check_key(request.idempotency_key)
        now = self._clock()
        async with self._database.transaction() as connection:
            await accounts.lock_person(connection, user_id)
            found = await privacy.recent_export(connection, user_id, now - EXPORT_PAUSE, now)
            if found is None:
                export_id, job_id = new_id(), JobId(new_id())
                digest, known_id = await idempotency.claim_key(
                    connection, user_id, _OPERATION, key, _DIGEST, export_id, now, now + IDEMPOTENCY_LIFE
                )
                if digest != _DIGEST:
                    raise IdempotencyKeyReused(key)
                if known_id == export_id:
                    asked = await jobs.insert_job(connection, job_id, Kind.ACCOUNT_EXPORT, user_id, {}, request_id())
                    await outbox.add(connection, events.job_progressed(asked))
                    await privacy.insert_export(connection, export_id, user_id, job_id, now, now + EXPORT_LIFE)
                found = await privacy.find_export(connection, known_id, user_id, now)
                if found is None:
                    raise ExportNotFound(known_id)
            job = await jobs.find_job(connection, found.job_id, user_id)
        self._due.ring()
        message = None if job is None else job_message(job, now)
        return privacy_pb2.RequestExportResponse(export_id=found.export_id, job=message)

    async def GetExport(
        self,
        request: privacy_pb2.GetExportRequest,
        context: grpc.aio.ServicerContext[privacy_pb2.GetExportRequest, privacy_pb2.GetExportResponse],
    ) -> privacy_pb2.GetExportResponse:
        """Say where an export lies."""
        user_id, export_id = UserId(require_viewer().user_id), request.export_id
        if not is_id(export_id):
            raise ExportNotFound(export_id)
        async with self._database.connection() as connection:
            found = await privacy.find_export(connection, export_id, user_id, self._clock())
        if found is None:
            raise ExportNotFound(export_id)
        if found.digest is None:
            raise ExportNotReady(export_id)
        return privacy_pb2.GetExportResponse(
            digest=found.digest,
            size_bytes=found.size_bytes or 0,
            created_at=timestamp(found.expires_at - EXPORT_LIFE),
            expires_at=timestamp(found.expires_at),
        )

    async def DeleteAccount(
        self,
        request: privacy_pb2.DeleteAccountRequest,
        context: grpc.aio.ServicerContext[privacy_pb2.DeleteAccountRequest, privacy_pb2.DeleteAccountResponse],
    ) -> privacy_pb2.DeleteAccountResponse:
        """Delete the caller's account: names, sessions and jobs at once, the rest by a job."""
        if not request.password:
            raise Missing("password")
        user_id = UserId(require_viewer().user_id)
        async with self._database.connection() as connection:
            login = await accounts.acting_login(connection, user_id)
        await self._proof.check(login, request.password)
        now, job_id = self._clock(), JobId(new_id())
        async with self._database.transaction() as connection:
            await custody.leave(connection, login, job_id, now)
        self._due.ring()
        return privacy_pb2.DeleteAccountResponse(job_id=job_id)
