"""Tries are counted in PostgreSQL, by all processes together, and before anything is hashed."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import argon2
import pytest

from museed.social.v1 import accounts_pb2
from services.chassis import auth
from services.chassis.errors import DomainError, InvalidArgument, PermissionDenied, ResourceExhausted, Unauthenticated
from services.social.domain.passwords import PasswordHasher
from services.social.domain.quotas import Quota
from services.social.errors import TooManyAttempts
from services.social.store.database import Database
from services.social.store.quotas import Quotas, delete_over
from tests.integration.social.conftest import TIMEOUT_S, Client, Mesh, Person, Sql
from tests.integration.social.mailbox import log_in, second_process

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def quota(limit: int = 3, scope: str = "test") -> Quota:
    return Quota(scope, limit, timedelta(hours=1), lambda limit, wait: TooManyAttempts(limit, limit, wait))


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def reasons(results: Sequence[object]) -> list[str]:
    return sorted(result.reason for result in results if isinstance(result, DomainError))


async def test_of_many_tries_at_once_exactly_as_many_as_allowed_are_taken(database: Database) -> None:
    counts = Quotas(database, Clock())
    taken = await asyncio.gather(*(counts.has_taken(quota(), "jay") for _ in range(12)))
    assert sum(taken) == 3
    assert await counts.has_taken(quota(), "kim") is True
    assert await counts.has_taken(quota(scope="another"), "jay") is True


async def test_next_window_begins_anew_and_a_good_try_forgets_the_others(database: Database, sql: Sql) -> None:
    clock = Clock()
    counts = Quotas(database, clock)
    for _ in range(3):
        await counts.take(quota(), "jay")
    with pytest.raises(ResourceExhausted):
        await counts.take(quota(), "jay")
    clock.now += timedelta(minutes=56)
    await counts.take(quota(), "jay")
    await counts.forget(quota(), "jay")
    assert await sql.fetchval("SELECT count(*) FROM quota_windows") == 0


async def test_windows_that_are_over_are_swept(database: Database, sql: Sql) -> None:
    clock = Clock()
    counts = Quotas(database, clock)
    await counts.take(quota(), "old")
    await counts.take(quota(scope="another"), "old")
    clock.now += timedelta(hours=1)
    await counts.take(quota(), "new")
    async with database.connection() as connection:
        await delete_over(connection, quota(), clock.now)
    rows = await sql.fetch("SELECT scope FROM quota_windows ORDER BY scope, window_start")
    assert [row["scope"] for row in rows] == ["another", "test"]


async def test_guesses_at_two_processes_are_counted_together_and_not_hashed_beyond(
    mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh.settings = mesh.settings.model_copy(update={"failed_logins_per_window": 3, "failed_login_window_s": 86_400})
    first = await mesh.start()
    second = await second_process(mesh)
    jay = await first.sign_up("jay")
    hashed = 0
    verify = PasswordHasher.verify

    async def counted(self: PasswordHasher, encoded: str | None, password: str) -> bool:
        nonlocal hashed
        hashed += 1
        return await verify(self, encoded, password)

    monkeypatch.setattr(PasswordHasher, "verify", counted)
    guesses = [log_in((first, second)[number % 2], "JAY", "wrong") for number in range(8)]
    results = await asyncio.gather(*guesses, return_exceptions=True)
    assert reasons(results) == ["BAD_CREDENTIALS"] * 3 + ["TOO_MANY_ATTEMPTS"] * 5
    assert hashed == 3
    for client in (first, second):
        with pytest.raises(ResourceExhausted):
            await log_in(client, "jay", jay.password)
    kim = await second.sign_up("kim")
    assert (await log_in(first, "kim", kim.password)).user_id == kim.user_id


async def test_good_log_in_forgets_the_failures_before_it(mesh: Mesh) -> None:
    mesh.settings = mesh.settings.model_copy(update={"failed_logins_per_window": 2})
    social = await mesh.start()
    jay = await social.sign_up("jay")
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            await log_in(social, "jay", "wrong")
        await log_in(social, "jay", jay.password)


async def tried(client: Client, login: str, password: str, network: str) -> str:
    """Log in from a network; returns the reason of the refusal, or nothing."""
    request = accounts_pb2.LogInRequest(login=login, password=password)
    try:
        await client.accounts.LogIn(request, timeout=TIMEOUT_S, metadata=((auth.CLIENT_HEADER, network),))
    except (ResourceExhausted, Unauthenticated) as error:
        return error.reason
    return ""


async def test_nobody_is_locked_out_by_a_stranger_elsewhere_unless_by_many(mesh: Mesh) -> None:
    mesh.settings = mesh.settings.model_copy(update={"failed_logins_per_window": 1, "failed_login_window_s": 86_400})
    social = await mesh.start()
    jay = await social.sign_up("jay")
    assert await tried(social, "jay", "wrong", "192.0.2.0/24") == "BAD_CREDENTIALS"
    assert await tried(social, "jay", jay.password, "192.0.2.0/24") == "TOO_MANY_ATTEMPTS"
    assert await tried(social, "jay", jay.password, "198.51.100.0/24") == ""
    told = [await tried(social, "jay", "wrong", f"10.0.{number}.0/24") for number in range(12)]
    assert told == ["BAD_CREDENTIALS"] * 10 + ["TOO_MANY_ATTEMPTS"] * 2
    assert await tried(social, "jay", jay.password, "198.51.100.0/24") == "TOO_MANY_ATTEMPTS"


async def test_one_network_may_not_try_a_password_on_everybody(mesh: Mesh) -> None:
    changes = {"log_ins_per_client_and_window": 3, "failed_login_window_s": 86_400}
    mesh.settings = mesh.settings.model_copy(update=changes)
    social = await mesh.start()
    jay = await social.sign_up("jay")
    told = [await tried(social, f"person-{number}", "password 1", "192.0.2.0/24") for number in range(2)]
    assert told == ["BAD_CREDENTIALS"] * 2
    # A good one in between buys no more of them.
    assert await tried(social, "jay", jay.password, "192.0.2.0/24") == ""
    assert await tried(social, "person-3", "password 1", "192.0.2.0/24") == "TOO_MANY_ATTEMPTS"
    assert await tried(social, "jay", jay.password, "198.51.100.0/24") == ""


async def test_sign_ups_at_once_with_one_name_under_a_quota_make_one_account(mesh: Mesh, sql: Sql) -> None:
    mesh.settings = mesh.settings.model_copy(update={"sign_ups_per_hour": 3})
    first = await mesh.start()
    second = await second_process(mesh)
    results = await asyncio.gather(
        *((first, second)[number % 2].sign_up("same") for number in range(7)), return_exceptions=True
    )
    assert len([result for result in results if isinstance(result, Person)]) == 1
    assert reasons(results).count("SIGN_UP_QUOTA_REACHED") == 4
    assert set(reasons(results)) <= {"SIGN_UP_QUOTA_REACHED", "USERNAME_TAKEN", "EMAIL_TAKEN"}
    assert await sql.fetchval("SELECT count(*) FROM users") == 1
    assert await sql.fetchval("SELECT count(*) FROM sessions") == 1


async def test_sign_ups_of_one_network_leave_places_for_others(
    mesh: Mesh, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh.settings = mesh.settings.model_copy(update={"sign_ups_per_client_and_hour": 1, "sign_ups_per_hour": 3})
    social = await mesh.start()

    async def sign_up(name: str, network: str) -> None:
        request = accounts_pb2.SignUpRequest(username=name, email=f"{name}@example.org", password="long enough")
        metadata = ((auth.CLIENT_HEADER, network),) if network else None
        await social.accounts.SignUp(request, timeout=TIMEOUT_S, metadata=metadata)

    await sign_up("first", "192.0.2.0/24")
    monkeypatch.setattr(PasswordHasher, "hash", None)
    with pytest.raises(ResourceExhausted) as refusal:
        await sign_up("second", "192.0.2.0/24")
    assert (refusal.value.reason, refusal.value.limit) == ("SIGN_UP_QUOTA_REACHED", "1")
    assert refusal.value.retry_after_ms is not None
    assert 0 < refusal.value.retry_after_ms <= 3_600_001
    monkeypatch.undo()
    await sign_up("third", "198.51.100.0/24")
    await sign_up("fourth", "")
    with pytest.raises(ResourceExhausted):
        await sign_up("fifth", "")
    assert await sql.fetchval("SELECT count(*) FROM users") == 3


async def test_common_password_is_refused_before_it_counts(social: Client, sql: Sql) -> None:
    for password in ("iloveyou", "jay.yoon", "jay@example.org"):
        request = accounts_pb2.SignUpRequest(username="Jay.Yoon", email="jay@example.org", password=password)
        with pytest.raises(InvalidArgument) as refusal:
            await social.accounts.SignUp(request, timeout=TIMEOUT_S)
        assert (refusal.value.reason, refusal.value.field) == ("PASSWORD_COMMON", "password")
    assert await sql.fetchval("SELECT count(*) FROM users") == 0
    assert await sql.fetchval("SELECT count(*) FROM quota_windows") == 0


async def test_suspended_and_deleted_people_cannot_log_in(social: Client, sql: Sql) -> None:
    jay = await social.sign_up("jay")
    await sql.execute("UPDATE users SET suspended_at = now()")
    with pytest.raises(PermissionDenied) as refusal:
        await log_in(social, "jay", jay.password)
    assert refusal.value.reason == "ACCOUNT_SUSPENDED"
    # Who does not know the password does not learn of it.
    with pytest.raises(Unauthenticated):
        await log_in(social, "jay", "wrong")
    await sql.execute("UPDATE users SET suspended_at = NULL, deleted_at = now()")
    with pytest.raises(PermissionDenied):
        await log_in(social, "jay", jay.password)
    assert await sql.fetchval("SELECT count(*) FROM sessions") == 1
    await sql.execute("UPDATE users SET deleted_at = NULL")
    await log_in(social, "jay", jay.password)


async def test_suspension_between_password_and_session_is_noticed(
    social: Client, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    jay = await social.sign_up("jay")

    async def suspended(self: PasswordHasher, encoded: str, password: str) -> None:
        await sql.execute("UPDATE users SET suspended_at = now()")

    monkeypatch.setattr(PasswordHasher, "renewed", suspended)
    with pytest.raises(PermissionDenied) as refusal:
        await log_in(social, "jay", jay.password)
    assert refusal.value.reason == "ACCOUNT_SUSPENDED"
    assert await sql.fetchval("SELECT count(*) FROM sessions") == 1


async def test_hash_with_other_parameters_is_made_anew_at_log_in(social: Client, sql: Sql) -> None:
    jay = await social.sign_up("jay")
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash(jay.password)
    await sql.execute("UPDATE users SET password_hash = $1", weak)
    await asyncio.gather(*(log_in(social, "jay", jay.password) for _ in range(2)))
    renewed = await sql.fetchval("SELECT password_hash FROM users")
    assert renewed.startswith("$argon2id$v=19$m=64,t=1,p=1$")
    await log_in(social, "jay", jay.password)
    assert await sql.fetchval("SELECT password_hash FROM users") == renewed
