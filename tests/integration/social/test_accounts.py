"""Accounts over a real socket: names, founders, sessions that rotate, and what ends them."""

import asyncio
import contextlib
import hashlib
from datetime import UTC, datetime

import pytest

from museed.social.v1 import accounts_pb2, events_pb2
from services.chassis.bus import Bus
from services.chassis.errors import AlreadyExists, DomainError, ResourceExhausted, Unauthenticated
from services.social.domain.accounts import NewAccount, Person
from services.social.domain.ids import UserId, new_id
from services.social.store import accounts
from services.social.store.database import Database
from tests.conftest import free_port
from tests.integration.social.conftest import TIMEOUT_S, Client, Mesh, Sql, until
from tests.integration.social.conftest import Person as LoggedIn


async def log_in(social: Client, login: str, password: str) -> accounts_pb2.LogInResponse:
    return await social.accounts.LogIn(accounts_pb2.LogInRequest(login=login, password=password), timeout=TIMEOUT_S)


async def let_grace_pass(sql: Sql) -> None:
    await sql.execute("UPDATE refresh_tokens SET used_at = used_at - interval '10 seconds'")


async def refresh(social: Client, token: str) -> accounts_pb2.RefreshSessionResponse:
    request = accounts_pb2.RefreshSessionRequest(refresh_token=token)
    return await social.accounts.RefreshSession(request, timeout=TIMEOUT_S)


async def view(social: Client, access_token: str) -> accounts_pb2.Viewer:
    metadata = (("authorization", f"Bearer {access_token}"),)
    answer = await social.accounts.GetViewer(accounts_pb2.GetViewerRequest(), timeout=TIMEOUT_S, metadata=metadata)
    return answer.viewer


async def test_first_account_is_admin_and_others_are_users(social: Client) -> None:
    first, second = await social.sign_up("first"), await social.sign_up("second")
    assert (await view(social, first.access_token)).role == "admin"
    seen = await view(social, second.access_token)
    assert (seen.role, seen.email, seen.user.username, seen.user.nickname, seen.user.user_id) == (
        "user",
        "second@example.org",
        "second",
        "second",
        second.user_id,
    )


@pytest.mark.parametrize(("does_first_commit", "second_role"), [(True, "user"), (False, "admin")])
async def test_of_two_first_sign_ups_at_once_one_is_admin(
    database: Database, does_first_commit: bool, second_role: str
) -> None:
    """The second waits for the first's end, and becomes admin only where there was no first in the end."""

    async def sign_up(name: str) -> Person:
        async with database.transaction() as connection:
            account = NewAccount(name, name, f"{name}@example.org")
            return await accounts.insert_user(connection, UserId(new_id()), account, "hash", datetime.now(UTC))

    with contextlib.suppress(ZeroDivisionError):
        async with database.transaction() as connection:
            account = NewAccount("first", "first", "first@example.org")
            first = await accounts.insert_user(connection, UserId(new_id()), account, "hash", datetime.now(UTC))
            second = asyncio.create_task(sign_up("second"))
            done, _ = await asyncio.wait({second}, timeout=0.2)
            assert done == set()
            if not does_first_commit:
                raise ZeroDivisionError
    assert (first.role, (await second).role) == ("admin", second_role)


async def test_founder_whose_sign_up_fails_leaves_the_place_free(social: Client, sql: Sql) -> None:
    await sql.execute(
        "INSERT INTO users VALUES (gen_random_uuid(), 'x', 'taken', 'x', 'x', 'x', 'user', '', now(), now())"
    )
    with pytest.raises(AlreadyExists):
        await social.sign_up("Taken")
    person = await social.sign_up("free")
    assert (await view(social, person.access_token)).role == "admin"


