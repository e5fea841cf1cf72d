"""API tokens: made once, shown once, traded for what their scopes allow, and void everywhere within 5 s."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from museed.social.v1 import accounts_pb2, api_tokens_pb2, api_tokens_pb2_grpc, sessions_pb2, sessions_pb2_grpc
from museed.social.v1.api_tokens_pb2 import API_SCOPE_ADMIN, API_SCOPE_READ, API_SCOPE_WRITE
from services.chassis.errors import (
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
)
from services.social.domain.ids import new_id
from services.social.wire import timestamp
from tests.integration.social.conftest import TIMEOUT_S, Client, Mesh, Person, Sql
from tests.integration.social.mailbox import credentials, log_in, second_process, until_ended, view


def tokens(client: Client) -> "api_tokens_pb2_grpc.ApiTokenServiceAsyncStub":
    return client.stub(api_tokens_pb2_grpc.ApiTokenServiceStub)


async def create(
    client: Client,
    who: Person,
    *scopes: "api_tokens_pb2.ApiScope.ValueType",
    key: str = "",
    name: str = "radio",
    expires_at: datetime | None = None,
) -> api_tokens_pb2.CreateApiTokenResponse:
    request = api_tokens_pb2.CreateApiTokenRequest(
        idempotency_key=key or new_id(),
        name=name,
        scopes=scopes or [API_SCOPE_READ],
        expires_at=None if expires_at is None else timestamp(expires_at),
    )
    return await tokens(client).CreateApiToken(request, timeout=TIMEOUT_S, metadata=who.metadata)


async def exchange(client: Client, who: Person, secret: str) -> Person:
    request = api_tokens_pb2.ExchangeApiTokenRequest(secret=secret)
    answer = await tokens(client).ExchangeApiToken(request, timeout=TIMEOUT_S)
    return Person(who.user_id, who.username, "", answer.access_token, "")


async def listed(client: Client, who: Person, size: int = 0, token: str = "") -> api_tokens_pb2.ListApiTokensResponse:
    request = api_tokens_pb2.ListApiTokensRequest(page_size=size, page_token=token)
    return await tokens(client).ListApiTokens(request, timeout=TIMEOUT_S, metadata=who.metadata)


async def revoke(client: Client, who: Person, token_id: str) -> None:
    request = api_tokens_pb2.RevokeApiTokenRequest(token_id=token_id)
    await tokens(client).RevokeApiToken(request, timeout=TIMEOUT_S, metadata=who.metadata)


async def refused(client: Client, who: Person, secret: str) -> str:
    with pytest.raises(Unauthenticated) as refusal:
        await exchange(client, who, secret)
    return refusal.value.reason


async def test_token_reads_and_is_refused_at_a_write(social: Client) -> None:
    jay = await social.sign_up("jay")
    program = await exchange(social, jay, (await create(social, jay)).secret)
    assert (await view(social, program)).user.user_id == jay.user_id
    with pytest.raises(PermissionDenied) as refusal:
        await social.upload(program)
    assert (refusal.value.reason, refusal.value.value, refusal.value.limit) == ("SCOPE_MISSING", "read", "write")
    both = await create(social, jay, API_SCOPE_WRITE, API_SCOPE_READ)
    assert list(both.token.scopes) == [API_SCOPE_READ, API_SCOPE_WRITE]
    assert await social.upload(await exchange(social, jay, both.secret))


async def test_no_scope_decides_over_the_account(social: Client) -> None:
    admin = await social.sign_up("admin")
    made = await create(social, admin, API_SCOPE_READ, API_SCOPE_WRITE, API_SCOPE_ADMIN)
    program = await exchange(social, admin, made.secret)
    assert await social.register_root(program)
    for call in (create(social, program), revoke(social, program, made.token.token_id)):
        with pytest.raises(PermissionDenied) as refusal:
            await call
        assert refusal.value.reason == "SESSION_REQUIRED"
    stub: sessions_pb2_grpc.SessionServiceAsyncStub = social.stub(sessions_pb2_grpc.SessionServiceStub)
    one, others = sessions_pb2.RevokeSessionRequest(session_id=new_id()), sessions_pb2.RevokeOtherSessionsRequest()
    for ending in (
        stub.RevokeSession(one, timeout=TIMEOUT_S, metadata=program.metadata),
        stub.RevokeOtherSessions(others, timeout=TIMEOUT_S, metadata=program.metadata),
    ):
        with pytest.raises(PermissionDenied) as refusal:
            await ending
        assert refusal.value.reason == "SESSION_REQUIRED"
    change = sessions_pb2.ChangePasswordRequest(current_password=admin.password, new_password="another long one")
    with pytest.raises(PermissionDenied):
        await credentials(social).ChangePassword(change, timeout=TIMEOUT_S, metadata=program.metadata)


async def test_admin_scope_is_for_admins_and_only_as_long_as_they_are(social: Client, sql: Sql) -> None:
    admin, jay = await social.sign_up("admin"), await social.sign_up("jay")
    with pytest.raises(PermissionDenied) as refusal:
        await create(social, jay, API_SCOPE_ADMIN)
    assert (refusal.value.reason, refusal.value.field) == ("PERMISSION_DENIED", "scopes")
    secret = (await create(social, admin, API_SCOPE_ADMIN)).secret
    await sql.execute("UPDATE users SET role = 'user'")
    with pytest.raises(PermissionDenied):
        await social.register_root(await exchange(social, admin, secret))


async def test_secret_is_shown_once_and_kept_as_a_digest(social: Client, sql: Sql) -> None:
    jay, kim = await social.sign_up("jay"), await social.sign_up("kim")
    first = await create(social, jay, key="k")
    again = await create(social, jay, key="k")
    assert (again.token, again.secret) == (first.token, "")
    assert first.secret.startswith("museed_")
    with pytest.raises(InvalidArgument) as refusal:
        await create(social, jay, key="k", name="another")
    assert refusal.value.reason == "IDEMPOTENCY_KEY_REUSED"
    assert (await create(social, kim, key="k")).secret
    rows = await sql.fetch("SELECT api_tokens::text AS row FROM api_tokens")
    assert len(rows) == 2
    assert all(first.secret not in row["row"] for row in rows)


async def test_of_two_wishes_at_once_with_one_key_one_makes_a_token(social: Client, sql: Sql) -> None:
    jay = await social.sign_up("jay")
    made = await asyncio.gather(*(create(social, jay, key="k") for _ in range(3)))
    assert sorted(bool(one.secret) for one in made) == [False, False, True]
    assert len({one.token.token_id for one in made}) == 1
    assert await sql.fetchval("SELECT count(*) FROM api_tokens") == 1


async def test_tokens_are_listed_page_by_page_while_they_hold(social: Client, sql: Sql) -> None:
    jay = await social.sign_up("jay")
    await create(social, await social.sign_up("kim"))
    made = [(await create(social, jay, name=f"radio {number}")).token for number in range(4)]
    page = await listed(social, jay, size=3)
    rest = await listed(social, jay, size=3, token=page.next_page_token)
    assert [one.name for one in [*page.tokens, *rest.tokens]] == ["radio 3", "radio 2", "radio 1", "radio 0"]
    assert rest.next_page_token == ""
    assert page.tokens[0] == made[3]
    await revoke(social, jay, made[3].token_id)
    await revoke(social, jay, made[3].token_id)
    await sql.execute("UPDATE api_tokens SET expires_at = now() WHERE token_id = $1", made[2].token_id)
    await sql.execute(
        "DELETE FROM sessions USING api_tokens WHERE token_id = $1 AND sessions.session_id = api_tokens.session_id",
        made[1].token_id,
    )
    assert [one.name for one in (await listed(social, jay)).tokens] == ["radio 0"]


async def test_no_more_than_fifty_hold_at_a_time(social: Client, sql: Sql) -> None:
    jay = await social.sign_up("jay")
    made = [await create(social, jay) for _ in range(50)]
    with pytest.raises(ResourceExhausted) as refusal:
        await create(social, jay)
    assert (refusal.value.reason, refusal.value.limit) == ("TOO_MANY_API_TOKENS", "50")
    await revoke(social, jay, made[0].token.token_id)
    assert (await create(social, jay)).secret
    assert await sql.fetchval("SELECT count(*) FROM api_tokens") == 50


async def test_revoked_token_is_refused_by_another_process(mesh: Mesh) -> None:
    first = await mesh.start()
    second = await second_process(mesh)
    jay = await first.sign_up("jay")
    made = await create(first, jay)
    program = await exchange(second, jay, made.secret)
    await view(second, program)
    await revoke(first, jay, made.token.token_id)
    assert await refused(second, jay, made.secret) == "API_TOKEN_REFUSED"
    await until_ended(second, program)
    assert (await view(second, jay)).user.user_id == jay.user_id


async def test_session_of_a_token_ends_like_any_other_and_others_leave_it(social: Client) -> None:
    jay = await social.sign_up("jay")
    secret = (await create(social, jay)).secret
    program = await exchange(social, jay, secret)
    other = await log_in(social, "jay", jay.password)
    stub: sessions_pb2_grpc.SessionServiceAsyncStub = social.stub(sessions_pb2_grpc.SessionServiceStub)
    answer = await stub.RevokeOtherSessions(
        sessions_pb2.RevokeOtherSessionsRequest(), timeout=TIMEOUT_S, metadata=jay.metadata
    )
    assert answer.revoked_count == 1
    await until_ended(social, other)
    assert (await view(social, program)).user.user_id == jay.user_id
    found = await stub.ListSessions(sessions_pb2.ListSessionsRequest(), timeout=TIMEOUT_S, metadata=jay.metadata)
    [api] = [one for one in found.sessions if one.kind == sessions_pb2.SESSION_KIND_API]
    assert api.HasField("seen_at") is True
    await stub.RevokeSession(
        sessions_pb2.RevokeSessionRequest(session_id=api.session_id), timeout=TIMEOUT_S, metadata=jay.metadata
    )
    assert await refused(social, jay, secret) == "API_TOKEN_REFUSED"
    assert list((await listed(social, jay)).tokens) == []


async def test_program_that_logs_out_ends_its_token(social: Client) -> None:
    jay = await social.sign_up("jay")
    secret = (await create(social, jay, API_SCOPE_WRITE)).secret
    program = await exchange(social, jay, secret)
    await social.accounts.LogOut(accounts_pb2.LogOutRequest(), timeout=TIMEOUT_S, metadata=program.metadata)
    assert await refused(social, jay, secret) == "API_TOKEN_REFUSED"
    assert (await view(social, jay)).user.user_id == jay.user_id


async def test_changed_password_ends_api_tokens(social: Client) -> None:
    jay = await social.sign_up("jay")
    secret = (await create(social, jay)).secret
    program = await exchange(social, jay, secret)
    change = sessions_pb2.ChangePasswordRequest(current_password=jay.password, new_password="another long one")
    await credentials(social).ChangePassword(change, timeout=TIMEOUT_S, metadata=jay.metadata)
    assert await refused(social, jay, secret) == "API_TOKEN_REFUSED"
    await until_ended(social, program)


@pytest.mark.parametrize(
    "fate",
    [
        "UPDATE api_tokens SET expires_at = now()",
        "UPDATE users SET suspended_at = now()",
        "UPDATE users SET deleted_at = now()",
        "UPDATE sessions SET revoked_at = now(), revoked_because = 'SUSPENDED' WHERE kind = 'API'",
        "DELETE FROM sessions WHERE kind = 'API'",
    ],
)
async def test_token_that_holds_no_more_is_refused(social: Client, sql: Sql, fate: str) -> None:
    jay = await social.sign_up("jay")
    secret = (await create(social, jay)).secret
    await exchange(social, jay, secret)
    await sql.execute(fate)
    assert await refused(social, jay, secret) == "API_TOKEN_REFUSED"
    assert await refused(social, jay, "museed_nonsense") == "API_TOKEN_REFUSED"
    assert await refused(social, jay, "") == "API_TOKEN_REFUSED"


async def test_token_and_its_session_end_as_wished(social: Client, sql: Sql) -> None:
    jay = await social.sign_up("jay")
    ends_at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=7)
    made = await create(social, jay, expires_at=ends_at)
    assert made.token.expires_at.ToDatetime(UTC) == ends_at
    session_ends_at = await sql.fetchval("SELECT expires_at FROM sessions WHERE kind = 'API'")
    assert session_ends_at == ends_at + timedelta(minutes=15)
    life = (await create(social, jay)).token
    assert life.expires_at.ToDatetime(UTC) - life.created_at.ToDatetime(UTC) == timedelta(days=90)


@pytest.mark.parametrize("seconds", [-1, 253_402_300_800, 2**62])
async def test_times_that_are_none_are_refused(social: Client, seconds: int) -> None:
    jay = await social.sign_up("jay")
    request = api_tokens_pb2.CreateApiTokenRequest(idempotency_key="k", name="radio", scopes=[API_SCOPE_READ])
    request.expires_at.seconds = seconds
    with pytest.raises(InvalidArgument) as refusal:
        await tokens(social).CreateApiToken(request, timeout=TIMEOUT_S, metadata=jay.metadata)
    assert refusal.value.field == "expires_at"


async def test_token_of_somebody_else_is_as_good_as_none(social: Client) -> None:
    jay, kim = await social.sign_up("jay"), await social.sign_up("kim")
    made = await create(social, kim)
    for token_id in (made.token.token_id, new_id(), "nonsense", ""):
        with pytest.raises(NotFound) as refusal:
            await revoke(social, jay, token_id)
        assert refusal.value.reason == "API_TOKEN_NOT_FOUND"
    assert (await view(social, await exchange(social, kim, made.secret))).user.user_id == kim.user_id


async def test_token_that_is_revoked_while_it_is_exchanged_waits_and_is_refused(social: Client, sql: Sql) -> None:
    """Both lock the session first: the one waits for the other, and none for both."""
    jay = await social.sign_up("jay")
    secret = (await create(social, jay)).secret
    async with sql.transaction():
        await sql.execute("UPDATE sessions SET revoked_at = now(), revoked_because = 'REVOKED' WHERE kind = 'API'")
        exchanging = asyncio.create_task(exchange(social, jay, secret))
        done, _ = await asyncio.wait({exchanging}, timeout=0.3)
        assert done == set()
        await sql.execute("UPDATE api_tokens SET revoked_at = now()")
    with pytest.raises(Unauthenticated) as refusal:
        await exchanging
    assert refusal.value.reason == "API_TOKEN_REFUSED"
