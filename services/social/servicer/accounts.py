"""gRPC in: accounts, sessions, keys."""

from collections.abc import Callable
from datetime import datetime, timedelta

import grpc

from museed.social.v1 import accounts_pb2, accounts_pb2_grpc
from services.chassis.auth import require_viewer
from services.social import events, fields
from services.social.accounts import (
    LONGEST_EMAIL,
    LONGEST_PASSWORD,
    REFRESH_LIFE,
    Person,
    RefreshVerdict,
    check_sign_up,
    folded,
    judge_refresh,
)
from services.social.errors import BadCredentials
from services.social.ids import SessionId, UserId, is_id, new_id
from services.social.passwords import FailedLogins, PasswordHasher
from services.social.store import accounts, outbox
from services.social.store.database import Connection, Database
from services.social.tokens import ACCESS_LIFE, TokenIssuer, hash_refresh_token, new_refresh_token
from services.social.wire import timestamp

_MOST_USERS = 500
# As long as access tokens of an ended session may live, and a little for clocks that differ.
REVOCATION_MEMORY = ACCESS_LIFE + timedelta(minutes=1)


class AccountServicer(accounts_pb2_grpc.AccountServiceServicer):
    """Serves AccountService."""

    def __init__(
        self,
        database: Database,
        hasher: PasswordHasher,
        failed_logins: FailedLogins,
        issuer: TokenIssuer,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._failed_logins = failed_logins
        self._issuer = issuer
        self._clock = clock

    async def SignUp(
        self,
        request: accounts_pb2.SignUpRequest,
        context: grpc.aio.ServicerContext[accounts_pb2.SignUpRequest, accounts_pb2.SignUpResponse],
    ) -> accounts_pb2.SignUpResponse:
        """Make an account; of two at once on a fresh mesh, exactly one becomes admin."""
        account = check_sign_up(request.username, request.nickname, request.email, request.password)
        password_hash = await self._hasher.hash(request.password)
        now = self._clock()
        async with self._database.transaction() as connection:
            person = await accounts.insert_user(connection, UserId(new_id()), account, password_hash, now)
            tokens = await self._begin_session(connection, person, now)
        return accounts_pb2.SignUpResponse(viewer=_viewer(person), tokens=tokens)

    async def LogIn(
        self,
        request: accounts_pb2.LogInRequest,
        context: grpc.aio.ServicerContext[accounts_pb2.LogInRequest, accounts_pb2.LogInResponse],
    ) -> accounts_pb2.LogInResponse:
        """Start a session; an unknown person takes as long as a wrong password and gets the same answer."""
        login = folded(request.login.replace("\0", ""))[:LONGEST_EMAIL]
        self._failed_logins.check(login)
        async with self._database.connection() as connection:
            found = await accounts.find_login(connection, login)
        # One more than the longest: what is cut off can never match.
        password = request.password[: LONGEST_PASSWORD + 1]
        if not await self._hasher.verify(found and found[1], password) or found is None:
            self._failed_logins.failed(login)
            raise BadCredentials
        self._failed_logins.succeeded(login)
        async with self._database.transaction() as connection:
            tokens = await self._begin_session(connection, found[0], self._clock())
        return accounts_pb2.LogInResponse(viewer=_viewer(found[0]), tokens=tokens)

    async def RefreshSession(
        self,
        request: accounts_pb2.RefreshSessionRequest,
        context: grpc.aio.ServicerContext[accounts_pb2.RefreshSessionRequest, accounts_pb2.RefreshSessionResponse],
    ) -> accounts_pb2.RefreshSessionResponse:
        """Trade a refresh token; one that was used before ends its session."""
        now = self._clock()
        old_hash, token = hash_refresh_token(request.refresh_token), new_refresh_token()
        async with self._database.transaction() as connection:
            shown = await accounts.lock_refresh_token(connection, old_hash)
            verdict = judge_refresh(shown, now)
            person = None if shown is None else await accounts.find_person(connection, shown.user_id)
            if shown is not None and verdict is RefreshVerdict.REUSED:
                await self._revoke(connection, shown.session_id, verdict.value, now)
            if shown is not None and verdict is RefreshVerdict.TRADED:
                new_hash = hash_refresh_token(token)
                await accounts.trade_refresh_token(
                    connection, old_hash, new_hash, shown.session_id, now, now + REFRESH_LIFE
                )
        # Only here, so that a revocation is committed.
        if shown is None or person is None or verdict is not RefreshVerdict.TRADED:
            raise verdict.refusal()
        tokens = self._tokens(person, shown.session_id, token, now)
        return accounts_pb2.RefreshSessionResponse(viewer=_viewer(person), tokens=tokens)

    async def LogOut(
        self,
        request: accounts_pb2.LogOutRequest,
        context: grpc.aio.ServicerContext[accounts_pb2.LogOutRequest, accounts_pb2.LogOutResponse],
    ) -> accounts_pb2.LogOutResponse:
        """End the caller's session; ending it again is done already."""
        async with self._database.transaction() as connection:
            await self._revoke(connection, SessionId(require_viewer().session_id), "LOGGED_OUT", self._clock())
        return accounts_pb2.LogOutResponse()

    async def GetViewer(
        self,
        request: accounts_pb2.GetViewerRequest,
        context: grpc.aio.ServicerContext[accounts_pb2.GetViewerRequest, accounts_pb2.GetViewerResponse],
    ) -> accounts_pb2.GetViewerResponse:
        """Return the caller's own account."""
        async with self._database.connection() as connection:
            person = await accounts.find_person(connection, UserId(require_viewer().user_id))
        if person is None:
            raise BadCredentials
        return accounts_pb2.GetViewerResponse(viewer=_viewer(person))

    async def BatchGetUsers(
        self,
        request: accounts_pb2.BatchGetUsersRequest,
        context: grpc.aio.ServicerContext[accounts_pb2.BatchGetUsersRequest, accounts_pb2.BatchGetUsersResponse],
    ) -> accounts_pb2.BatchGetUsersResponse:
        """Return people by id, as everybody may see them."""
        fields.count(len(request.user_ids), "user_ids", _MOST_USERS)
        async with self._database.connection() as connection:
            people = await accounts.find_people(connection, [UserId(one) for one in request.user_ids if is_id(one)])
        return accounts_pb2.BatchGetUsersResponse(users=[_user(person) for person in people])

    async def GetJwks(
        self,
        request: accounts_pb2.GetJwksRequest,
        context: grpc.aio.ServicerContext[accounts_pb2.GetJwksRequest, accounts_pb2.GetJwksResponse],
    ) -> accounts_pb2.GetJwksResponse:
        """Return the public keys of tokens."""
        return accounts_pb2.GetJwksResponse(jwks=self._issuer.jwks)

    async def ListRevokedSessions(
        self,
        request: accounts_pb2.ListRevokedSessionsRequest,
        context: grpc.aio.ServicerContext[
            accounts_pb2.ListRevokedSessionsRequest, accounts_pb2.ListRevokedSessionsResponse
        ],
    ) -> accounts_pb2.ListRevokedSessionsResponse:
        """List sessions that ended within the life of an access token."""
        async with self._database.connection() as connection:
            ended = await accounts.revoked_sessions(connection, self._clock() - REVOCATION_MEMORY)
        return accounts_pb2.ListRevokedSessionsResponse(session_ids=ended)

    async def _begin_session(self, connection: Connection, person: Person, now: datetime) -> accounts_pb2.TokenPair:
        session_id, token = SessionId(new_id()), new_refresh_token()
        await accounts.insert_session(
            connection, session_id, person.user_id, hash_refresh_token(token), now, now + REFRESH_LIFE
        )
        return self._tokens(person, session_id, token, now)

    async def _revoke(self, connection: Connection, session_id: SessionId, because: str, now: datetime) -> None:
        if await accounts.revoke_session(connection, session_id, because, now):
            await outbox.add(connection, events.session_revoked(session_id, now))

    def _tokens(self, person: Person, session_id: SessionId, token: str, now: datetime) -> accounts_pb2.TokenPair:
        access_token, expires_at = self._issuer.access_token(person.user_id, person.role, session_id, now)
        return accounts_pb2.TokenPair(
            access_token=access_token,
            access_expires_at=timestamp(expires_at),
            refresh_token=token,
            refresh_expires_at=timestamp(now + REFRESH_LIFE),
        )


def _user(person: Person) -> accounts_pb2.User:
    return accounts_pb2.User(
        user_id=person.user_id,
        username=person.username,
        nickname=person.nickname,
        created_at=timestamp(person.created_at),
    )


def _viewer(person: Person) -> accounts_pb2.Viewer:
    return accounts_pb2.Viewer(user=_user(person), email=person.email, role=person.role.value)
