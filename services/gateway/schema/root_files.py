"""What an ingest client asks to read a folder a second time: which files are known. Social admits admins only."""

import base64
from datetime import datetime
from typing import Annotated, Self

import strawberry
from strawberry import field

from museed.social.v1 import ingest_pb2
from services.chassis.errors import InvalidArgument
from services.gateway.context import Info
from services.gateway.ids import decode_id
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import AnyId, mutation, resolver
from services.gateway.schema.registration import base64_bytes
from services.gateway.schema.scalars import BigInt
from services.gateway.schema.values import to_datetime

MAX_PATHS = 500
PageSize = Annotated[int, strawberry.argument(description="Items of an answer; 0 takes the default.")]
PageToken = Annotated[
    str | None, strawberry.argument(description="`nextPageToken` of the answer before, to the same question.")
]


@strawberry.type(description="A file as it was registered.")
class RootFile:
    """What is known of a path."""

    track_id: strawberry.ID = field(description="UUID of the track.")
    relative_path_base64: str = field(description="The bytes of its path below the root.")
    size_bytes: BigInt = field(description="Size of the file.")
    mtime_ns: str = field(description='When it was last written: nanoseconds since 1970, as digits; "0" is not known.')
    file_hash: str = field(description="SHA-256 of the file, 64 hexadecimal digits.")
    audio_hash: str = field(description="SHA-256 of the encoded audio without tags and art, 64 hexadecimal digits.")
    missing_since: datetime | None = field(description="When it was found missing; null while it is there.")
    has_cover: bool | None = field(description="Whether it was registered with a picture; null where nobody looked.")

    @classmethod
    def from_message(cls, message: ingest_pb2.RootFile) -> Self:
        """Translate social's message."""
        missing = message.HasField("missing_since")
        return cls(
            track_id=strawberry.ID(message.track_id),
            relative_path_base64=base64.b64encode(message.relative_path).decode(),
            size_bytes=BigInt(message.size_bytes),
            mtime_ns=str(message.mtime_ns),
            file_hash=message.file_hash.hex(),
            audio_hash=message.audio_hash.hex(),
            missing_since=to_datetime(message.missing_since) if missing else None,
            has_cover=message.has_cover if message.HasField("has_cover") else None,
        )


@strawberry.type(description="Some files of a root.")
class RootFilePage:
    """Not a connection: only programs walk it, from its beginning to its end."""

    files: list[RootFile] = field(description="In no order that people know, each once.")
    next_page_token: str | None = field(description="Null at the end.")


@strawberry.input(description="Files that are not there any more.")
class MarkMissingInput:
    """For `markMissing`."""

    root_id: strawberry.ID = field(description="The root.")
    relative_paths_base64: list[str] = field(description="At most 500 paths below the root; unknown ones do no harm.")


@strawberry.type(description="They are marked; registering a file ends it.")
class MarkMissingSuccess:
    """Of `markMissing`."""

    marked_count: int = field(description="Files that were not marked before.")


MarkMissingResult = Annotated[MarkMissingSuccess | Refusal, strawberry.union("MarkMissingResult")]


@strawberry.type
class RootFilesQuery:
    """Queries of who reads a folder a second time."""

    @resolver("Lists what is known of a root's files, so that unchanged ones need not be read. Admins only.")
    async def root_files(
        self, info: Info, root_id: AnyId, page_size: PageSize = 500, page_token: PageToken = None
    ) -> RootFilePage | None:
        """List them."""
        request = ingest_pb2.ListRootFilesRequest(
            root_id=decode_id(root_id, "Root", "rootId"), page_size=page_size, page_token=page_token or ""
        )
        answer = await info.context.call(info.context.parts.upstream.ingest.ListRootFiles, request)
        return RootFilePage(
            files=[RootFile.from_message(file) for file in answer.files],
            next_page_token=answer.next_page_token or None,
        )


@strawberry.type
class RootFilesMutation:
    """Mutations of who reads a folder a second time."""

    @mutation("Marks tracks whose files are gone; may be repeated. Admins only.")
    async def mark_missing(self, info: Info, input: MarkMissingInput) -> MarkMissingResult:
        """Pass the paths on."""
        if len(input.relative_paths_base64) > MAX_PATHS:
            raise InvalidArgument(
                f"{len(input.relative_paths_base64)} paths, the limit is {MAX_PATHS}",
                reason="TOO_MANY_PATHS",
                field="relativePathsBase64",
                value=len(input.relative_paths_base64),
                limit=MAX_PATHS,
            )
        paths = [
            base64_bytes(path, f"relativePathsBase64[{number}]")
            for number, path in enumerate(input.relative_paths_base64)
        ]
        request = ingest_pb2.MarkMissingRequest(
            root_id=decode_id(input.root_id, "Root", "rootId"), relative_paths=paths
        )
        answer = await info.context.call(info.context.parts.upstream.ingest.MarkMissing, request)
        return MarkMissingSuccess(marked_count=answer.marked_count)
