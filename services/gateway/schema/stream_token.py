"""Stream tokens: with one, any program plays one playlist, until it ends or is revoked."""

from datetime import datetime
from typing import Annotated, Self

import strawberry
from strawberry import field

from museed.social.v1 import exchange_pb2
from services.gateway.context import Info
from services.gateway.ids import decode_id
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import AnyId, identity, key_or_new, mutation, resolver
from services.gateway.schema.paging import After, Connection, First, connection_from_page, page_request
from services.gateway.schema.playlist_format import PlaylistFormat, export_url
from services.gateway.schema.values import to_datetime, to_timestamp


@strawberry.type(description="Leave to play one playlist, for who has the secret that was shown when it was made.")
class StreamToken:
    """A token without its secret."""

    id: strawberry.ID = identity("StreamToken", "token_id")
    token_id: strawberry.ID = field(description="Its UUID.")
    playlist_id: strawberry.ID = field(description="UUID of the playlist that it plays.")
    created_at: datetime = field(description="When it was made.")
    expires_at: datetime = field(description="When it ends.")

    @classmethod
    def from_message(cls, message: exchange_pb2.StreamToken) -> Self:
        """Translate social's message."""
        return cls(
            token_id=strawberry.ID(message.token_id),
            playlist_id=strawberry.ID(message.playlist_id),
            created_at=to_datetime(message.created_at),
            expires_at=to_datetime(message.expires_at),
        )


@strawberry.input(description="A new stream token.")
class CreateStreamTokenInput:
    """For `createStreamToken`."""

    playlist_id: strawberry.ID = field(description="The playlist, by `id` or `playlistId`.")
    expires_at: datetime | None = field(default=None, description="At most 366 days ahead; else in 30 days.")
    idempotency_key: str | None = field(
        default=None,
        description="1 to 200 characters; repeating the request with it makes no other token, and shows no secret.",
    )


@strawberry.input(description="Which stream token.")
class RevokeStreamTokenInput:
    """For `revokeStreamToken`."""

    token_id: strawberry.ID = field(description="The token.")


@strawberry.type(description="The token was made.")
class CreateStreamTokenSuccess:
    """Of `createStreamToken`."""

    token: StreamToken = field(description="The token.")
    secret: str | None = field(
        description="What plays, shown for the only time; null where the idempotency key was used before."
    )

    @resolver(
        "Address of the playlist as a file whose rows play, for any program; whoever has it can listen. "
        "Null where the secret is not shown."
    )
    def export_url(
        self, info: Info, format: Annotated[PlaylistFormat, strawberry.argument(description="Format of the file.")]
    ) -> str | None:
        """Put the address together."""
        return export_url(info.context, self.token.playlist_id, format, self.secret) if self.secret else None


@strawberry.type(description="The token plays nothing any more.")
class RevokeStreamTokenSuccess:
    """Of `revokeStreamToken`."""

    revoked_token_id: strawberry.ID = field(description="UUID of the token.")


CreateStreamTokenResult = Annotated[CreateStreamTokenSuccess | Refusal, strawberry.union("CreateStreamTokenResult")]
RevokeStreamTokenResult = Annotated[RevokeStreamTokenSuccess | Refusal, strawberry.union("RevokeStreamTokenResult")]


@strawberry.type
class StreamTokenQuery:
    """Queries about stream tokens."""

    @resolver("The living stream tokens of a playlist of the caller's own, newest first.")
    async def stream_tokens(
        self, info: Info, playlist_id: AnyId, first: First = 20, after: After = None
    ) -> Connection[StreamToken] | None:
        """List them."""
        page = page_request(first, after)
        request = exchange_pb2.ListStreamTokensRequest(
            playlist_id=decode_id(playlist_id, "Playlist", "playlistId"), page_size=page.size, page_token=page.token
        )
        answer = await info.context.call(info.context.parts.upstream.exchange.ListStreamTokens, request)
        return connection_from_page(
            page, [StreamToken.from_message(each) for each in answer.tokens], answer.next_page_token
        )


@strawberry.type
class StreamTokenMutation:
    """Mutations of stream tokens."""

    @mutation("Makes a stream token of a playlist of the caller's own, a private one, too.")
    async def create_stream_token(self, info: Info, input: CreateStreamTokenInput) -> CreateStreamTokenResult:
        """Pass the wish on."""
        request = exchange_pb2.CreateStreamTokenRequest(
            idempotency_key=key_or_new(input.idempotency_key),
            playlist_id=decode_id(input.playlist_id, "Playlist", "playlistId"),
            expires_at=None if input.expires_at is None else to_timestamp(input.expires_at, "expiresAt"),
        )
        answer = await info.context.call(info.context.parts.upstream.exchange.CreateStreamToken, request)
        return CreateStreamTokenSuccess(token=StreamToken.from_message(answer.token), secret=answer.secret or None)

    @mutation("Revokes a stream token of the caller's own; a revoked one stays so.")
    async def revoke_stream_token(self, info: Info, input: RevokeStreamTokenInput) -> RevokeStreamTokenResult:
        """Pass the wish on."""
        token_id = decode_id(input.token_id, "StreamToken", "tokenId")
        request = exchange_pb2.RevokeStreamTokenRequest(token_id=token_id)
        await info.context.call(info.context.parts.upstream.exchange.RevokeStreamToken, request)
        return RevokeStreamTokenSuccess(revoked_token_id=strawberry.ID(token_id))
