"""Idempotency keys: the same key with the same request is the same result."""

import hashlib
import json
from datetime import timedelta

from services.social.domain import fields

LONGEST_KEY = 200
IDEMPOTENCY_LIFE = timedelta(hours=24)


def check_key(key: str) -> str:
    """Check an idempotency key.

    Raises:
        Missing, OutOfRange: Empty or longer than 200 characters.
    """
    return fields.line(key, "idempotency_key", longest=LONGEST_KEY, is_required=True)


def digest_of(**said: object) -> bytes:
    """Return a digest, 32 bytes, that is the same for the same request.

    Args:
        said: What the request says, checked and without its key; values of JSON.
    """
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).digest()
