"""Every RPC for every kind of caller: the table is generated from the contracts, so a new RPC is in it at once."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor

from museed.social.v1 import catalog_pb2, work_pb2, work_pb2_grpc
from services.chassis.auth import Access
from services.chassis.errors import DomainError, PermissionDenied, Unauthenticated, Unimplemented
from services.chassis.scopes import Scope
from services.social.domain.accounts import Role
from services.social.domain.ids import JobId, SessionId, UserId, new_id
from services.social.domain.tokens import SigningKey, TokenIssuer, new_signing_key
from services.social.servicer.access import ACCESS
from services.social.wiring.contracts import contract_services
from tests.integration.social.conftest import TIMEOUT_S, Client, Mesh, Sql

METHODS: list[MethodDescriptor] = [method for service in contract_services() for method in service.methods]
# API tokens by what they may: of a person, and of an admin.
SCOPES = {"reader": Scope.READ, "writer": Scope.WRITE, "keeper": Scope.ADMIN}
CALLERS = ["guest", "user", "admin", "job", *SCOPES, "forged", "expired", "unsigned", "wrong kind", "nonsense"]
# First words of names: a new one has to say here whether it changes anything, because tokens may one or the other.
READS = {"Get", "List", "Batch", "Search", "Can", "Count", "Describe", "Export", "Resolve"}
WRITES = {
    "Add", "Block", "Cancel", "Change", "Check", "Clear", "Copy", "Create", "Decide", "Delete", "Edit", "Exchange",
    "Filter", "Follow", "Import", "Judge", "Like", "Log", "Mark", "Move", "Record", "Refresh", "Register", "Reinstate",
    "Remove", "Reorder", "Replay", "Report", "Request", "Reset", "Revoke", "Roll", "Rotate", "Set", "Show", "Sign",
    "Suspend", "Switch", "Unblock", "Unfollow", "Unlike", "Update", "Verify",
}  # fmt: skip


def tokens(issuer: TokenIssuer, users: dict[str, str]) -> dict[str, str]:
    """A token for each kind of caller, from the keys that the service itself uses."""
    now = datetime.now(UTC)
    user, admin = UserId(users["user"]), UserId(users["admin"])
    signed, _ = issuer.access_token(user, Role.USER, SessionId(new_id()), now)
    unsigned = signed.rsplit(".", 1)[0] + "."
    forger = TokenIssuer([SigningKey(issuer._key_id, new_signing_key().private_bytes)])
    return {
        "guest": "",
        "user": signed,
        "admin": issuer.access_token(admin, Role.ADMIN, SessionId(new_id()), now)[0],
        "job": issuer.job_token(user, JobId(new_id()), now, timedelta(minutes=1)),
        "reader": issuer.api_access_token(user, Role.USER, SessionId(new_id()), frozenset({Scope.READ}), now)[0],
        "writer": issuer.api_access_token(user, Role.USER, SessionId(new_id()), frozenset({Scope.WRITE}), now)[0],
        "keeper": issuer.api_access_token(admin, Role.ADMIN, SessionId(new_id()), frozenset({Scope.ADMIN}), now)[0],
        "forged": forger.access_token(admin, Role.ADMIN, SessionId(new_id()), now)[0],
        "expired": issuer.access_token(admin, Role.ADMIN, SessionId(new_id()), now - timedelta(hours=1))[0],
        "unsigned": unsigned,
        "wrong kind": issuer._sign(
            {"sub": admin, "role": "admin", "kind": "refresh", "sid": new_id()}, now, timedelta(minutes=1)
        )[0],
        "nonsense": "nonsense",
    }


def verb_of(rpc: str) -> str:
    """The first word of an RPC's name."""
    found = re.match("[A-Z][a-z]+", rpc.rpartition("/")[2])
    assert found is not None
    return found[0]


def expected(rpc: str, caller: str) -> type[DomainError] | None:
    """Who is let in: None where the RPC itself decides."""
    access = ACCESS[rpc]
    if caller in ("forged", "expired", "unsigned", "wrong kind", "nonsense"):
        return Unauthenticated
    if caller in SCOPES:
        needed = Scope.READ if verb_of(rpc) in READS else Scope.WRITE
        needed = Scope.ADMIN if access is Access.ADMIN else needed
        return None if SCOPES[caller] is needed and access is not Access.SESSION else PermissionDenied
    if access is Access.PUBLIC:
        return None
    if caller == "guest":
        return Unauthenticated
    if caller == "job" or (access is Access.ADMIN and caller != "admin"):
        return PermissionDenied
    return None


def refused_at_the_door(error: DomainError) -> bool:
    doors = {"LOGIN_REQUIRED", "PERMISSION_DENIED", "TOKEN_INVALID", "TOKEN_EXPIRED", "SESSION_REVOKED"}
    return error.reason in doors | {"SCOPE_MISSING", "SESSION_REQUIRED"}


async def wrong_at_the_door(social: Client, sql: Sql, people: dict[str, str]) -> list[str]:
    """Call every RPC as everybody; return where the door decided otherwise than its row says."""
    row = await sql.fetchrow("SELECT key_id, private_key FROM signing_keys")
    assert row is not None
    by_caller = tokens(TokenIssuer([SigningKey(row["key_id"], row["private_key"])]), people)
    assert set(by_caller) == set(CALLERS)
    wrong: list[str] = []
    for method in METHODS:
        name = f"/{method.containing_service.full_name}/{method.name}"
        request_type = message_factory.GetMessageClass(method.input_type)
        response_type = message_factory.GetMessageClass(method.output_type)
        call = social.channel.unary_unary(
            name,
            request_serializer=request_type.SerializeToString,
            response_deserializer=response_type.FromString,
        )
        for caller in CALLERS:
            token = by_caller[caller]
            metadata = (("authorization", f"Bearer {token}"),) if token else None
            got: type[DomainError] | None = None
            try:
                await call(request_type(), timeout=TIMEOUT_S, metadata=metadata)
            except DomainError as error:
                got = type(error) if refused_at_the_door(error) else None
            if got is not expected(name, caller):
                wrong.append(f"{name} as {caller}: {got}")
    return wrong


async def test_each_rpc_lets_in_whom_its_row_names_and_nobody_else(social: Client, sql: Sql) -> None:
    people = {"admin": (await social.sign_up("admin")).user_id, "user": (await social.sign_up("user")).user_id}
    assert await wrong_at_the_door(social, sql, people) == []
    assert len(METHODS) == len(ACCESS) >= 26


async def test_door_is_the_same_where_nobody_wrote_an_rpc(
    mesh: Mesh, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.social.__main__.PARTS", [])
    social = await mesh.start()
    assert await wrong_at_the_door(social, sql, {"admin": new_id(), "user": new_id()}) == []
    with pytest.raises(Unimplemented) as refusal:
        await social.stub(work_pb2_grpc.WorkServiceStub).FilterWanted(work_pb2.FilterWantedRequest(), timeout=TIMEOUT_S)
    assert refusal.value.message == "WorkService.FilterWanted is not offered yet"


async def test_rpc_without_a_row_is_refused(social: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ACCESS, "/museed.social.v1.CatalogService/GetStats")
    with pytest.raises(PermissionDenied):
        await social.catalog.GetStats(catalog_pb2.GetStatsRequest(), timeout=TIMEOUT_S)


def test_each_verb_says_whether_it_changes_anything() -> None:
    assert not READS & WRITES
    assert {verb_of(name) for name in ACCESS} <= READS | WRITES


def test_all_contracts_of_social_are_in_the_table() -> None:
    assert {name.split("/")[1] for name in ACCESS} == {service.full_name for service in contract_services()}
