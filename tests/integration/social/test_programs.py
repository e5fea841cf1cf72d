"""Programs that act for a person by an API token: what each scope opens, RPC by RPC, and that it can be revoked."""

from datetime import UTC, datetime

import pytest
from google.protobuf import message_factory

from museed.social.v1 import accounts_pb2, jobs_pb2
from services.chassis.auth import Access
from services.chassis.errors import DomainError, NotFound, PermissionDenied
from services.chassis.scopes import Scope
from services.social.domain.accounts import Role
from services.social.domain.ids import SessionId, UserId, new_id
from services.social.domain.tokens import SigningKey, TokenIssuer
from services.social.servicer.access import ACCESS
from tests.integration.social.conftest import TIMEOUT_S, Client, Library, Person, Sql
from tests.integration.social.test_access import METHODS

READING = ("Get", "List", "BatchGet", "BatchList", "Search", "Find", "Can", "Count", "Describe", "Export", "Resolve")
# Begin like one that reads, and do not.
CHANGING = {"CancelJob"}


async def issuer(sql: Sql) -> TokenIssuer:
    row = await sql.fetchrow("SELECT key_id, private_key FROM signing_keys")
    assert row is not None
    return TokenIssuer([SigningKey(row["key_id"], row["private_key"])])


async def program_of(sql: Sql, who: Person, role: Role, *scopes: Scope) -> Person:
    """Return a person as a program that acts for them."""
    made = await issuer(sql)
    session = SessionId(new_id())
    token, _ = made.api_access_token(UserId(who.user_id), role, session, frozenset(scopes), datetime.now(UTC))
    return Person(who.user_id, who.username, "", token, "")


def lacking(name: str, scopes: set[Scope]) -> str | None:
    """Return the scope that an admin's program lacks for an RPC, or "role" where it will never do."""
    access, rpc = ACCESS[name], name.rpartition("/")[2]
    if access in (Access.WORKER, Access.SESSION):
        return "role"
    if access is Access.ADMIN:
        needed = Scope.ADMIN
    else:
        needed = Scope.READ if rpc.startswith(READING) and rpc not in CHANGING else Scope.WRITE
    return None if needed in scopes else needed.value


@pytest.mark.parametrize("scopes", [set(), {Scope.READ}, {Scope.WRITE}, {Scope.ADMIN}, set(Scope)])
async def test_each_rpc_lets_in_programs_with_its_scope(scopes: set[Scope], social: Client, sql: Sql) -> None:
    program = await program_of(sql, await social.sign_up("admin"), Role.ADMIN, *scopes)
    wrong: list[str] = []
    for method in METHODS:
        name = f"/{method.containing_service.full_name}/{method.name}"
        request_type = message_factory.GetMessageClass(method.input_type)
        call = social.channel.unary_unary(
            name,
            request_serializer=request_type.SerializeToString,
            response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
        )
        got: str | None = None
        try:
            await call(request_type(), timeout=TIMEOUT_S, metadata=program.metadata)
        except DomainError as error:
            if error.reason == "SCOPE_MISSING":
                got = error.limit
            elif error.reason in ("SESSION_REQUIRED", "PERMISSION_DENIED"):
                got = "role"
        if got != lacking(name, scopes):
            wrong.append(f"{name}: {got}")
    assert wrong == []


async def test_program_reads_what_its_person_may_and_no_more(social: Client, library: Library, sql: Sql) -> None:
    owner, other = await social.sign_up("owner"), await social.sign_up("other")
    playlist_id = (
        await social.generate(owner, jobs_pb2.GenerationSeed(track_id=library.track_ids[0]), length=2)
    ).playlist_id
    reader = await program_of(sql, owner, Role.USER, Scope.READ)
    assert (await social.playlist(reader, playlist_id)).playlist.playlist_id == playlist_id
    with pytest.raises(NotFound):
        await social.playlist(await program_of(sql, other, Role.USER, Scope.READ), playlist_id)
    with pytest.raises(PermissionDenied) as refusal:
        await social.generate(reader, jobs_pb2.GenerationSeed(track_id=library.track_ids[0]), length=2)
    assert (refusal.value.reason, refusal.value.value, refusal.value.limit) == ("SCOPE_MISSING", "read", "write")


async def test_program_that_logs_out_ends_its_own_session_only(social: Client, sql: Sql) -> None:
    person = await social.sign_up("person")
    program = await program_of(sql, person, Role.USER, Scope.WRITE)
    await social.accounts.LogOut(accounts_pb2.LogOutRequest(), timeout=TIMEOUT_S, metadata=program.metadata)
    ended = await sql.fetchval(
        "SELECT count(*) FROM sessions WHERE user_id = $1 AND revoked_at IS NOT NULL", person.user_id
    )
    assert ended == 0