@pytest.mark.parametrize(
    ("username", "email", "reason", "field"),
    [
        ("JAY", "other@example.org", "USERNAME_TAKEN", "username"),
        ("other", "JAY@example.ORG", "EMAIL_TAKEN", "email"),
    ],
)
async def test_names_are_unique_whatever_their_case(
    social: Client, sql: Sql, username: str, email: str, reason: str, field: str
) -> None:
    await social.sign_up("jay")
    request = accounts_pb2.SignUpRequest(username=username, email=email, password="long enough")
    with pytest.raises(AlreadyExists) as refusal:
        await social.accounts.SignUp(request, timeout=TIMEOUT_S)
    assert (refusal.value.reason, refusal.value.field) == (reason, field)
    assert await sql.fetchval("SELECT count(*) FROM users") == 1
    assert await sql.fetchval("SELECT count(*) FROM sessions") == 1


async def test_of_two_sign_ups_with_one_name_at_once_one_wins(social: Client, sql: Sql) -> None:
    results = await asyncio.gather(*(social.sign_up("same") for _ in range(4)), return_exceptions=True)
    assert len([result for result in results if isinstance(result, LoggedIn)]) == 1
    assert {result.reason for result in results if isinstance(result, DomainError)} <= {
        "USERNAME_TAKEN",
        "EMAIL_TAKEN",
    }
    assert await sql.fetchval("SELECT count(*) FROM users") == 1


async def test_secrets_are_kept_as_digests_only(social: Client, sql: Sql) -> None:
    person = await social.sign_up("jay")
    encoded = await sql.fetchval("SELECT password_hash FROM users")
    assert encoded.startswith("$argon2id$")
    hashes = [row["token_hash"] for row in await sql.fetch("SELECT token_hash FROM refresh_tokens")]
    assert hashes == [hashlib.sha256(person.refresh_token.encode()).digest()]


async def test_log_in_by_name_or_address_whatever_the_case(social: Client) -> None:
    person = await social.sign_up("jay")
    for login in ("Jay", "JAY@example.org", " jay "):
        answer = await log_in(social, login, person.password)
        assert answer.viewer.user.user_id == person.user_id
        assert (await view(social, answer.tokens.access_token)).user.username == "jay"


async def test_unknown_person_and_wrong_password_get_the_same_answer(social: Client) -> None:
    person = await social.sign_up("jay")
    told = []
    for login, password in (
        ("jay", "wrong"),
        ("nobody", person.password),
        ("jay", "x" * 5_000),
        ("", ""),
        ("\0", "\0"),
    ):
        with pytest.raises(Unauthenticated) as refusal:
            await log_in(social, login, password)
        told.append((refusal.value.reason, refusal.value.message, refusal.value.metadata))
    assert told == [("BAD_CREDENTIALS", "login or password is wrong", {})] * 5


async def test_guessing_is_refused_before_hashing_and_others_are_let_in(mesh: Mesh) -> None:
    mesh.settings = mesh.settings.model_copy(update={"failed_logins_per_window": 3})
    social = await mesh.start()
    jay, kim = await social.sign_up("jay"), await social.sign_up("kim")
    for _ in range(3):
        with pytest.raises(Unauthenticated):
            await log_in(social, "jay", "wrong")
    with pytest.raises(ResourceExhausted) as refusal:
        await log_in(social, "JAY", jay.password)
    assert (refusal.value.reason, refusal.value.limit) == ("TOO_MANY_ATTEMPTS", "3")
    assert refusal.value.retry_after_ms is not None
    assert 0 < refusal.value.retry_after_ms <= 300_001
    await log_in(social, "kim", kim.password)


@pytest.mark.usefixtures("dear_passwords")
async def test_too_many_passwords_at_once_are_refused_and_leave_nothing(mesh: Mesh, sql: Sql) -> None:
    mesh.settings = mesh.settings.model_copy(update={"password_concurrency": 1, "password_queue_size": 1})
    social = await mesh.start()
    results = await asyncio.gather(*(social.sign_up(f"person{number}") for number in range(8)), return_exceptions=True)
    refusals = [result for result in results if isinstance(result, ResourceExhausted)]
    assert {refusal.reason for refusal in refusals} == {"OVERLOADED"}
    assert len([result for result in results if isinstance(result, LoggedIn)]) == 8 - len(refusals)
    assert await sql.fetchval("SELECT count(*) FROM users") == 8 - len(refusals)


