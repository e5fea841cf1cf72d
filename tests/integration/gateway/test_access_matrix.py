"""Every field of the schema for every kind of caller: the table is made from the schema, so a new field is in it."""

import asyncio
from typing import Any

import pytest
from graphql import GraphQLObjectType

from museed.social.v1 import accounts_pb2, catalog_pb2, work_pb2
from services.chassis.auth import Access
from services.chassis.scopes import Scope
from services.gateway.schema import make_schema
from tests.fakes.upstreams import make_track, timestamp
from tests.integration.gateway.access_rows import ROWS, Need
from tests.integration.gateway.conftest import Gateway
from tests.integration.gateway.schema_paths import UUID, Paths, Step, global_id
from tests.integration.gateway.socket_client import initialised

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCHEMA = make_schema()._schema
ROOTS = {root.name for root in (SCHEMA.query_type, SCHEMA.mutation_type, SCHEMA.subscription_type) if root}
HASH = "0" * 64
# Where just any value is refused before anybody is asked.
ARGUMENTS = {
    "Query.node": f'id: "{global_id("Track")}"',
    "Query.nodes": f'ids: ["{global_id("Track")}"]',
    "Query.user": f'id: "{UUID}"',
    "Query.likedPlaylists": f'userId: "{UUID}"',
    "Query.playlistsOfUser": f'userId: "{UUID}"',
    "Query.referenceSearch": f'trackId: "{UUID}"',
    "Query.trends": 'dimension: GENRE, fromDay: "2026-01-01", toDay: "2026-01-02"',
    "Query.trendsUrl": 'dimension: GENRE, fromDay: "2026-01-01", toDay: "2026-01-02"',
    "Mutation.refresh": 'input: {refreshToken: "text"}',
    "Mutation.registerTracks": f'input: {{rootId: "{UUID}", tracks: [{{relativePath: "a.mp3", fileHash: "{HASH}", '
    f'audioHash: "{HASH}", sizeBytes: 1, contentType: "audio/mpeg", durationSeconds: 60}}]}}',
    "Mutation.importVectors": f'input: {{encoderId: "e", vectors: [{{audioHash: "{HASH}", vectorBase64: "AAAA"}}]}}',
    "Query.playlistPreview": f'recipe: {{seeds: [{{trackId: "{UUID}"}}]}}',
    "Mutation.generatePlaylist": f'input: {{seeds: [{{trackId: "{UUID}"}}]}}',
    "Mutation.reorderPlaylist": f'input: {{playlistId: "{UUID}", version: 1, entryIds: ["{UUID}"]}}',
}
PATHS = Paths(SCHEMA, ARGUMENTS, avoid=frozenset({"Query.node", "Query.nodes"}))
CALLERS = ("guest", "user", "admin", "read", "write", "keep")
SCOPES = {"read": Scope.READ, "write": Scope.WRITE, "keep": Scope.ADMIN}
DOORS = {"LOGIN_REQUIRED", "PERMISSION_DENIED", "SCOPE_MISSING", "SESSION_REQUIRED"}

# Sealed here: what it opens asks then.
SEALED = frozenset({Step("Query", "trendsUrl")})


def own_fields() -> list[Step]:
    """Fields of the roots, and all others that ask for something again."""
    return [
        Step(type_.name, name)
        for type_ in SCHEMA.type_map.values()
        if isinstance(type_, GraphQLObjectType) and not type_.name.startswith("__")
        for name, field in type_.fields.items()
        if type_.name in ROOTS or getattr(field.extensions.get("strawberry-definition"), "base_resolver", None)
    ]


FIELDS = own_fields()


def expected(path: tuple[Step, ...], caller: str) -> str | None:
    """Why the caller does not get to the end of a path, None where they do."""
    for step in path:
        need = ROWS.get(str(step), Need.FREE)
        if (found := refusal(need, caller)) is not None:
            return found
    return None


