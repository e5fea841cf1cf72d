"""Passwords: hashed off the loop, bounded, equally slow for nobody; guessing is slowed down."""

import asyncio

import pytest

from services.chassis.errors import ResourceExhausted
from services.social.passwords import FailedLogins, PasswordHasher


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
    assert await hasher.verify(None, "nobody") is False
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


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_failures_beyond_the_limit_are_refused_until_the_window_ends() -> None:
    clock = Clock()
    failed = FailedLogins(3, 60.0, clock)
    for _ in range(3):
        failed.check("jay")
        failed.failed("jay")
    clock.now += 20
    with pytest.raises(ResourceExhausted) as refusal:
        failed.check("jay")
    assert (refusal.value.reason, refusal.value.limit) == ("TOO_MANY_ATTEMPTS", "3")
    assert refusal.value.retry_after_ms == 40_001
    failed.check("somebody else")
    clock.now += 40
    failed.check("jay")


def test_success_forgets_failures() -> None:
    failed = FailedLogins(2, 60.0, Clock())
    failed.failed("jay")
    failed.succeeded("jay")
    failed.failed("jay")
    failed.check("jay")


def test_only_so_many_logins_are_remembered() -> None:
    failed = FailedLogins(1, 60.0, Clock(), capacity=2)
    for login in ("a", "b", "c"):
        failed.failed(login)
    failed.check("a")
    with pytest.raises(ResourceExhausted):
        failed.check("c")
