"""What a person may change of their own row: password, address, profile. Who changes it has locked the row."""

from datetime import datetime

import asyncpg

from services.social.domain.accounts import Login, Person, ProfileEdit, folded
from services.social.domain.ids import UserId
from services.social.errors import NameTaken
from services.social.store import accounts
from services.social.store.database import Connection

# Nothing is found where the password was changed since it was read. Another hash of the same one does not matter.
LOCK_PASSWORD = """
SELECT user_id FROM users WHERE user_id = $1 AND password_changed_at IS NOT DISTINCT FROM $2 FOR NO KEY UPDATE
"""
RENEW_HASH = "UPDATE users SET password_hash = $2 WHERE user_id = $1"
SET_PASSWORD = """
UPDATE users SET password_hash = $2, password_changed_at = $3, updated_at = $3 WHERE user_id = $1
"""
SET_EMAIL = """
UPDATE users SET email = $2, email_key = $3, email_verified_at = $4, updated_at = $4 WHERE user_id = $1
"""
VERIFY_EMAIL = """
UPDATE users SET email_verified_at = $3, updated_at = $3
WHERE user_id = $1 AND email_key = $2 AND email_verified_at IS NULL
RETURNING user_id
"""
UPDATE_PROFILE = """
UPDATE users
SET nickname = coalesce($2, nickname), locale = coalesce($3, locale), is_listed = coalesce($4, is_listed),
    updated_at = $5
WHERE user_id = $1
"""
SELECT_BY_EMAIL = f"SELECT {accounts.PERSON} FROM users WHERE email_key = $1"


async def has_locked(connection: Connection, login: Login) -> bool:
    """Lock a person's row, and say whether the password is still the one that was verified."""
    return await connection.fetchval(LOCK_PASSWORD, login.person.user_id, login.changed_at) is not None


async def renew_hash(connection: Connection, user_id: UserId, password_hash: str) -> None:
    """Keep another hash of the same password."""
    await connection.execute(RENEW_HASH, user_id, password_hash)


async def set_password(connection: Connection, user_id: UserId, password_hash: str, now: datetime) -> None:
    """Keep another password."""
    await connection.execute(SET_PASSWORD, user_id, password_hash, now)


async def set_email(connection: Connection, user_id: UserId, email: str, now: datetime) -> None:
    """Put a verified address in the place of the old one.

    Raises:
        NameTaken: Somebody else has it by now.
    """
    try:
        await connection.execute(SET_EMAIL, user_id, email, folded(email), now)
    except asyncpg.UniqueViolationError as error:
        raise NameTaken("email", email) from error


async def has_verified_email(connection: Connection, user_id: UserId, email: str, now: datetime) -> bool:
    """Note that an address was proved; say whether it is the person's and was not verified before."""
    return await connection.fetchval(VERIFY_EMAIL, user_id, folded(email), now) is not None


async def update_profile(connection: Connection, user_id: UserId, edit: ProfileEdit, now: datetime) -> None:
    """Change what an edit names."""
    await connection.execute(UPDATE_PROFILE, user_id, edit.nickname, edit.locale, edit.is_listed, now)


async def find_by_email(connection: Connection, email: str) -> Person | None:
    """Return who has an address, whatever its case."""
    row = await connection.fetchrow(SELECT_BY_EMAIL, folded(email))
    return None if row is None else accounts.person_of(row)