def refusal(need: Need, caller: str) -> str | None:
    if need.access is None or (caller == "guest" and need in (Need.OWN, Need.PUBLIC_READ, Need.PUBLIC_WRITE)):
        return None
    if caller == "guest":
        return "LOGIN_REQUIRED"
    if caller in SCOPES:
        if need.access is Access.SESSION:
            return "SESSION_REQUIRED"
        return None if SCOPES[caller] is need.scope else "SCOPE_MISSING"
    return "PERMISSION_DENIED" if need is Need.ADMIN and caller != "admin" else None


def tokens(gateway: Gateway) -> dict[str, dict[str, str]]:
    signer = gateway.signer
    return {
        "guest": {},
        "user": gateway.bearer(),
        "admin": gateway.bearer(role="admin"),
        **{
            name: {
                "Authorization": f"Bearer {signer.api_token(scope.value, role='admin' if name == 'keep' else 'user')}"
            }
            for name, scope in SCOPES.items()
        },
    }


def furnish(gateway: Gateway) -> None:
    """Put one of each thing in, with the id that documents ask for; everything else is made up."""
    gateway.behind.reset()
    social = gateway.social
    social.tracks[UUID] = make_track("One", track_id=UUID)
    social.users[UUID] = accounts_pb2.User(user_id=UUID, username="mina", nickname="Mina", created_at=timestamp())
    playlist = social.add_playlist([social.tracks[UUID]])
    whole = social.playlists.pop(playlist.playlist_id)
    whole.playlist.playlist_id = UUID
    social.playlists[UUID] = whole
    job = social.add_job()
    social.jobs[UUID] = social.jobs.pop(job.job_id)
    social.letters = [work_pb2.DeadLetter(letter_id="1", track_id=UUID, set_aside_at=timestamp())]
    social.failures = [catalog_pb2.FailedTrack(track_id=UUID, relative_path=b"a", reason="R", message="m")]


async def first_event(gateway: Gateway, document: str, headers: dict[str, str]) -> dict[str, Any]:
    """Subscribe, and return the first thing that comes as if it were an answer."""
    async with asyncio.timeout(60), initialised(gateway.url, headers.get("Authorization")) as client:
        await client.send(id="1", type="subscribe", payload={"query": document})
        message = await client.receive()
    if message["type"] == "error":
        return {"data": None, "errors": message["payload"]}
    found: dict[str, Any] = message["payload"]
    return found


async def test_every_field_that_asks_has_a_row_and_every_row_a_field() -> None:
    assert sorted({str(step) for step in FIELDS} ^ set(ROWS)) == []


@pytest.mark.parametrize("caller", CALLERS)
async def test_fields_let_in_whom_their_rows_say(gateway: Gateway, caller: str) -> None:
    headers = tokens(gateway)[caller]
    wrong: list[str] = []
    for step in FIELDS:
        path = PATHS.to(step)
        assert path is not None, step
        furnish(gateway)
        document = PATHS.document(path)
        if path[0].type_name == "Subscription":
            body = await first_event(gateway, document, headers)
        else:
            body = await gateway.run(document, headers=headers)
        found = {error["extensions"]["reason"] for error in body.get("errors", ())}
        found |= {each.get("code") for each in (body["data"] or {}).values() if isinstance(each, dict)} - {None}
        wanted = expected(path, caller)
        refused = found & DOORS
        if refused != ({wanted} if wanted else set()):
            wrong.append(f"{step} refused {refused or 'nobody'}, not {wanted}: {document}")
        # Who is let in got to somebody who decides; who is not, did not change anything.
        calls = gateway.behind.spent()
        root = ROWS[str(path[0])]
        # No NATS is there for subscriptions to follow.
        is_refused_later = (root is Need.OWN and caller == "guest") or found == {"LIVE_UNAVAILABLE"}
        if wanted is None and not calls and not is_refused_later and step not in SEALED:
            wrong.append(f"{step} asked nobody: {found} {document}")
        if expected(path[:1], caller) is not None and calls:
            wrong.append(f"{step} called {calls} for somebody who is not let in")
    assert wrong == [], "\n".join(wrong)