async def test_refresh_rotates_and_the_new_token_goes_on(social: Client) -> None:
    person = await social.sign_up()
    second = await refresh(social, person.refresh_token)
    third = await refresh(social, second.tokens.refresh_token)
    assert len({person.refresh_token, second.tokens.refresh_token, third.tokens.refresh_token}) == 3
    assert (await view(social, third.tokens.access_token)).user.user_id == person.user_id


async def test_reuse_of_an_old_token_ends_the_session_everywhere(social: Client, mesh: Mesh, sql: Sql) -> None:
    person, bystander = await social.sign_up(), await social.sign_up()
    second = await refresh(social, person.refresh_token)
    await let_grace_pass(sql)
    with pytest.raises(Unauthenticated) as refusal:
        await refresh(social, person.refresh_token)
    assert refusal.value.reason == "REFRESH_TOKEN_REUSED"
    with pytest.raises(Unauthenticated) as refusal:
        await refresh(social, second.tokens.refresh_token)
    assert refusal.value.reason == "SESSION_REVOKED"
    ended = await social.accounts.ListRevokedSessions(accounts_pb2.ListRevokedSessionsRequest(), timeout=TIMEOUT_S)
    assert len(ended.session_ids) == 1

    async def is_access_over() -> bool:
        try:
            await view(social, second.tokens.access_token)
        except Unauthenticated as error:
            return error.reason == "SESSION_REVOKED"
        return False

    await until(is_access_over)
    assert (await view(social, bystander.access_token)).user.user_id == bystander.user_id
    bus = await mesh.bus("social")
    event = events_pb2.SessionRevoked.FromString(await last_message(bus, "museed.social.v1.session_revoked"))
    assert event.session_id == ended.session_ids[0]


async def test_who_refresh_with_one_token_at_once_go_on_with_the_same_one(social: Client, sql: Sql) -> None:
    person = await social.sign_up()
    results = await asyncio.gather(*(refresh(social, person.refresh_token) for _ in range(4)))
    (token,) = {result.tokens.refresh_token for result in results}
    assert await sql.fetchval("SELECT count(*) FROM refresh_tokens") == 2
    for result in results:
        assert (await view(social, result.tokens.access_token)).user.user_id == person.user_id
    assert (await refresh(social, token)).tokens.refresh_token != token


async def test_an_answer_that_was_lost_is_given_again_with_what_came_since(social: Client, sql: Sql) -> None:
    person = await social.sign_up()
    second = (await refresh(social, person.refresh_token)).tokens.refresh_token
    assert (await refresh(social, person.refresh_token)).tokens.refresh_token == second
    third = (await refresh(social, second)).tokens.refresh_token
    assert (await refresh(social, person.refresh_token)).tokens.refresh_token == third
    await let_grace_pass(sql)
    with pytest.raises(Unauthenticated) as refusal:
        await refresh(social, person.refresh_token)
    assert refusal.value.reason == "REFRESH_TOKEN_REUSED"
    with pytest.raises(Unauthenticated) as refusal:
        await refresh(social, third)
    assert refusal.value.reason == "SESSION_REVOKED"


async def test_what_another_release_traded_a_token_for_cannot_be_told_again(social: Client, sql: Sql) -> None:
    person = await social.sign_up()
    await refresh(social, person.refresh_token)
    await sql.execute("UPDATE refresh_tokens SET token_hash = sha256('random') WHERE used_at IS NULL")
    with pytest.raises(Unauthenticated) as refusal:
        await refresh(social, person.refresh_token)
    assert refusal.value.reason == "REFRESH_TOKEN_REUSED"


