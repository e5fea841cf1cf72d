"""One's own sessions: listed, ended one by one or together, and ended everywhere within 5 s."""

import pytest

from museed.social.v1 import accounts_pb2, events_pb2, sessions_pb2, sessions_pb2_grpc
from services.chassis import auth
from services.chassis.errors import InvalidArgument, NotFound, Unauthenticated
from services.social.domain.ids import new_id
from tests.integration.social.conftest import TIMEOUT_S, Client, Mesh, Person, Sql, until
from tests.integration.social.mailbox import log_in, second_process, until_ended, view


def sessions(client: Client) -> "sessions_pb2_grpc.SessionServiceAsyncStub":
    return client.stub(sessions_pb2_grpc.SessionServiceStub)


async def listed(client: Client, who: Person, size: int = 0, token: str = "") -> sessions_pb2.ListSessionsResponse:
    request = sessions_pb2.ListSessionsRequest(page_size=size, page_token=token)
    return await sessions(client).ListSessions(request, timeout=TIMEOUT_S, metadata=who.metadata)


async def revoke(client: Client, who: Person, session_id: str) -> None:
    request = sessions_pb2.RevokeSessionRequest(session_id=session_id)
    await sessions(client).RevokeSession(request, timeout=TIMEOUT_S, metadata=who.metadata)


async def test_living_sessions_are_listed_newest_first_page_by_page(social: Client, sql: Sql) -> None:
    first = await social.sign_up("jay")
    await social.sign_up("kim")
    others = [await log_in(social, "jay", first.password) for _ in range(3)]
    page = await listed(social, others[0], size=2)
    rest = await listed(social, others[0], size=2, token=page.next_page_token)
    assert ([len(page.sessions), len(rest.sessions)], rest.next_page_token) == ([2, 2], "")
    found = [*page.sessions, *rest.sessions]
    assert [one.is_current for one in found] == [False, False, True, False]
    assert [one.session_id for one in found] == sorted((one.session_id for one in found), reverse=True)
    assert {one.kind for one in found} == {sessions_pb2.SESSION_KIND_LOGIN}
    await revoke(social, first, found[0].session_id)
    await sql.execute("UPDATE sessions SET expires_at = now() WHERE session_id = $1", found[1].session_id)
    assert [one.session_id for one in (await listed(social, first)).sessions] == [
        found[2].session_id,
        found[3].session_id,
    ]
    with pytest.raises(InvalidArgument):
        await listed(social, await social.sign_up("lee"), token=page.next_page_token)


async def test_session_tells_where_it_came_from_and_when_it_was_seen(social: Client) -> None:
    jay = await social.sign_up("jay")
    request = accounts_pb2.LogInRequest(login="jay", password=jay.password)
    metadata = ((auth.CLIENT_HEADER, "192.0.2.0/24"), ("museed-user-agent", "radio/1.0 " + "x" * 300))
    answer = await social.accounts.LogIn(request, timeout=TIMEOUT_S, metadata=metadata)
    newest = (await listed(social, jay)).sessions[0]
    assert (newest.client, newest.user_agent) == ("192.0.2.0/24", "radio/1.0 " + "x" * 190)
    assert newest.HasField("seen_at") is False
    again = accounts_pb2.RefreshSessionRequest(refresh_token=answer.tokens.refresh_token)
    await social.accounts.RefreshSession(again, timeout=TIMEOUT_S)
    assert (await listed(social, jay)).sessions[0].HasField("seen_at") is True
    assert (await listed(social, jay)).sessions[1].user_agent.startswith("grpc-python")


async def test_ended_session_is_refused_by_another_process_and_told(mesh: Mesh, sql: Sql) -> None:
    first = await mesh.start()
    second = await second_process(mesh)
    jay = await first.sign_up("jay")
    other = await log_in(first, "jay", jay.password)
    await view(second, other)
    session_id = (await listed(first, other)).sessions[0].session_id
    await revoke(first, jay, session_id)
    await revoke(first, jay, session_id)
    await until_ended(second, other)
    request = accounts_pb2.RefreshSessionRequest(refresh_token=other.refresh_token)
    with pytest.raises(Unauthenticated):
        await second.accounts.RefreshSession(request, timeout=TIMEOUT_S)
    assert (await view(second, jay)).user.user_id == jay.user_id
    await until(lambda: sql.fetchval("SELECT count(*) = 0 FROM outbox"))
    bus = await mesh.bus("social")

    async def told() -> list[str]:
        message = await bus.jetstream.get_last_msg("SOCIAL_EVENTS", "museed.social.v1.session_revoked")
        return [events_pb2.SessionRevoked.FromString(message.data or b"").session_id]

    assert await told() == [session_id]


async def test_others_end_at_once_and_the_current_one_goes_on(social: Client, sql: Sql) -> None:
    jay, kim = await social.sign_up("jay"), await social.sign_up("kim")
    others = [await log_in(social, "jay", jay.password) for _ in range(2)]
    request = sessions_pb2.RevokeOtherSessionsRequest()
    answer = await sessions(social).RevokeOtherSessions(request, timeout=TIMEOUT_S, metadata=jay.metadata)
    assert answer.revoked_count == 2
    for other in others:
        await until_ended(social, other)
    assert (await view(social, jay)).user.user_id == jay.user_id
    assert (await view(social, kim)).user.user_id == kim.user_id
    again = await sessions(social).RevokeOtherSessions(request, timeout=TIMEOUT_S, metadata=jay.metadata)
    assert again.revoked_count == 0
    rows = await sql.fetch("SELECT DISTINCT revoked_because FROM sessions WHERE revoked_at IS NOT NULL")
    assert [row["revoked_because"] for row in rows] == ["REVOKED"]
    await until(lambda: sql.fetchval("SELECT count(*) = 0 FROM outbox"))


@pytest.mark.parametrize("session_id", ["", "nonsense", new_id()], ids=["empty", "nonsense", "unknown"])
async def test_session_that_is_not_there_is_refused(social: Client, session_id: str) -> None:
    jay = await social.sign_up("jay")
    with pytest.raises(NotFound) as refusal:
        await revoke(social, jay, session_id)
    assert (refusal.value.reason, refusal.value.field) == ("SESSION_NOT_FOUND", "session_id")


async def test_session_of_somebody_else_goes_on(social: Client) -> None:
    jay, kim = await social.sign_up("jay"), await social.sign_up("kim")
    session_id = (await listed(social, kim)).sessions[0].session_id
    with pytest.raises(NotFound):
        await revoke(social, jay, session_id)
    assert [one.session_id for one in (await listed(social, kim)).sessions] == [session_id]
