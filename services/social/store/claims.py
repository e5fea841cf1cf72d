"""Idempotency keys of one request: claimed in the transaction that makes what it asks for."""

from dataclasses import dataclass
from datetime import datetime

from services.social.domain.idempotency import IDEMPOTENCY_LIFE
from services.social.domain.ids import UserId
from services.social.errors import IdempotencyKeyReused
from services.social.store import idempotency
from services.social.store.database import Connection


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request with an idempotency key asks for.

    Attributes:
        user_id: Whose key.
        operation: The RPC.
        key: As checked.
        digest: Of the request.
    """

    user_id: UserId
    operation: str
    key: str
    digest: bytes

    async def bind(self, connection: Connection, result_id: str, now: datetime) -> str:
        """Bind the key to what the request makes.

        Returns:
            `result_id`, or what the key made before.

        Raises:
            IdempotencyKeyReused: It came with another request.
        """
        digest, known_id = await idempotency.claim_key(
            connection, self.user_id, self.operation, self.key, self.digest, result_id, now, now + IDEMPOTENCY_LIFE
        )
        if digest != self.digest:
            raise IdempotencyKeyReused(self.key)
        return known_id
