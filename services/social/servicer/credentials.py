"""gRPC in: what proves who somebody is, and what they show of themselves."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import grpc

from museed.social.v1 import sessions_pb2, sessions_pb2_grpc
from services.chassis import auth
from services.chassis.auth import require_viewer
from services.social.domain.accounts import Login, check_email, check_password, check_profile, folded
from services.social.domain.ids import UserId
from services.social.domain.mail_tokens import MailTokens, Purpose, hash_mail_token
from services.social.domain.passwords import PasswordHasher
from services.social.domain.quotas import AccountQuotas
from services.social.domain.sessions import Ending
from services.social.errors import BadCredentials
from services.social.errors.credentials import EmailAlreadyVerified, MailTokenRefused
from services.social.events.accounts import user_changed
from services.social.mail.texts import MailKind
from services.social.servicer import account_messages
from services.social.servicer.account_messages import SessionStarter, origin_of
from services.social.servicer.proof import PasswordProof
from services.social.store import accounts, credentials, mail, outbox, sessions
from services.social.store.database import Connection, Database
from services.social.store.quotas import Quotas
from services.social.workers.background import Nudge

_PROVING = (Purpose.VERIFY, Purpose.CHANGE_EMAIL)


@dataclass(frozen=True, slots=True)
class CredentialTools:
    """What the servicer works with.

    Attributes:
        database: For requests.
        hasher: Of passwords.
        counts: Counts tries.
        quotas: Bounds them.
        proof: Asks for the own password.
        starter: Begins sessions.
        mail_tokens: Makes links.
        mailed: Rings when a mail is promised.
        clock: Time of day.
    """

    database: Database
    hasher: PasswordHasher
    counts: Quotas
    quotas: AccountQuotas
    proof: PasswordProof
    starter: SessionStarter
    mail_tokens: MailTokens
    mailed: Nudge
    clock: Callable[[], datetime]


class CredentialServicer(sessions_pb2_grpc.CredentialServiceServicer):
    """Serves CredentialService."""

    def __init__(self, tools: CredentialTools) -> None:
        self._database = tools.database
        self._hasher = tools.hasher
        self._counts = tools.counts
        self._quotas = tools.quotas
        self._proof = tools.proof
        self._starter = tools.starter
        self._mail_tokens = tools.mail_tokens
        self._mailed = tools.mailed
        self._clock = tools.clock

    async def ChangePassword(
        self,
        request: sessions_pb2.ChangePasswordRequest,
        context: grpc.aio.ServicerContext[sessions_pb2.ChangePasswordRequest, sessions_pb2.ChangePasswordResponse],
    ) -> sessions_pb2.ChangePasswordResponse:
        """Change the caller's password; every session and API token ends, and a new session begins."""
        login = await self._login()
        person = login.person
        check_password(request.new_password, "new_password", (person.username, person.email))
        await self._proof.check(login, request.current_password, "current_password")
        password_hash = await self._hasher.hash(request.new_password)
        now = self._clock()
        async with self._database.transaction() as connection:
            if not await credentials.has_locked(connection, login):
                raise BadCredentials("current_password")
            await self._set_password(connection, person.user_id, password_hash, Ending.PASSWORD_CHANGED, now)
            await mail.promise(connection, MailKind.PASSWORD_CHANGED, person.email, now, person.user_id)
            tokens = await self._starter.begin(connection, person, origin_of(context.invocation_metadata), now)
        self._mailed.ring()
        return sessions_pb2.ChangePasswordResponse(tokens=tokens)

    async def ChangeEmail(
        self,
        request: sessions_pb2.ChangeEmailRequest,
        context: grpc.aio.ServicerContext[sessions_pb2.ChangeEmailRequest, sessions_pb2.ChangeEmailResponse],
    ) -> sessions_pb2.ChangeEmailResponse:
        """Send a link to another address; who has it already is told instead."""
        email = check_email(request.email)
        login = await self._login()
        await self._proof.check(login, request.password)
        await self._counts.take(self._quotas.mails, folded(email))
        now = self._clock()
        async with self._database.transaction() as connection:
            if not await credentials.has_locked(connection, login):
                raise BadCredentials("password")
            owner = await credentials.find_by_email(connection, email)
            if owner is None or owner.user_id == login.person.user_id:
                await mail.promise_link(
                    connection, self._mail_tokens, Purpose.CHANGE_EMAIL, login.person.user_id, email, now
                )
            else:
                await mail.promise(connection, MailKind.EMAIL_TAKEN, owner.email, now, owner.user_id)
        self._mailed.ring()
        return sessions_pb2.ChangeEmailResponse()

    async def UpdateProfile(
        self,
        request: sessions_pb2.UpdateProfileRequest,
        context: grpc.aio.ServicerContext[sessions_pb2.UpdateProfileRequest, sessions_pb2.UpdateProfileResponse],
    ) -> sessions_pb2.UpdateProfileResponse:
        """Change what others see of the caller."""
        edit = check_profile(
            request.nickname if request.HasField("nickname") else None,
            request.locale if request.HasField("locale") else None,
            request.is_listed if request.HasField("is_listed") else None,
        )
        user_id, now = UserId(require_viewer().user_id), self._clock()
        async with self._database.transaction() as connection:
            await accounts.lock_person(connection, user_id)
            before = await accounts.find_person(connection, user_id)
            await credentials.update_profile(connection, user_id, edit, now)
            person = await accounts.find_person(connection, user_id)
            assert person is not None, "their row is locked"
            if person != before:
                await outbox.add(connection, user_changed(user_id, now))
        return sessions_pb2.UpdateProfileResponse(viewer=account_messages.viewer(person))

    async def RequestPasswordReset(
        self,
        request: sessions_pb2.RequestPasswordResetRequest,
        context: grpc.aio.ServicerContext[
            sessions_pb2.RequestPasswordResetRequest, sessions_pb2.RequestPasswordResetResponse
        ],
    ) -> sessions_pb2.RequestPasswordResetResponse:
        """Promise a link to an address; whose it is, if anybody's, is looked up when the mail is sent."""
        email = check_email(request.email)
        if auth.client():
            await self._counts.take(self._quotas.mails_of_client, auth.client())
        if await self._counts.has_taken(self._quotas.mails, folded(email)):
            async with self._database.transaction() as connection:
                await mail.promise(connection, MailKind.RESET, email, self._clock(), None)
            self._mailed.ring()
        return sessions_pb2.RequestPasswordResetResponse()

    async def ResetPassword(
        self,
        request: sessions_pb2.ResetPasswordRequest,
        context: grpc.aio.ServicerContext[sessions_pb2.ResetPasswordRequest, sessions_pb2.ResetPasswordResponse],
    ) -> sessions_pb2.ResetPasswordResponse:
        """Set another password by a link; every session and API token of the person ends."""
        token_hash = hash_mail_token(request.token)
        async with self._database.connection() as connection:
            user_id = await mail.owner_of_token(connection, token_hash, (Purpose.RESET,), self._clock())
            person = None if user_id is None else await accounts.find_person(connection, user_id)
        if person is None or person.is_deleted:
            raise MailTokenRefused
        check_password(request.new_password, "new_password", (person.username, person.email))
        password_hash = await self._hasher.hash(request.new_password)
        now = self._clock()
        async with self._database.transaction() as connection:
            await accounts.lock_anybody(connection, person.user_id)
            person = await accounts.find_person(connection, person.user_id)
            used = await mail.use_token(connection, token_hash, (Purpose.RESET,), now)
            # A link may have gone to the address that was theirs a moment before.
            if used is None or person is None or person.is_deleted or folded(used[1]) != folded(person.email):
                raise MailTokenRefused
            await self._set_password(connection, person.user_id, password_hash, Ending.PASSWORD_RESET, now)
            # The link came by mail, so the address is theirs.
            if await credentials.has_verified_email(connection, person.user_id, used[1], now):
                await outbox.add(connection, user_changed(person.user_id, now))
            await mail.promise(connection, MailKind.PASSWORD_CHANGED, person.email, now, person.user_id)
        self._mailed.ring()
        return sessions_pb2.ResetPasswordResponse()

    async def VerifyEmail(
        self,
        request: sessions_pb2.VerifyEmailRequest,
        context: grpc.aio.ServicerContext[sessions_pb2.VerifyEmailRequest, sessions_pb2.VerifyEmailResponse],
    ) -> sessions_pb2.VerifyEmailResponse:
        """Verify an address by a link, and make it the account's where that was asked for."""
        token_hash, now = hash_mail_token(request.token), self._clock()
        async with self._database.transaction() as connection:
            user_id = await mail.owner_of_token(connection, token_hash, _PROVING, now)
            if user_id is None:
                raise MailTokenRefused
            await accounts.lock_anybody(connection, user_id)
            person = await accounts.find_person(connection, user_id)
            used = await mail.use_token(connection, token_hash, _PROVING, now)
            if used is None or person is None or person.is_deleted:
                raise MailTokenRefused
            purpose, email = used
            if purpose is Purpose.CHANGE_EMAIL:
                await credentials.set_email(connection, user_id, email, now)
                # Links to the old address would still open the account.
                await mail.use_up_tokens(connection, user_id, now)
                await mail.promise(connection, MailKind.EMAIL_CHANGED, person.email, now, user_id)
            elif not await credentials.has_verified_email(connection, user_id, email, now):
                raise MailTokenRefused
            await outbox.add(connection, user_changed(user_id, now))
        self._mailed.ring()
        return sessions_pb2.VerifyEmailResponse()

    async def RequestVerification(
        self,
        request: sessions_pb2.RequestVerificationRequest,
        context: grpc.aio.ServicerContext[
            sessions_pb2.RequestVerificationRequest, sessions_pb2.RequestVerificationResponse
        ],
    ) -> sessions_pb2.RequestVerificationResponse:
        """Send the link once more that verifies the caller's address."""
        person = (await self._login()).person
        if person.email_verified_at is not None:
            raise EmailAlreadyVerified
        await self._counts.take(self._quotas.mails, folded(person.email))
        async with self._database.transaction() as connection:
            await mail.promise_link(
                connection, self._mail_tokens, Purpose.VERIFY, person.user_id, person.email, self._clock()
            )
        self._mailed.ring()
        return sessions_pb2.RequestVerificationResponse()

    async def _login(self) -> Login:
        """Return the caller's account with what proves it.

        Raises:
            SessionEnded: They have left or are suspended.
        """
        async with self._database.connection() as connection:
            return await accounts.acting_login(connection, UserId(require_viewer().user_id))

    async def _set_password(
        self, connection: Connection, user_id: UserId, password_hash: str, because: Ending, now: datetime
    ) -> None:
        await credentials.set_password(connection, user_id, password_hash, now)
        await sessions.end_sessions_of(connection, user_id, because, now)
        await mail.use_up_tokens(connection, user_id, now)
