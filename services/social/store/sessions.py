"""Rows of sessions as their person sees them, and their ends, which are told in the same transaction.

Locked in the order users → sessions → api_tokens.
"""

from datetime import datetime

from services.social import events
from services.social.domain.ids import SessionId, UserId
from services.social.domain.sessions import Ending, Origin, Session, SessionKind
from services.social.store import accounts, outbox
from services.social.store.database import Connection

LIST_SESSIONS = """
SELECT session_id, kind, user_agent, client, created_at, seen_at
FROM sessions
WHERE user_id = $1 AND revoked_at IS NULL AND expires_at > $2 AND ($3::uuid IS NULL OR session_id < $3)
ORDER BY session_id DESC
LIMIT $4
"""
IS_OWN = "SELECT EXISTS (SELECT FROM sessions WHERE session_id = $1 AND user_id = $2)"
END_SESSIONS = """
UPDATE sessions SET revoked_at = $2, revoked_because = $3
WHERE user_id = $1 AND revoked_at IS NULL AND kind = ANY ($4::text[]) AND ($5::uuid IS NULL OR session_id <> $5)
RETURNING session_id
"""
# An API token holds as long as its session.
REVOKE_TOKENS_OF_SESSIONS = """
UPDATE api_tokens SET revoked_at = $2 WHERE session_id = ANY ($1::uuid[]) AND revoked_at IS NULL
"""


async def living_sessions(
    connection: Connection, user_id: UserId, now: datetime, before: SessionId | None, limit: int
) -> list[Session]:
    """List a person's sessions that have not ended, newest first, those older than `before`."""
    rows = await connection.fetch(LIST_SESSIONS, user_id, now, before, limit)
    return [
        Session(
            SessionId(row["session_id"]),
            SessionKind(row["kind"]),
            Origin(row["user_agent"], row["client"]),
            row["created_at"],
            row["seen_at"],
        )
        for row in rows
    ]


async def is_own(connection: Connection, session_id: SessionId, user_id: UserId) -> bool:
    """Say whether a session is this person's, whether or not it has ended."""
    return bool(await connection.fetchval(IS_OWN, session_id, user_id))


async def end_session(connection: Connection, session_id: SessionId, because: str, now: datetime) -> None:
    """End a session, with the API token that it stands for, and tell it; one that has ended stays as it is."""
    if await accounts.revoke_session(connection, session_id, because, now):
        await connection.execute(REVOKE_TOKENS_OF_SESSIONS, [session_id], now)
        await outbox.add(connection, events.session_revoked(session_id, now))


async def end_sessions_of(
    connection: Connection,
    user_id: UserId,
    because: Ending,
    now: datetime,
    *,
    kinds: tuple[SessionKind, ...] = tuple(SessionKind),
    but: SessionId | None = None,
) -> int:
    """End a person's sessions, whose row is locked, and tell it.

    Args:
        connection: Inside of a transaction.
        user_id: The person.
        because: Why.
        now: Aware.
        kinds: Which of them; API tokens end with their sessions.
        but: One that goes on.

    Returns:
        How many ended.
    """
    rows = await connection.fetch(END_SESSIONS, user_id, now, because.value, [kind.value for kind in kinds], but)
    ended = [SessionId(row["session_id"]) for row in rows]
    await connection.execute(REVOKE_TOKENS_OF_SESSIONS, ended, now)
    await outbox.add(connection, *(events.session_revoked(session_id, now) for session_id in ended))
    return len(ended)
