"""Rows of mails that are to be sent, and of the tokens in their links."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.social.domain.accounts import Person
from services.social.domain.ids import MailId, MailTokenId, UserId, new_id
from services.social.domain.mail_tokens import LIFE, MailTokens, Purpose, hash_mail_token
from services.social.mail.texts import MailKind
from services.social.store.batches import delete_all, some_of
from services.social.store.database import Connection

INSERT_MAIL = """
INSERT INTO mails (mail_id, user_id, token_id, kind, to_address, run_after) VALUES ($1, $2, $3, $4, $5, $6)
"""
INSERT_TOKEN = """
INSERT INTO mail_tokens (token_id, token_hash, user_id, purpose, email, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
# A sender that dies gives its mails back when the lease is over.
CLAIM_MAILS = """
WITH due AS (
    SELECT mail_id FROM mails WHERE run_after <= $1 ORDER BY run_after LIMIT $3 FOR UPDATE SKIP LOCKED
)
UPDATE mails SET attempts = attempts + 1, run_after = $2 FROM due WHERE mails.mail_id = due.mail_id
RETURNING mails.mail_id
"""
SELECT_MAILS = """
SELECT mail.mail_id, mail.user_id, mail.kind, mail.to_address, mail.attempts, mail.token_id,
    token.token_hash, token.expires_at, token.used_at, person.username, person.locale
FROM mails AS mail
    LEFT JOIN users AS person ON person.user_id = mail.user_id
    LEFT JOIN mail_tokens AS token ON token.token_id = mail.token_id
WHERE mail.mail_id = ANY ($1::uuid[])
ORDER BY mail.mail_id
"""
# The address becomes that of the account: what was typed may be another one that only compares alike.
NAME_MAIL = """
UPDATE mails SET user_id = $2, to_address = $3, token_id = $4 WHERE mail_id = $1 AND user_id IS NULL
RETURNING mail_id
"""
DELAY_MAIL = "UPDATE mails SET run_after = $2, failure = $3 WHERE mail_id = $1"
DELETE_MAIL = "DELETE FROM mails WHERE mail_id = $1"

OWNER_OF_TOKEN = """
SELECT user_id FROM mail_tokens
WHERE token_hash = $1 AND purpose = ANY ($2::text[]) AND used_at IS NULL AND expires_at > $3
"""
USE_TOKEN = """
UPDATE mail_tokens SET used_at = $3
WHERE token_hash = $1 AND purpose = ANY ($2::text[]) AND used_at IS NULL AND expires_at > $3
RETURNING purpose, email
"""
USE_UP_TOKENS = "UPDATE mail_tokens SET used_at = $2 WHERE user_id = $1 AND used_at IS NULL"
DELETE_EXPIRED_TOKENS = some_of("mail_tokens", "expires_at <= $1")


@dataclass(frozen=True, slots=True)
class OutgoingMail:
    """A mail that a sender has claimed.

    Attributes:
        mail_id: The mail.
        user_id: Whose; None where nobody has looked yet.
        kind: What it is about.
        to_address: Where to.
        attempts: Tries, this one included.
        token_id: Of its link; None without one.
        token_hash: Of its link; empty without one.
        does_link_hold: Whether its link has neither expired nor been used; True without one.
        username: Of the person; empty where nobody has looked yet.
        locale: Of the person.
    """

    mail_id: MailId
    user_id: UserId | None
    kind: MailKind
    to_address: str
    attempts: int
    token_id: MailTokenId | None
    token_hash: bytes
    does_link_hold: bool
    username: str
    locale: str


async def promise(
    connection: Connection,
    kind: MailKind,
    to_address: str,
    now: datetime,
    user_id: UserId | None,
    token_id: MailTokenId | None = None,
) -> None:
    """Promise a mail in the caller's transaction."""
    await connection.execute(INSERT_MAIL, new_id(), user_id, token_id, kind.value, to_address, now)


async def promise_link(
    connection: Connection, tokens: MailTokens, purpose: Purpose, user_id: UserId, to_address: str, now: datetime
) -> None:
    """Promise a mail with a link in the caller's transaction."""
    token_id = await insert_token(connection, tokens, purpose, user_id, to_address, now)
    await promise(connection, MailKind(purpose.value), to_address, now, user_id, token_id)


async def insert_token(
    connection: Connection, tokens: MailTokens, purpose: Purpose, user_id: UserId, email: str, now: datetime
) -> MailTokenId:
    """Add the token of a link that proves an address."""
    token_id = MailTokenId(new_id())
    token_hash = hash_mail_token(tokens.make(token_id))
    await connection.execute(
        INSERT_TOKEN, token_id, token_hash, user_id, purpose.value, email, now, now + LIFE[purpose]
    )
    return token_id


async def claim(connection: Connection, now: datetime, lease_ends_at: datetime, limit: int) -> list[MailId]:
    """Claim mails that are due, the longest due first; nobody else sends them before the lease ends."""
    return [MailId(row["mail_id"]) for row in await connection.fetch(CLAIM_MAILS, now, lease_ends_at, limit)]


async def read(connection: Connection, mail_ids: Sequence[MailId], now: datetime) -> list[OutgoingMail]:
    """Return mails with what is known of their people and links."""
    return [
        OutgoingMail(
            MailId(row["mail_id"]),
            None if row["user_id"] is None else UserId(row["user_id"]),
            MailKind(row["kind"]),
            row["to_address"],
            row["attempts"],
            None if row["token_id"] is None else MailTokenId(row["token_id"]),
            row["token_hash"] or b"",
            row["token_id"] is None or (row["used_at"] is None and row["expires_at"] > now),
            row["username"] or "",
            row["locale"] or "en",
        )
        for row in await connection.fetch(SELECT_MAILS, mail_ids)
    ]


async def has_named(connection: Connection, mail_id: MailId, person: Person, token_id: MailTokenId) -> bool:
    """Note whose a mail is, and its link; say whether nobody had done so before."""
    return await connection.fetchval(NAME_MAIL, mail_id, person.user_id, person.email, token_id) is not None


async def delay(connection: Connection, mail_id: MailId, until: datetime, failure: str) -> None:
    """Try a mail again later."""
    await connection.execute(DELAY_MAIL, mail_id, until, failure[:500])


async def delete(connection: Connection, mail_id: MailId) -> None:
    """Forget a mail that was sent or given up."""
    await connection.execute(DELETE_MAIL, mail_id)


async def owner_of_token(
    connection: Connection, token_hash: bytes, purposes: Sequence[Purpose], now: datetime
) -> UserId | None:
    """Return who may use a link's token, without using it."""
    found = await connection.fetchval(OWNER_OF_TOKEN, token_hash, [purpose.value for purpose in purposes], now)
    return None if found is None else UserId(found)


async def use_token(
    connection: Connection, token_hash: bytes, purposes: Sequence[Purpose], now: datetime
) -> tuple[Purpose, str] | None:
    """Use a link's token, whose person's row is locked; return its purpose and address, None where it does not hold."""
    row = await connection.fetchrow(USE_TOKEN, token_hash, [purpose.value for purpose in purposes], now)
    return None if row is None else (Purpose(row["purpose"]), row["email"])


async def use_up_tokens(connection: Connection, user_id: UserId, now: datetime) -> None:
    """Make every link void that a person was sent."""
    await connection.execute(USE_UP_TOKENS, user_id, now)


async def delete_expired_tokens(connection: Connection, now: datetime) -> None:
    """Forget tokens whose time is over."""
    await delete_all(connection, DELETE_EXPIRED_TOKENS, now)
