"""Asks callers for their own password, where a session alone does not do."""

from services.social.domain.accounts import LONGEST_PASSWORD, Login
from services.social.domain.passwords import PasswordHasher
from services.social.domain.quotas import Quota
from services.social.errors import BadCredentials
from services.social.store.quotas import Quotas


class PasswordProof:
    """Checks passwords of people who are logged in.

    Args:
        hasher: Verifies.
        counts: Of tries.
        guesses: How many failed ones there may be.
    """

    def __init__(self, hasher: PasswordHasher, counts: Quotas, guesses: Quota) -> None:
        self._hasher = hasher
        self._counts = counts
        self._guesses = guesses

    async def check(self, login: Login, password: str, field: str = "password") -> None:
        """Check the caller's own password, before which the try is counted.

        Whoever acts on it looks again under the lock of the person (`store/credentials.py: has_locked`).

        Raises:
            TooManyAttempts, BadCredentials: It was wrong too often, or is.
        """
        user_id = login.person.user_id
        await self._counts.take(self._guesses, user_id)
        # One more than the longest: what is cut off can never match.
        if not await self._hasher.verify(login.password_hash, password[: LONGEST_PASSWORD + 1]):
            raise BadCredentials(field)
        await self._counts.forget(self._guesses, user_id)
