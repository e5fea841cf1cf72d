"""Files that the caller lent as seeds: which are there, what was heard in them, taking one back."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, ClassVar, Self

import strawberry
from strawberry import field, relay
from uuid_utils.compat import uuid7

from museed.social.v1 import catalog_pb2, reference_pb2, uploads_pb2
from services.gateway.context import Info, RequestContext
from services.gateway.ids import decode_id
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import AnyId, mutation, resolver
from services.gateway.schema.job import Job
from services.gateway.schema.paging import (
    After,
    Connection,
    First,
    check_page_size,
    connection_from_page,
    page_request,
)
from services.gateway.schema.scalars import BigInt
from services.gateway.schema.stream import MaxBitRate, WantedFormat
from services.gateway.schema.track import Tag
from services.gateway.schema.values import round_single, to_datetime


@strawberry.type(description="A file that its owner lent as a seed. Nobody else ever hears it.")
class Upload(relay.Node):
    """An upload of the caller's own, while its audio is there."""

    _id_attr: ClassVar[str | None] = "upload_id"

    upload_id: strawberry.ID = field(description="Its UUID.")
    file_name: str = field(description="Name at the uploader's.")
    size_bytes: BigInt = field(description="Size of the file.")
    content_type: str = field(description='Content type by content, for example "audio/ogg".')
    created_at: datetime = field(description="When it came.")
    expires_at: datetime = field(description="When its audio is deleted.")
    is_heard: bool = field(description="Whether `referenceSearch` can search by it; else ask for `hearUpload`.")
    duration_seconds: float | None = field(description="Length; null until it was heard.")
    heard: strawberry.Private[Sequence[catalog_pb2.Tag]]
    message: strawberry.Private[catalog_pb2.Upload]

    @resolver(
        "Address of its audio for `<audio src>`, with ranges: signed, good for 15 minutes, and void when "
        "the session ends that asked for it."
    )
    def stream_url(self, info: Info, format: WantedFormat = None, max_bit_rate: MaxBitRate = None) -> str:
        """Sign only where it is asked for."""
        return info.context.upload_stream_url(self.message, None if format is None else format.value, max_bit_rate)

    @resolver("How it sounds to the encoder that is served, best first; none before that has heard it.")
    def tags(self, first: First = 10) -> list[Tag]:
        """Take the best: the model has a score for every tag that it knows."""
        check_page_size(first)
        return [Tag(name=tag.name, score=round_single(tag.score)) for tag in self.heard[:first]]

    @classmethod
    def from_message(cls, message: catalog_pb2.Upload) -> Self:
        """Translate social's message."""
        return cls(
            upload_id=strawberry.ID(message.upload_id),
            file_name=message.file_name,
            size_bytes=BigInt(message.size_bytes),
            content_type=message.content_type,
            created_at=to_datetime(message.created_at),
            expires_at=to_datetime(message.expires_at),
            is_heard=message.is_heard,
            duration_seconds=message.duration_seconds or None,
            heard=message.tags,
            message=message,
        )


@strawberry.type(description="What the caller may still lend within 24 hours.")
class UploadQuota:
    """What is left of the quota."""

    left_count: int = field(description="Files; 0 where nothing more is taken now.")
    left_bytes: BigInt = field(description="Bytes of these together.")


@strawberry.input(description="Which upload.")
class DeleteUploadInput:
    """For `deleteUpload`."""

    upload_id: strawberry.ID = field(description="The upload, by `id` or `uploadId`.")


@strawberry.input(description="What to hear.")
class HearUploadInput:
    """For `hearUpload`."""

    upload_id: strawberry.ID = field(description="The upload, by `id` or `uploadId`.")
    idempotency_key: str | None = field(
        default=None,
        description="1 to 200 characters; repeating the request with it returns the same job for 24 hours.",
    )


@strawberry.type(description="The audio is deleted; playlists that were made from it stay.")
class DeleteUploadSuccess:
    """Of `deleteUpload`."""

    deleted_upload_id: strawberry.ID = field(description="UUID of what is gone.")


