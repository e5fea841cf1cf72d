"""Passwords: hashed off the loop, bounded, equally slow for nobody."""

import asyncio

import pytest

from services.chassis.errors import ResourceExhausted
from services.social.domain.passwords import PasswordHasher


async def test_password_matches_its_own_hash_only() -> None:
    hasher = PasswordHasher(1, 4)
    encoded = await hasher.hash("correct horse")
    assert encoded.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await hasher.verify(encoded, "correct horse") is True
    assert await hasher.verify(encoded, "battery staple") is False
    assert await hasher.verify("not a hash", "correct horse") is False
    hasher.close()


async def test_nobody_never_matches_even_with_the_stand_in() -> None:
    hasher = PasswordHasher(1, 4)
    for encoded in (None, ""):  # the latter is what somebody has who left
        assert await hasher.verify(encoded, "nobody") is False
    hasher.close()


async def test_full_queue_rejects_with_resource_exhausted() -> None:
    hasher = PasswordHasher(1, 1)
    waiting = [asyncio.create_task(hasher.hash("a")) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(ResourceExhausted) as refusal:
        await hasher.hash("a")
    assert (refusal.value.reason, refusal.value.limit, refusal.value.retry_after_ms) == ("OVERLOADED", "2", 1_000)
    await asyncio.gather(*waiting)
    assert await hasher.verify(await hasher.hash("b"), "b") is True
    hasher.close()
