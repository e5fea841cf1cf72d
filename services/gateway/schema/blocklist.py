"""What the caller does not want to hear: tracks, and artists with all of theirs."""

from datetime import datetime
from typing import Annotated, Self

import strawberry
from strawberry import field

from museed.social.v1 import blocklists_pb2
from services.gateway.context import Info, RequestContext
from services.gateway.ids import decode_id
from services.gateway.schema.artist import Artist, load_artist
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import mutation, resolver
from services.gateway.schema.paging import After, Connection, First, PageRequest, connection_from_page, page_request
from services.gateway.schema.track import Track, load_track
from services.gateway.schema.values import to_datetime


@strawberry.type(description="A track that the caller does not want to hear.")
class BlockedTrack:
    """A blocked track, and since when."""

    track_id: strawberry.ID = field(description="UUID of the track.")
    blocked_at: datetime = field(description="Since when.")

    @resolver("The track; null when it was deleted.")
    async def track(self, info: Info) -> Track | None:
        """Load it together with all others of the document."""
        return await load_track(info.context, self.track_id)

    @classmethod
    def from_message(cls, message: blocklists_pb2.Blocked) -> Self:
        """Translate social's message."""
        return cls(track_id=strawberry.ID(message.track_id), blocked_at=to_datetime(message.blocked_at))


@strawberry.type(description="An artist of whom the caller does not want to hear anything.")
class BlockedArtist:
    """A blocked artist, and since when."""

    artist_id: strawberry.ID = field(description="UUID of the artist.")
    blocked_at: datetime = field(description="Since when.")

    @resolver("The artist; null when nothing of theirs is left.")
    async def artist(self, info: Info) -> Artist | None:
        """Load it together with all others of the document."""
        return await load_artist(info.context, self.artist_id)

    @classmethod
    def from_message(cls, message: blocklists_pb2.Blocked) -> Self:
        """Translate social's message."""
        return cls(artist_id=strawberry.ID(message.artist_id), blocked_at=to_datetime(message.blocked_at))


@strawberry.input(description="Which track.")
class BlockTrackInput:
    """For `blockTrack`."""

    track_id: strawberry.ID = field(description="The track, by `id` or `trackId`.")


@strawberry.input(description="Which track.")
class UnblockTrackInput:
    """For `unblockTrack`."""

    track_id: strawberry.ID = field(description="The track, by `id` or `trackId`.")


@strawberry.input(description="Which artist.")
class BlockArtistInput:
    """For `blockArtist`."""

    artist_id: strawberry.ID = field(description="The artist, by `id` or `artistId`.")


@strawberry.input(description="Which artist.")
class UnblockArtistInput:
    """For `unblockArtist`."""

    artist_id: strawberry.ID = field(description="The artist, by `id` or `artistId`.")


@strawberry.type(description="The track is blocked: nothing that is made for the caller has it.")
class BlockTrackSuccess:
    """Of `blockTrack`."""

    track_id: strawberry.ID = field(description="UUID of the track.")

    @resolver("The track; null when it was deleted.")
    async def track(self, info: Info) -> Track | None:
        """Load it where it is asked for: a token that may only write has blocked it all the same."""
        return await load_track(info.context, self.track_id)


@strawberry.type(description="The track may be heard again.")
class UnblockTrackSuccess:
    """Of `unblockTrack`."""

    track_id: strawberry.ID = field(description="UUID of the track.")

    @resolver("The track; null when it was deleted.")
    async def track(self, info: Info) -> Track | None:
        """Load it where it is asked for."""
        return await load_track(info.context, self.track_id)


@strawberry.type(description="The artist is blocked: nothing that is made for the caller has anything of theirs.")
class BlockArtistSuccess:
    """Of `blockArtist`."""

    artist_id: strawberry.ID = field(description="UUID of the artist.")

    @resolver("The artist; null when there is none any more.")
    async def artist(self, info: Info) -> Artist | None:
        """Load it where it is asked for."""
        return await load_artist(info.context, self.artist_id)