@strawberry.type(description="The upload will be heard; a short one was already, and its job is done.")
class HearUploadSuccess:
    """Of `hearUpload`."""

    job: Job = field(description="The job; follow it with `jobProgress`.")
    upload_id: strawberry.ID = field(description="UUID of the upload.")

    @resolver("The upload as it is now.")
    async def upload(self, info: Info) -> Upload | None:
        """Read it again: the job may be done."""
        return await read_upload(info.context, self.upload_id)


DeleteUploadResult = Annotated[DeleteUploadSuccess | Refusal, strawberry.union("DeleteUploadResult")]
HearUploadResult = Annotated[HearUploadSuccess | Refusal, strawberry.union("HearUploadResult")]


async def read_upload(context: RequestContext, upload_id: str) -> Upload:
    """Read an upload of the caller's own.

    Raises:
        NotFound: There is none, its time is over, or it is somebody else's.
    """
    request = catalog_pb2.GetUploadRequest(upload_id=upload_id)
    return Upload.from_message((await context.call(context.parts.upstream.catalog.GetUpload, request)).upload)


@strawberry.type
class UploadQuery:
    """Queries about one's own uploads."""

    @resolver("An upload of the caller's own, by id.")
    async def upload(self, info: Info, id: AnyId) -> Upload | None:
        """Read it."""
        return await read_upload(info.context, decode_id(id, "Upload", "id"))

    @resolver("The caller's uploads whose audio is there, newest first.")
    async def my_uploads(self, info: Info, first: First = 20, after: After = None) -> Connection[Upload] | None:
        """List them."""
        page = page_request(first, after)
        request = uploads_pb2.ListMyUploadsRequest(page_size=page.size, page_token=page.token)
        answer = await info.context.call(info.context.parts.upstream.uploads.ListMyUploads, request)
        nodes = [Upload.from_message(each) for each in answer.uploads]
        return connection_from_page(page, nodes, answer.next_page_token)

    @resolver("What the caller may still lend.")
    async def upload_quota(self, info: Info) -> UploadQuota | None:
        """Ask social."""
        method = info.context.parts.upstream.uploads.GetUploadQuota
        answer = await info.context.call(method, uploads_pb2.GetUploadQuotaRequest())
        return UploadQuota(left_count=answer.left_count, left_bytes=BigInt(answer.left_bytes))


@strawberry.type
class UploadMutation:
    """Mutations of one's own uploads."""

    @mutation("Deletes the audio of an upload of the caller's own; one that is deleted stays so.")
    async def delete_upload(self, info: Info, input: DeleteUploadInput) -> DeleteUploadResult:
        """Pass the wish on."""
        request = uploads_pb2.DeleteUploadRequest(upload_id=decode_id(input.upload_id, "Upload", "uploadId"))
        await info.context.call(info.context.parts.upstream.uploads.DeleteUpload, request)
        return DeleteUploadSuccess(deleted_upload_id=strawberry.ID(request.upload_id))

    @mutation(
        "Has an upload heard by the encoder that is served, so that `referenceSearch` can search by it. The answer "
        "waits briefly, so that a short file comes back heard."
    )
    async def hear_upload(self, info: Info, input: HearUploadInput) -> HearUploadResult:
        """Make the job and wait a little."""
        context = info.context
        wait_ms = context.parts.settings.generation_wait_ms
        request = reference_pb2.CreateHearingJobRequest(
            idempotency_key=input.idempotency_key if input.idempotency_key is not None else str(uuid7()),
            upload_id=decode_id(input.upload_id, "Upload", "uploadId"),
            wait_ms=wait_ms,
        )
        method = context.parts.upstream.reference_search.CreateHearingJob
        answer = await context.call(method, request, extra_time_s=wait_ms / 1000)
        return HearUploadSuccess(job=Job.from_message(answer.job), upload_id=strawberry.ID(request.upload_id))
