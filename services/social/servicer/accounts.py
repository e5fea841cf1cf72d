"""gRPC in: accounts, sessions, keys."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta

import grpc

from museed.social.v1 import accounts_pb2, accounts_pb2_grpc
from services.chassis import auth
from services.chassis.auth import require_viewer
from services.social.actions.refreshing import refresh
from services.social.domain import fields
from services.social.domain.accounts import (
    LONGEST_PASSWORD,
    Person,
    RefreshVerdict,
    check_sign_up,
    login_key,
)
from services.social.domain.idempotency import check_key, digest_of
from services.social.domain.ids import SessionId, UserId, is_id, new_id
from services.social.domain.mail_tokens import MailTokens, Purpose
from services.social.domain.passwords import PasswordHasher
from services.social.domain.quotas import AccountQuotas
from services.social.domain.sessions import Ending, Origin
from services.social.domain.tokens import ACCESS_LIFE, RefreshChain, TokenIssuer
from services.social.errors import BadCredentials
from services.social.errors.credentials import AccountSuspended
from services.social.errors.sessions import SessionEnded
from services.social.events.accounts import user_signed_up
from services.social.servicer import account_messages, keys
from services.social.servicer.account_messages import SessionStarter, origin_of
from services.social.store import accounts, credentials, mail, outbox, profiles, sessions, sign_up_keys
from services.social.store.database import Database
from services.social.store.quotas import Quotas
from services.social.workers.background import Nudge

_MOST_USERS = 500
# As long as access tokens of an ended session may live, and a little for clocks that differ.
REVOCATION_MEMORY = ACCESS_LIFE + timedelta(minutes=1)


class AccountServicer(accounts_pb2_grpc.AccountServiceServicer):
    """Serves AccountService."""

    def __init__(
        self,
        database: Database,
        hasher: PasswordHasher,
        counts: Quotas,
        quotas: AccountQuotas,
        issuer: TokenIssuer,
        mail_tokens: MailTokens,
        mailed: Nudge,
        clock: Callable[[], datetime],
        refresh_grace: timedelta,
    ) -> None:
        self._database = database
        self._hasher = hasher
        self._counts = counts
        self._quotas = quotas
        self._issuer = issuer
        self._starter = SessionStarter(issuer)
        self._mail_tokens = mail_tokens
        self._mailed = mailed
        self._clock = clock
        self._chain = RefreshChain(issuer.derived_keys("refresh tokens"))
        self._refresh_grace = refresh_grace

    async def SignUp(
        self,
        request: accounts_pb2.SignUpRequest,
        context: grpc.aio.ServicerContext[accounts_pb2.SignUpRequest, accounts_pb2.SignUpResponse],
    ) -> accounts_pb2.SignUpResponse:
        """Make an account; of two at once on a fresh mesh, exactly one becomes admin."""
        account = check_sign_up(request.username, request.nickname, request.email, request.password)
        key = check_key(request.idempotency_key) if request.idempotency_key else ""
        if auth.client():
            await self._counts.take(self._quotas.sign_ups_of_client, auth.client())
        await self._counts.take(self._quotas.sign_ups, "")
        password_hash = await self._hasher.hash(request.password)
        may_mail = await self._counts.has_taken(self._quotas.mails, account.email_key)
        user_id, now, came_from = UserId(new_id()), self._clock(), origin_of(context.invocation_metadata)
        async with self._database.transaction() as connection:
            digest = digest_of(**asdict(account))
            is_new = not key or await sign_up_keys.claim(connection, key, digest, user_id, now)
            if is_new:
                person = await accounts.insert_user(connection, user_id, account, password_hash, now)
                tokens = await self._starter.begin(connection, person, came_from, now)
                if may_mail:
                    await mail.promise_link(connection, self._mail_tokens, Purpose.VERIFY, user_id, person.email, now)
                await outbox.add(connection, user_signed_up(user_id, now))
        if not is_new:  # a key is no password
            person, tokens = await self._log_in(account.username, request.password, came_from)
        self._mailed.ring()
        return accounts_pb2.SignUpResponse(viewer=account_messages.viewer(person), tokens=tokens)

    async def LogIn(
        self,
        request: accounts_pb2.LogInRequest,
        context: grpc.aio.ServicerContext[accounts_pb2.LogInRequest, accounts_pb2.LogInResponse],
    ) -> accounts_pb2.LogInResponse:
        """Start a session; an unknown person takes as long as a wrong password and gets the same answer."""
        person, tokens = await self._log_in(request.login, request.password, origin_of(context.invocation_metadata))
        return accounts_pb2.LogInResponse(viewer=account_messages.viewer(person), tokens=tokens)

    async def _log_in(self, given: str, password: str, came_from: Origin) -> tuple[Person, accounts_pb2.TokenPair]:
        login = login_key(given)
        # Counted before it is known to fail: of many guesses at once none goes past the bound.
        tries = [(self._quotas.log_ins, f"{login} {auth.client()}".rstrip()), (self._quotas.log_ins_anywhere, login)]
        if auth.client():
            await self._counts.take(self._quotas.log_ins_of_client, auth.client())
        for quota, key in tries:
            await self._counts.take(quota, key)
        async with self._database.connection() as connection:
            found = await accounts.find_login(connection, login)
        # One more than the longest: what is cut off can never match.
        password = password[: LONGEST_PASSWORD + 1]
        password_hash = None if found is None else found.password_hash
        if not await self._hasher.verify(password_hash, password) or found is None:
            raise BadCredentials
        for quota, key in tries:
            await self._counts.forget(quota, key)
        person = found.person
        if person.is_suspended:
            raise AccountSuspended(found.suspended_because)
        renewed = await self._hasher.renewed(found.password_hash, password)
        async with self._database.transaction() as connection:
            # Who has changed the password meanwhile has ended every session that there was.
            if not await credentials.has_locked(connection, found):
                raise BadCredentials
            if renewed is not None:
                await credentials.renew_hash(connection, person.user_id, renewed)
            return person, await self._starter.begin(connection, person, came_from, self._clock())

    async def RefreshSession(
        self,
        request: accounts_pb2.RefreshSessionRequest,
        context: grpc.aio.ServicerContext[accounts_pb2.RefreshSessionRequest, accounts_pb2.RefreshSessionResponse],
    ) -> accounts_pb2.RefreshSessionResponse:
        """Trade a refresh token; one that was used before, and not just now, ends its session."""
        now = self._clock()
        async with self._database.transaction() as connection:
            found = await refresh(connection, self._chain, request.refresh_token, self._refresh_grace, now)
        # Only here, so that a revocation is committed.
        if isinstance(found, RefreshVerdict):
            raise found.refusal()
        tokens = self._starter.tokens(found.person, found.session_id, found.token, now)
        return accounts_pb2.RefreshSessionResponse(viewer=account_messages.viewer(found.person), tokens=tokens)

    async def LogOut(
        self,
        request: accounts_pb2.LogOutRequest,
        context: grpc.aio.ServicerContext[accounts_pb2.LogOutRequest, accounts_pb2.LogOutResponse],
    ) -> accounts_pb2.LogOutResponse:
        """End the caller's session; ending it again is done already."""
        async with self._database.transaction() as connection:
            session_id = SessionId(require_viewer().session_id)
            await sessions.end_session(connection, session_id, Ending.LOGGED_OUT, self._clock())
        return accounts_pb2.LogOutResponse()

    async def GetViewer(
        self,
        request: accounts_pb2.GetViewerRequest,
        context: grpc.aio.ServicerContext[accounts_pb2.GetViewerRequest, accounts_pb2.GetViewerResponse],
    ) -> accounts_pb2.GetViewerResponse:
        """Return the caller's own account."""
        async with self._database.connection() as connection:
            person = await accounts.find_person(connection, UserId(require_viewer().user_id))
        if person is None or person.is_deleted:
            raise SessionEnded
        return accounts_pb2.GetViewerResponse(viewer=account_messages.viewer(person))

    async def BatchGetUsers(
        self,
        request: accounts_pb2.BatchGetUsersRequest,
        context: grpc.aio.ServicerContext[accounts_pb2.BatchGetUsersRequest, accounts_pb2.BatchGetUsersResponse],
    ) -> accounts_pb2.BatchGetUsersResponse:
        """Return people by id, without those whom the caller may not see."""
        fields.count(len(request.user_ids), "user_ids", _MOST_USERS)
        wanted = [UserId(one) for one in set(request.user_ids) if is_id(one)]
        async with self._database.connection() as connection:
            seen = await profiles.find_visible(connection, keys.viewer_id(), wanted)
            people = await accounts.find_people(connection, list(seen))
        return accounts_pb2.BatchGetUsersResponse(users=[account_messages.user(person) for person in people])

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
