"""API tokens: with which programs act for a person, each within its scopes."""

from datetime import datetime
from enum import Enum
from typing import Annotated, Self

import strawberry
from strawberry import field
from uuid_utils.compat import uuid7

from museed.social.v1 import api_tokens_pb2
from services.gateway.context import Info
from services.gateway.ids import decode_id
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import identity, member, mutation, resolver
from services.gateway.schema.paging import After, Connection, First, connection_from_page, page_request
from services.gateway.schema.values import optional_datetime, to_datetime, to_timestamp


@strawberry.enum(description="What an API token may do. None contains another.")
class ApiScope(Enum):
    """Social's scopes."""

    READ = member(api_tokens_pb2.API_SCOPE_READ, "Queries and subscriptions.")
    WRITE = member(api_tokens_pb2.API_SCOPE_WRITE, "Mutations and uploads.")
    ADMIN = member(api_tokens_pb2.API_SCOPE_ADMIN, "What is for admins, while the person is one.")


@strawberry.type(description="An API token, without its secret.")
class ApiToken:
    """A program's access."""

    id: strawberry.ID = identity("ApiToken", "token_id")
    token_id: strawberry.ID = field(description="Its UUID.")
    name: str = field(description="What its owner calls it.")
    scopes: list[ApiScope] = field(description="What it may do.")
    created_at: datetime = field(description="When it was made.")
    expires_at: datetime = field(description="When it ends.")
    used_at: datetime | None = field(description="When it was last exchanged; null before the first time.")

    @classmethod
    def from_message(cls, message: api_tokens_pb2.ApiToken) -> Self:
        """Translate social's message."""
        return cls(
            token_id=strawberry.ID(message.token_id),
            name=message.name,
            scopes=[ApiScope(scope) for scope in message.scopes],
            created_at=to_datetime(message.created_at),
            expires_at=to_datetime(message.expires_at),
            used_at=optional_datetime(message, "used_at"),
        )


@strawberry.input(description="A new API token.")
class CreateApiTokenInput:
    """For `createApiToken`."""

    name: str = field(description="1 to 100 characters.")
    scopes: list[ApiScope] = field(description="At least one, each once; ADMIN is for admins.")
    expires_at: datetime | None = field(
        default=None, description="At most 366 days ahead; 90 days where it is left out."
    )
    idempotency_key: str | None = field(
        default=None, description="1 to 200 characters; the same key makes no second token for 24 hours."
    )


@strawberry.input(description="An API token to revoke.")
class RevokeApiTokenInput:
    """For `revokeApiToken`."""

    token_id: strawberry.ID = field(description="UUID of the token.")


@strawberry.input(description="The secret of an API token.")
class ExchangeApiTokenInput:
    """For `exchangeApiToken`."""

    secret: str = field(description="As `createApiToken` showed it.")


@strawberry.type(description="The token, for the only time with its secret.")
class CreateApiTokenSuccess:
    """Of `createApiToken`."""

    api_token: ApiToken = field(description="The token.")
    secret: str | None = field(
        description="For `exchangeApiToken`; null where the idempotency key was used before, since it is shown once."
    )


@strawberry.type(description="The token is void, and what it was exchanged for within 5 s.")
class RevokeApiTokenSuccess:
    """Of `revokeApiToken`."""

    token_id: strawberry.ID = field(description="The token.")


@strawberry.type(description="An access token within the API token's scopes.")
class ExchangeApiTokenSuccess:
    """Of `exchangeApiToken`."""

    access_token: str = field(description="For the header `Authorization: Bearer …`; exchange again when it ends.")
    access_expires_at: datetime = field(description="When the access token ends.")
    scopes: list[ApiScope] = field(description="What it may do.")


CreateApiTokenResult = Annotated[CreateApiTokenSuccess | Refusal, strawberry.union("CreateApiTokenResult")]
RevokeApiTokenResult = Annotated[RevokeApiTokenSuccess | Refusal, strawberry.union("RevokeApiTokenResult")]
ExchangeApiTokenResult = Annotated[ExchangeApiTokenSuccess | Refusal, strawberry.union("ExchangeApiTokenResult")]


@strawberry.type
class ApiTokenQuery:
    """Queries about API tokens."""

    @resolver("The caller's API tokens that hold, newest first. API tokens may not.")
    async def my_api_tokens(self, info: Info, first: First = 20, after: After = None) -> Connection[ApiToken] | None:
        """List them."""
        page = page_request(first, after)
        request = api_tokens_pb2.ListApiTokensRequest(page_size=page.size, page_token=page.token)
        answer = await info.context.call(info.context.parts.upstream.api_tokens.ListApiTokens, request)
        nodes = [ApiToken.from_message(each) for each in answer.tokens]
        return connection_from_page(page, nodes, answer.next_page_token)


@strawberry.type
class ApiTokenMutation:
    """Mutations of API tokens."""

    @mutation("Makes a token with which a program acts for the caller. API tokens may not.")
    async def create_api_token(self, info: Info, input: CreateApiTokenInput) -> CreateApiTokenResult:
        """Pass it on."""
        request = api_tokens_pb2.CreateApiTokenRequest(
            idempotency_key=input.idempotency_key if input.idempotency_key is not None else str(uuid7()),
            name=input.name,
            scopes=[scope.value for scope in input.scopes],
            expires_at=to_timestamp(input.expires_at, "expiresAt") if input.expires_at is not None else None,
        )
        method = info.context.parts.upstream.api_tokens.CreateApiToken
        answer = await info.context.call(method, request, names_program=True)
        return CreateApiTokenSuccess(api_token=ApiToken.from_message(answer.token), secret=answer.secret or None)

    @mutation("Revokes a token of the caller's. API tokens may not.")
    async def revoke_api_token(self, info: Info, input: RevokeApiTokenInput) -> RevokeApiTokenResult:
        """Pass it on."""
        token_id = decode_id(input.token_id, "ApiToken", "tokenId")
        request = api_tokens_pb2.RevokeApiTokenRequest(token_id=token_id)
        await info.context.call(info.context.parts.upstream.api_tokens.RevokeApiToken, request)
        return RevokeApiTokenSuccess(token_id=strawberry.ID(token_id))

    @mutation("Trades a token's secret for an access token. The authorization header does not matter here.")
    async def exchange_api_token(self, info: Info, input: ExchangeApiTokenInput) -> ExchangeApiTokenResult:
        """Pass the secret on."""
        request = api_tokens_pb2.ExchangeApiTokenRequest(secret=input.secret)
        answer = await info.context.call(info.context.parts.upstream.api_tokens.ExchangeApiToken, request)
        return ExchangeApiTokenSuccess(
            access_token=answer.access_token,
            access_expires_at=to_datetime(answer.access_expires_at),
            scopes=[ApiScope(scope) for scope in answer.scopes],
        )
