"""What the mesh keeps of the caller: to take away, or to have deleted."""

from datetime import datetime
from typing import Annotated, ClassVar

import strawberry
from strawberry import field, relay
from uuid_utils.compat import uuid7

from museed.social.v1 import privacy_pb2
from services.gateway.context import Info, RequestContext
from services.gateway.errors import asked_by
from services.gateway.exports import export_url
from services.gateway.ids import decode_id
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import AnyId, mutation, resolver
from services.gateway.schema.job import Job
from services.gateway.schema.login import forget_cookie
from services.gateway.schema.scalars import BigInt
from services.gateway.schema.values import to_datetime


@strawberry.type(description="All that is kept of the caller, as a zip of JSON Lines.")
class DataExport(relay.Node):
    """An export that is written."""

    _id_attr: ClassVar[str | None] = "export_id"

    export_id: strawberry.ID = field(description="Its UUID.")
    size_bytes: BigInt = field(description="Size of the zip.")
    created_at: datetime = field(description="When it was written.")
    expires_at: datetime = field(description="When it is deleted: 7 days later.")
    download_url: str = field(
        description="Signed address of the zip, good for 15 minutes and no longer than the session."
    )


@strawberry.input(description="A wish for one's data.")
class RequestDataExportInput:
    """For `requestDataExport`."""

    idempotency_key: str | None = field(
        default=None, description="1 to 200 characters; the same key returns the same export for 24 hours."
    )


@strawberry.input(description="What proves that the caller means it.")
class DeleteAccountInput:
    """For `deleteAccount`."""

    password: str = field(description="The password.")


@strawberry.type(description="The export is under way, or was made within the last day.")
class RequestDataExportSuccess:
    """Of `requestDataExport`."""

    export_id: strawberry.ID = field(description="For `dataExport`, once the job has ended.")
    job: Job | None = field(description="The job that writes it; null once that is forgotten.")


@strawberry.type(description="The account is gone; no token of it holds any more.")
class DeleteAccountSuccess:
    """Of `deleteAccount`."""

    job_id: strawberry.ID = field(description="UUID of the job that deletes what is left; nobody can follow it.")


RequestDataExportResult = Annotated[RequestDataExportSuccess | Refusal, strawberry.union("RequestDataExportResult")]
DeleteAccountResult = Annotated[DeleteAccountSuccess | Refusal, strawberry.union("DeleteAccountResult")]


async def read_export(context: RequestContext, export_id: str) -> DataExport:
    """Read an export of the caller's own.

    Raises:
        NotFound: EXPORT_NOT_FOUND.
        FailedPrecondition: EXPORT_NOT_READY.
    """
    request = privacy_pb2.GetExportRequest(export_id=export_id)
    answer = await context.call(context.parts.upstream.privacy.GetExport, request)
    return DataExport(
        export_id=strawberry.ID(export_id),
        size_bytes=BigInt(answer.size_bytes),
        created_at=to_datetime(answer.created_at),
        expires_at=to_datetime(answer.expires_at),
        download_url=export_url(context.parts, export_id, answer.digest),
    )


@strawberry.type
class PrivacyQuery:
    """Queries about one's data."""

    @resolver("An export of the caller's own, once it is written. API tokens may not.")
    async def data_export(self, info: Info, id: AnyId) -> DataExport | None:
        """Read it."""
        with asked_by("id"):
            return await read_export(info.context, decode_id(id, "DataExport", "id"))


@strawberry.type
class PrivacyMutation:
    """Mutations of one's data."""

    @mutation("Asks for all that is kept of the caller, at most once a day. API tokens may not.")
    async def request_data_export(self, info: Info, input: RequestDataExportInput) -> RequestDataExportResult:
        """Pass it on."""
        request = privacy_pb2.RequestExportRequest(
            idempotency_key=input.idempotency_key if input.idempotency_key is not None else str(uuid7())
        )
        answer = await info.context.call(info.context.parts.upstream.privacy.RequestExport, request)
        return RequestDataExportSuccess(
            export_id=strawberry.ID(answer.export_id),
            job=Job.from_message(answer.job) if answer.HasField("job") else None,
        )

    @mutation("Deletes the caller's account with all that is theirs, for good. API tokens may not.")
    async def delete_account(self, info: Info, input: DeleteAccountInput) -> DeleteAccountResult:
        """Pass the password on."""
        request = privacy_pb2.DeleteAccountRequest(password=input.password)
        answer = await info.context.call(info.context.parts.upstream.privacy.DeleteAccount, request)
        forget_cookie(info.context)
        return DeleteAccountSuccess(job_id=strawberry.ID(answer.job_id))