async def test_without_a_grace_a_second_use_ends_the_session(mesh: Mesh) -> None:
    mesh.settings = mesh.settings.model_copy(update={"refresh_grace_s": 0})
    social = await mesh.start()
    person = await social.sign_up()
    await refresh(social, person.refresh_token)
    with pytest.raises(Unauthenticated) as refusal:
        await refresh(social, person.refresh_token)
    assert refusal.value.reason == "REFRESH_TOKEN_REUSED"


async def test_unknown_and_expired_refresh_tokens_are_refused(social: Client, sql: Sql) -> None:
    person = await social.sign_up()
    with pytest.raises(Unauthenticated) as refusal:
        await refresh(social, "never issued")
    assert refusal.value.reason == "REFRESH_TOKEN_INVALID"
    await sql.execute("UPDATE refresh_tokens SET expires_at = now()")
    with pytest.raises(Unauthenticated) as refusal:
        await refresh(social, person.refresh_token)
    assert refusal.value.reason == "REFRESH_TOKEN_EXPIRED"


async def test_log_out_ends_this_session_and_no_other(social: Client) -> None:
    person = await social.sign_up()
    other = await log_in(social, person.username, person.password)
    await social.accounts.LogOut(accounts_pb2.LogOutRequest(), timeout=TIMEOUT_S, metadata=person.metadata)
    with pytest.raises(Unauthenticated) as refusal:
        await refresh(social, person.refresh_token)
    assert refusal.value.reason == "SESSION_REVOKED"
    await refresh(social, other.tokens.refresh_token)


async def test_people_are_found_by_id_without_their_address(social: Client) -> None:
    people = [await social.sign_up() for _ in range(3)]
    ids = [people[2].user_id, people[0].user_id, "0199aaaa-0000-7000-8000-000000000001", "nonsense"]
    answer = await social.accounts.BatchGetUsers(accounts_pb2.BatchGetUsersRequest(user_ids=ids), timeout=TIMEOUT_S)
    assert {user.user_id for user in answer.users} == {people[0].user_id, people[2].user_id}
    assert "example.org" not in str(answer)


async def test_people_out_of_sight_are_not_found_by_id(social: Client, sql: Sql) -> None:
    ann, blocked, suspended, gone = [await social.sign_up() for _ in range(4)]
    await sql.execute("INSERT INTO user_blocks VALUES ($1, $2, now())", ann.user_id, blocked.user_id)
    await sql.execute("UPDATE users SET suspended_at = now() WHERE user_id = $1", suspended.user_id)
    await sql.execute("UPDATE users SET deleted_at = now() WHERE user_id = $1", gone.user_id)
    request = accounts_pb2.BatchGetUsersRequest(user_ids=[one.user_id for one in (ann, blocked, suspended, gone)])

    async def found_by(metadata: tuple[tuple[str, str], ...] | None) -> set[str]:
        answer = await social.accounts.BatchGetUsers(request, timeout=TIMEOUT_S, metadata=metadata)
        return {user.user_id for user in answer.users}

    assert await found_by(None) == await found_by(ann.metadata) == {ann.user_id, blocked.user_id}
    assert await found_by(blocked.metadata) == {blocked.user_id}


async def test_two_processes_share_keys_and_tokens(mesh: Mesh) -> None:
    first = await mesh.start()
    mesh.settings = mesh.settings.model_copy(update={"listen": f"127.0.0.1:{free_port()}"})
    second = await mesh.start()
    person = await first.sign_up()
    assert (await view(second, person.access_token)).user.user_id == person.user_id
    keys = {
        (await client.accounts.GetJwks(accounts_pb2.GetJwksRequest(), timeout=TIMEOUT_S)).jwks
        for client in (first, second)
    }
    assert len(keys) == 1


async def last_message(bus: Bus, subject: str) -> bytes:
    found: list[bytes] = []

    async def is_there() -> bool:
        try:
            message = await bus.jetstream.get_last_msg("SOCIAL_EVENTS", subject)
        except Exception:
            return False
        found.append(message.data or b"")
        return True

    await until(is_there)
    return found[0]
