"""Trades refresh tokens, and answers once more who shows one that was traded a moment ago."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from services.social.domain.accounts import REFRESH_LIFE, Person, RefreshVerdict, ShownRefreshToken, judge_refresh
from services.social.domain.ids import SessionId
from services.social.domain.tokens import RefreshChain, hash_refresh_token
from services.social.store import accounts, sessions
from services.social.store.database import Connection


@dataclass(frozen=True, slots=True)
class Refreshed:
    """A session that goes on, and the refresh token that it goes on with."""

    person: Person
    session_id: SessionId
    token: str


async def refresh(
    connection: Connection, chain: RefreshChain, given: str, grace: timedelta, now: datetime
) -> Refreshed | RefreshVerdict:
    """Trade a refresh token, or end its session where it was used before; returns why it is refused.

    Two tabs that share a cookie, or a client whose answer was lost, show a token that was used a moment ago. Within the
    grace they get what it was traded for, as often as they ask, and what that was traded for since.

    Args:
        connection: In a transaction, which must commit also where the answer is a refusal.
        chain: Tells what a token is traded for.
        given: What is shown.
        grace: How long a used token is answered; none makes it a reuse at once.
        now: Time of day.
    """
    token, shown = given, await accounts.lock_refresh_token(connection, hash_refresh_token(given))
    verdict = judge_refresh(shown, now, grace)
    while verdict is RefreshVerdict.RACED:
        following = await _next_of(connection, chain, token)
        if following is None:
            verdict = RefreshVerdict.REUSED
        else:
            token, shown = following
            verdict = judge_refresh(shown, now, grace)
    if shown is None:
        return verdict
    if verdict is RefreshVerdict.REUSED:
        await sessions.end_session(connection, shown.session_id, verdict.value, now)
    person = await accounts.find_person(connection, shown.user_id)
    if verdict is not RefreshVerdict.TRADED or person is None:
        return verdict
    if token == given:
        token = chain.after(given)
        await accounts.trade_refresh_token(
            connection, hash_refresh_token(given), hash_refresh_token(token), shown.session_id, now, now + REFRESH_LIFE
        )
    return Refreshed(person, shown.session_id, token)


async def _next_of(connection: Connection, chain: RefreshChain, token: str) -> tuple[str, ShownRefreshToken] | None:
    """Return what a token was traded for; None where another release, or a key that is gone, made that."""
    for following in chain.all_after(token):
        shown = await accounts.lock_refresh_token(connection, hash_refresh_token(following))
        if shown is not None:
            return following, shown
    return None
