"""Translates people to messages, and begins and reads their sessions."""

from collections.abc import Callable
from datetime import datetime

from museed.social.v1 import accounts_pb2
from services.chassis import auth
from services.social.domain.accounts import REFRESH_LIFE, Person
from services.social.domain.ids import SessionId, new_id
from services.social.domain.sessions import Origin, SessionKind, origin
from services.social.domain.tokens import TokenIssuer, hash_refresh_token, new_refresh_token
from services.social.store import accounts
from services.social.store.database import Connection
from services.social.wire import timestamp

# What somebody says of their program; gRPC's own header names the program that calls, which may be a gateway.
_USER_AGENT_HEADERS = ("museed-user-agent", "user-agent")


class SessionStarter:
    """Begins sessions and signs their tokens.

    Args:
        issuer: Signs.
    """

    def __init__(self, issuer: TokenIssuer) -> None:
        self._issuer = issuer

    async def begin(
        self, connection: Connection, person: Person, came_from: Origin, now: datetime
    ) -> accounts_pb2.TokenPair:
        """Begin a session in the caller's transaction.

        Raises:
            AccountSuspended: The person is suspended or deleted.
        """
        session_id, token = SessionId(new_id()), new_refresh_token()
        await accounts.insert_session(
            connection, session_id, person.user_id, SessionKind.LOGIN, came_from, now, now + REFRESH_LIFE
        )
        await accounts.insert_refresh_token(connection, hash_refresh_token(token), session_id, now, now + REFRESH_LIFE)
        return self.tokens(person, session_id, token, now)

    def tokens(self, person: Person, session_id: SessionId, token: str, now: datetime) -> accounts_pb2.TokenPair:
        """Return the tokens of a session, of which `token` is the refresh token."""
        access_token, expires_at = self._issuer.access_token(person.user_id, person.role, session_id, now)
        return accounts_pb2.TokenPair(
            access_token=access_token,
            access_expires_at=timestamp(expires_at),
            refresh_token=token,
            refresh_expires_at=timestamp(now + REFRESH_LIFE),
        )


def origin_of(metadata: Callable[[], object]) -> Origin:
    """Return where a request comes from, as far as it says so.

    Args:
        metadata: `invocation_metadata` of its context.
    """
    said = dict(metadata() or ())  # type: ignore[call-overload]  # grpc leaves its metadata untyped
    agent = next((said[name] for name in _USER_AGENT_HEADERS if said.get(name)), "")
    return origin(agent if isinstance(agent, str) else "", auth.client())


def user(person: Person) -> accounts_pb2.User:
    """Return a person as everybody may see them."""
    return accounts_pb2.User(
        user_id=person.user_id,
        username=person.username,
        nickname=person.nickname,
        created_at=timestamp(person.created_at),
    )


def viewer(person: Person) -> accounts_pb2.Viewer:
    """Return a person as they see themselves."""
    verified_at = person.email_verified_at
    return accounts_pb2.Viewer(
        user=user(person),
        email=person.email,
        role=person.role.value,
        email_verified_at=None if verified_at is None else timestamp(verified_at),
        locale=person.locale,
        is_listed=person.is_listed,
    )
