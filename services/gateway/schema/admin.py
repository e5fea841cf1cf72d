"""Looking after the library: registering folders, and watching the ingest. Social admits admins only."""

import base64
from datetime import datetime
from typing import Annotated, Self

import strawberry
from strawberry import field

from museed.social.v1 import catalog_pb2, ingest_pb2
from services.gateway.context import Info
from services.gateway.ids import decode_id
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import AnyId, identity, mutation, resolver
from services.gateway.schema.paging import After, Connection, First, connection_from_page, page_request
from services.gateway.schema.scalars import BigInt
from services.gateway.schema.track import Track, load_track
from services.gateway.schema.values import to_datetime

RootFilter = Annotated[strawberry.ID | None, strawberry.argument(description="Global id or UUID; else all roots.")]


@strawberry.type(description="Tracks of a root by their way to the index.")
class IngestProgress:
    """Counts of a root."""

    root_id: strawberry.ID = field(description="UUID of the root.")
    pending: int = field(description="Waiting to be heard.")
    embedded: int = field(description="Heard, on the way to the index.")
    indexed: int = field(description="Playlists can use them.")
    failed: int = field(description="Cannot be heard; see `failedTracks`.")

    @resolver("All of them.")
    def total(self) -> int:
        """Add them up."""
        return self.pending + self.embedded + self.indexed + self.failed


@strawberry.type(description="A track that could not be heard.")
class FailedTrack:
    """A failure with its reason."""

    track_id: strawberry.ID = field(description="UUID of the track.")
    relative_path: str = field(description="Its path below the root; bytes that are not UTF-8 are shown as `\\xNN`.")
    relative_path_base64: str = field(description="The path's own bytes.")
    reason: str = field(description="Stable code.")
    message: str = field(description="Sentence for people.")

    @resolver("The track.")
    async def track(self, info: Info) -> Track | None:
        """Load it together with all others of the document."""
        return await load_track(info.context, self.track_id)

    @classmethod
    def from_message(cls, message: catalog_pb2.FailedTrack) -> Self:
        """Translate social's message."""
        return cls(
            track_id=strawberry.ID(message.track_id),
            relative_path=message.relative_path.decode(errors="backslashreplace"),
            relative_path_base64=base64.b64encode(message.relative_path).decode(),
            reason=message.reason,
            message=message.message,
        )


@strawberry.type(description="A folder of music that was registered.")
class Root:
    """A root with its counts."""

    id: strawberry.ID = identity("Root", "root_id")
    root_id: strawberry.ID = field(description="Its UUID.")
    location: str = field(description="Absolute path, as every process that reads media sees it.")
    created_at: datetime = field(description="When it was registered.")
    track_count: BigInt = field(description="Tracks of it.")
    missing_count: BigInt = field(description="Tracks of these whose file is missing.")

    @classmethod
    def from_message(cls, message: ingest_pb2.Root | catalog_pb2.RegisterRootResponse) -> Self:
        """Translate social's message."""
        return cls(
            root_id=strawberry.ID(message.root_id),
            location=message.location,
            created_at=to_datetime(message.created_at),
            track_count=BigInt(message.track_count),
            missing_count=BigInt(message.missing_count),
        )


@strawberry.input(description="A folder of music.")
class RegisterRootInput:
    """For `registerRoot`."""

    location: str = field(description="Absolute path, as every process that reads media sees it.")


@strawberry.type(description="The folder is known.")
class RegisterRootSuccess:
    """Of `registerRoot`."""

    root_id: strawberry.ID = field(description="UUID of the root; the same for the same folder.")
    root: Root = field(description="The root.")


RegisterRootResult = Annotated[RegisterRootSuccess | Refusal, strawberry.union("RegisterRootResult")]


@strawberry.type
class AdminQuery:
    """Queries for admins."""

    @resolver("Folders that were registered, the oldest first. Admins only.")
    async def roots(self, info: Info, first: First = 50, after: After = None) -> Connection[Root] | None:
        """List them."""
        page = page_request(first, after)
        request = ingest_pb2.ListRootsRequest(page_size=page.size, page_token=page.token)
        answer = await info.context.call(info.context.parts.upstream.ingest.ListRoots, request)
        return connection_from_page(page, [Root.from_message(each) for each in answer.roots], answer.next_page_token)

    @resolver("How far the ingest of a root is. Admins only.")
    async def ingest_progress(self, info: Info, root_id: AnyId) -> IngestProgress | None:
        """Count."""
        uuid = decode_id(root_id, "Root", "rootId")
        method = info.context.parts.upstream.catalog.GetIngestProgress
        answer = await info.context.call(method, catalog_pb2.GetIngestProgressRequest(root_id=uuid))
        return IngestProgress(
            root_id=strawberry.ID(uuid),
            pending=answer.pending,
            embedded=answer.embedded,
            indexed=answer.indexed,
            failed=answer.failed,
        )

    @resolver("Tracks that could not be heard, newest first; of all roots without one. Admins only.")
    async def failed_tracks(
        self, info: Info, root_id: RootFilter = None, first: First = 50, after: After = None
    ) -> Connection[FailedTrack] | None:
        """List them."""
        page = page_request(first, after)
        request = catalog_pb2.ListFailedTracksRequest(
            root_id=decode_id(root_id, "Root", "rootId") if root_id is not None else "",
            page_size=page.size,
            page_token=page.token,
        )
        answer = await info.context.call(info.context.parts.upstream.catalog.ListFailedTracks, request)
        nodes = [FailedTrack.from_message(failure) for failure in answer.failures]
        return connection_from_page(page, nodes, answer.next_page_token)


@strawberry.type
class AdminMutation:
    """Mutations for admins."""

    @mutation("Registers a folder that every process that reads media can open. Admins only.")
    async def register_root(self, info: Info, input: RegisterRootInput) -> RegisterRootResult:
        """Pass the folder on."""
        request = catalog_pb2.RegisterRootRequest(location=input.location)
        answer = await info.context.call(info.context.parts.upstream.catalog.RegisterRoot, request)
        return RegisterRootSuccess(root_id=strawberry.ID(answer.root_id), root=Root.from_message(answer))
