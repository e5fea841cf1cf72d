"""Whose thing may be seen and changed by whom: every RPC has a case, or says why it needs none."""

import importlib
import pkgutil

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from services.chassis.errors import DomainError, NotFound, PermissionDenied, Unauthenticated
from services.social.servicer.access import ACCESS
from services.social.store.database import Database
from tests.integration.social import access_cases
from tests.integration.social.access_cases import ADMIN, BLOCKED, GUEST, OTHER, OWNER, PEOPLE, Case, Cases, World
from tests.integration.social.conftest import TIMEOUT_S, Client, Library, Mesh, Sql

_PACKAGE = "museed.social.v1"


def all_cases() -> Cases:
    found: Cases = {}
    for module in pkgutil.iter_modules(access_cases.__path__):
        cases: Cases = importlib.import_module(f"{access_cases.__name__}.{module.name}").CASES
        assert not set(found) & set(cases)
        found |= cases
    return found


def methods() -> dict[str, MethodDescriptor]:
    package = importlib.import_module(_PACKAGE)
    modules = [
        importlib.import_module(f"{_PACKAGE}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
        if module.name.endswith("_pb2")
    ]
    return {
        f"{service.name}/{method.name}": method
        for module in modules
        for service in module.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }


CASES = all_cases()
METHODS = methods()


def rpc_of(name: str) -> str:
    """Return the RPC of a case, whose name may say more after a comma."""
    return name.split(",")[0]


@pytest.fixture
async def world(mesh: Mesh, social: Client, library: Library, database: Database, sql: Sql) -> World:
    people = {ADMIN: library.admin} | {name: await social.sign_up(name) for name in (OWNER, OTHER, BLOCKED)}
    made = World(mesh, social, library, database, sql, people)
    await sql.execute(
        "INSERT INTO user_blocks (blocker_id, blocked_id, at) VALUES ($1, $2, now())",
        people[OWNER].user_id,
        people[BLOCKED].user_id,
    )
    return made


def call_of(client: Client, rpc: str) -> "grpc.aio.UnaryUnaryMultiCallable[Message, Message]":
    """Return what calls an RPC by its name."""
    method = METHODS[rpc]
    return client.channel.unary_unary(
        f"/{_PACKAGE}.{rpc}",
        request_serializer=message_factory.GetMessageClass(method.input_type).SerializeToString,
        response_deserializer=message_factory.GetMessageClass(method.output_type).FromString,
    )


async def answer(world: World, rpc: str, request: Message, caller: str) -> str:
    """Say what a caller gets: "answered", "refused", or what else went wrong."""
    metadata = None if caller == GUEST else world.people[caller].metadata
    try:
        await call_of(world.client, rpc)(request, timeout=TIMEOUT_S, metadata=metadata)
    except (NotFound, PermissionDenied, Unauthenticated):
        return "refused"
    except DomainError as error:
        return f"{error.reason}: {error.message}"
    return "answered"


async def test_things_are_whose_they_are(world: World) -> None:
    wrong = {}
    for name, case in CASES.items():
        if isinstance(case, Case):
            got = {caller: await answer(world, rpc_of(name), await case.request(world), caller) for caller in PEOPLE}
            expected = {caller: "answered" if caller in case.may else "refused" for caller in PEOPLE}
            if got != expected:
                wrong[name] = {caller: found for caller, found in got.items() if found != expected[caller]}
    assert wrong == {}


def test_each_rpc_has_a_case_or_says_why_not() -> None:
    assert {rpc_of(name) for name in CASES} == set(METHODS)
    assert {name.removeprefix(f"/{_PACKAGE}.") for name in ACCESS} == set(METHODS)
    assert all(isinstance(case, Case) or case.strip() for case in CASES.values())