@strawberry.type(description="The artist may be heard again.")
class UnblockArtistSuccess:
    """Of `unblockArtist`."""

    artist_id: strawberry.ID = field(description="UUID of the artist.")

    @resolver("The artist; null when there is none any more.")
    async def artist(self, info: Info) -> Artist | None:
        """Load it where it is asked for."""
        return await load_artist(info.context, self.artist_id)


BlockTrackResult = Annotated[BlockTrackSuccess | Refusal, strawberry.union("BlockTrackResult")]
UnblockTrackResult = Annotated[UnblockTrackSuccess | Refusal, strawberry.union("UnblockTrackResult")]
BlockArtistResult = Annotated[BlockArtistSuccess | Refusal, strawberry.union("BlockArtistResult")]
UnblockArtistResult = Annotated[UnblockArtistSuccess | Refusal, strawberry.union("UnblockArtistResult")]


@strawberry.type
class BlocklistQuery:
    """Queries about one's own blocklist."""

    @resolver("Tracks that the caller blocks, newest first.")
    async def my_blocked_tracks(
        self, info: Info, first: First = 50, after: After = None
    ) -> Connection[BlockedTrack] | None:
        """List them."""
        page = page_request(first, after)
        answer = await _blocked(info.context, blocklists_pb2.BLOCKED_KIND_TRACK, page)
        nodes = [BlockedTrack.from_message(each) for each in answer.blocked]
        return connection_from_page(page, nodes, answer.next_page_token)

    @resolver("Artists that the caller blocks, newest first.")
    async def my_blocked_artists(
        self, info: Info, first: First = 50, after: After = None
    ) -> Connection[BlockedArtist] | None:
        """List them."""
        page = page_request(first, after)
        answer = await _blocked(info.context, blocklists_pb2.BLOCKED_KIND_ARTIST, page)
        nodes = [BlockedArtist.from_message(each) for each in answer.blocked]
        return connection_from_page(page, nodes, answer.next_page_token)


async def _blocked(
    context: RequestContext, kind: blocklists_pb2.BlockedKind.ValueType, page: PageRequest
) -> blocklists_pb2.ListBlockedResponse:
    request = blocklists_pb2.ListBlockedRequest(kind=kind, page_size=page.size, page_token=page.token)
    return await context.call(context.parts.upstream.blocklists.ListBlocked, request)


@strawberry.type
class BlocklistMutation:
    """Mutations of one's own blocklist. Doing one again changes nothing."""

    @mutation("Keeps a track out of everything that is made for the caller.")
    async def block_track(self, info: Info, input: BlockTrackInput) -> BlockTrackResult:
        """Pass it on."""
        request = blocklists_pb2.BlockTrackRequest(track_id=decode_id(input.track_id, "Track", "trackId"))
        await info.context.call(info.context.parts.upstream.blocklists.BlockTrack, request)
        return BlockTrackSuccess(track_id=strawberry.ID(request.track_id))

    @mutation("Lets a track be heard again.")
    async def unblock_track(self, info: Info, input: UnblockTrackInput) -> UnblockTrackResult:
        """Pass it on."""
        request = blocklists_pb2.UnblockTrackRequest(track_id=decode_id(input.track_id, "Track", "trackId"))
        await info.context.call(info.context.parts.upstream.blocklists.UnblockTrack, request)
        return UnblockTrackSuccess(track_id=strawberry.ID(request.track_id))

    @mutation("Keeps all tracks of an artist out of everything that is made for the caller.")
    async def block_artist(self, info: Info, input: BlockArtistInput) -> BlockArtistResult:
        """Pass it on."""
        request = blocklists_pb2.BlockArtistRequest(artist_id=decode_id(input.artist_id, "Artist", "artistId"))
        await info.context.call(info.context.parts.upstream.blocklists.BlockArtist, request)
        return BlockArtistSuccess(artist_id=strawberry.ID(request.artist_id))

    @mutation("Lets an artist be heard again.")
    async def unblock_artist(self, info: Info, input: UnblockArtistInput) -> UnblockArtistResult:
        """Pass it on."""
        request = blocklists_pb2.UnblockArtistRequest(artist_id=decode_id(input.artist_id, "Artist", "artistId"))
        await info.context.call(info.context.parts.upstream.blocklists.UnblockArtist, request)
        return UnblockArtistSuccess(artist_id=strawberry.ID(request.artist_id))
