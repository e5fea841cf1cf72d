"""gRPC in: tokens with which programs act for the caller."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import grpc

from museed.social.v1 import api_tokens_pb2, api_tokens_pb2_grpc
from services.chassis.auth import require_viewer
from services.chassis.scopes import Scope
from services.social.domain import paging
from services.social.domain.accounts import Role
from services.social.domain.api_tokens import (
    DEFAULT_LIFE,
    MOST_TOKENS,
    ApiToken,
    TokenRequest,
    check_token,
    hash_secret,
    new_secret,
)
from services.social.domain.idempotency import IDEMPOTENCY_LIFE, check_key
from services.social.domain.ids import ApiTokenId, SessionId, UserId, is_id, new_id
from services.social.domain.sessions import Ending, Origin, SessionKind
from services.social.domain.tokens import ACCESS_LIFE, TokenIssuer
from services.social.errors import IdempotencyKeyReused, Malformed
from services.social.errors.sessions import ApiTokenNotFound, ApiTokenRefused, TooManyApiTokens
from services.social.servicer.account_messages import origin_of
from services.social.store import accounts, api_tokens, idempotency, sessions
from services.social.store.database import Database
from services.social.wire import timestamp

_OPERATION = "CreateApiToken"
_DEFAULT_PAGE, _LARGEST_PAGE = 20, 100
# Beyond any date that is allowed: what is later cannot be told as a date in Python.
_LATEST_SECOND = 253_402_300_799


class ApiTokenServicer(api_tokens_pb2_grpc.ApiTokenServiceServicer):
    """Serves ApiTokenService. A token that is somebody else's is as good as none."""

    def __init__(self, database: Database, issuer: TokenIssuer, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._issuer = issuer
        self._clock = clock

    async def CreateApiToken(
        self,
        request: api_tokens_pb2.CreateApiTokenRequest,
        context: grpc.aio.ServicerContext[api_tokens_pb2.CreateApiTokenRequest, api_tokens_pb2.CreateApiTokenResponse],
    ) -> api_tokens_pb2.CreateApiTokenResponse:
        """Make a token; with a key that was used before it is told again, without its secret."""
        who, now = require_viewer(), self._clock()
        key = check_key(request.idempotency_key)
        wanted = check_token(request.name, _scopes(request.scopes), _expiry(request), Role(who.role), now)
        token, secret = await self._create(
            UserId(who.user_id), key, wanted, origin_of(context.invocation_metadata), now
        )
        return api_tokens_pb2.CreateApiTokenResponse(token=_token(token), secret=secret)

    async def ListApiTokens(
        self,
        request: api_tokens_pb2.ListApiTokensRequest,
        context: grpc.aio.ServicerContext[api_tokens_pb2.ListApiTokensRequest, api_tokens_pb2.ListApiTokensResponse],
    ) -> api_tokens_pb2.ListApiTokensResponse:
        """List the caller's tokens that hold, newest first."""
        user_id = UserId(require_viewer().user_id)
        size = paging.page_size(request.page_size, _DEFAULT_PAGE, _LARGEST_PAGE)
        scope = f"ListApiTokens {user_id}"
        key = paging.decode_token(scope, request.page_token, [is_id])
        before = None if key is None else ApiTokenId(str(key[0]))
        async with self._database.connection() as connection:
            found = await api_tokens.living_tokens(connection, user_id, self._clock(), before, size + 1)
        page = paging.cut(found, size, scope, lambda one: (one.token_id,))
        return api_tokens_pb2.ListApiTokensResponse(
            tokens=[_token(one) for one in page.items], next_page_token=page.next_token
        )

    async def RevokeApiToken(
        self,
        request: api_tokens_pb2.RevokeApiTokenRequest,
        context: grpc.aio.ServicerContext[api_tokens_pb2.RevokeApiTokenRequest, api_tokens_pb2.RevokeApiTokenResponse],
    ) -> api_tokens_pb2.RevokeApiTokenResponse:
        """End a token of the caller's with its session; ending it again is done already."""
        user_id, token_id = UserId(require_viewer().user_id), ApiTokenId(request.token_id)
        if not is_id(token_id):
            raise ApiTokenNotFound(token_id)
        async with self._database.transaction() as connection:
            if not await api_tokens.is_own(connection, token_id, user_id):
                raise ApiTokenNotFound(token_id)
            session_id = await api_tokens.session_of(connection, token_id, user_id)
            if session_id is not None:
                await sessions.end_session(connection, session_id, Ending.REVOKED, self._clock())
        return api_tokens_pb2.RevokeApiTokenResponse()

    async def ExchangeApiToken(
        self,
        request: api_tokens_pb2.ExchangeApiTokenRequest,
        context: grpc.aio.ServicerContext[
            api_tokens_pb2.ExchangeApiTokenRequest, api_tokens_pb2.ExchangeApiTokenResponse
        ],
    ) -> api_tokens_pb2.ExchangeApiTokenResponse:
        """Trade a secret for an access token; the role is the person's of now."""
        now = self._clock()
        async with self._database.transaction() as connection:
            used = await api_tokens.use_token(connection, hash_secret(request.secret), now)
        if used is None:
            raise ApiTokenRefused
        user_id, session_id, scopes, role = used
        access_token, expires_at = self._issuer.api_access_token(user_id, role, session_id, scopes, now)
        return api_tokens_pb2.ExchangeApiTokenResponse(
            access_token=access_token, access_expires_at=timestamp(expires_at), scopes=_scope_numbers(scopes)
        )

    async def _create(
        self, user_id: UserId, key: str, wanted: TokenRequest, came_from: Origin, now: datetime
    ) -> tuple[ApiToken, str]:
        """Return a token, and its secret where it is new."""
        token_id, digest = ApiTokenId(new_id()), wanted.digest()
        async with self._database.transaction() as connection:
            await accounts.lock_person(connection, user_id)
            known_digest, known_id = await idempotency.claim_key(
                connection, user_id, _OPERATION, key, digest, token_id, now, now + IDEMPOTENCY_LIFE
            )
            if known_digest != digest:
                raise IdempotencyKeyReused(key)
            if known_id != token_id:
                found = await api_tokens.find_token(connection, ApiTokenId(known_id), user_id)
                if found is None:
                    raise ApiTokenNotFound(known_id)
                return found, ""
            await api_tokens.delete_ended(connection, user_id, now)
            count = await api_tokens.count_living(connection, user_id, now)
            if count >= MOST_TOKENS:
                raise TooManyApiTokens(count, MOST_TOKENS)
            token = ApiToken(token_id, wanted.name, wanted.scopes, now, wanted.expires_at or now + DEFAULT_LIFE)
            session_id, secret = SessionId(new_id()), new_secret()
            # Longer by what it is traded for at its last moment: that must still be revocable.
            ends_at = token.expires_at + ACCESS_LIFE
            await accounts.insert_session(connection, session_id, user_id, SessionKind.API, came_from, now, ends_at)
            await api_tokens.insert_token(connection, user_id, session_id, hash_secret(secret), token)
        return token, secret


def _scopes(numbers: Sequence[api_tokens_pb2.ApiScope.ValueType]) -> list[Scope]:
    """Read scopes.

    Raises:
        Malformed: UNSPECIFIED, or a number that means nothing.
    """
    known = {api_tokens_pb2.ApiScope.Value(f"API_SCOPE_{scope.name}"): scope for scope in Scope}
    strange = [number for number in numbers if number not in known]
    if strange:
        raise Malformed("scopes", strange[0], "READ, WRITE or ADMIN")
    return [known[number] for number in numbers]


def _scope_numbers(scopes: frozenset[Scope]) -> list[api_tokens_pb2.ApiScope.ValueType]:
    return [api_tokens_pb2.ApiScope.Value(f"API_SCOPE_{scope.name}") for scope in Scope if scope in scopes]


def _expiry(request: api_tokens_pb2.CreateApiTokenRequest) -> datetime | None:
    """Read when a token is to end.

    Raises:
        Malformed: No time of the years 1970 to 9999.
    """
    if not request.HasField("expires_at"):
        return None
    wanted = request.expires_at
    if not 0 <= wanted.seconds <= _LATEST_SECOND or not 0 <= wanted.nanos < 1_000_000_000:
        raise Malformed("expires_at", wanted.seconds, "a time from 1970 to 9999")
    return wanted.ToDatetime(UTC)


def _token(token: ApiToken) -> api_tokens_pb2.ApiToken:
    return api_tokens_pb2.ApiToken(
        token_id=token.token_id,
        name=token.name,
        scopes=_scope_numbers(token.scopes),
        created_at=timestamp(token.created_at),
        expires_at=timestamp(token.expires_at),
        used_at=None if token.used_at is None else timestamp(token.used_at),
    )
