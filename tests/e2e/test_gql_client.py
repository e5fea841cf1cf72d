"""`gql`, a client that knows nothing of MUSEED, unchanged: over HTTP, over sockets, from sign-up to a playlist."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from gql import Client, gql
from gql.client import AsyncClientSession, ReconnectingAsyncClientSession
from gql.transport.exceptions import TransportConnectionFailed, TransportQueryError
from gql.transport.httpx import HTTPXAsyncTransport
from gql.transport.websockets import WebsocketsTransport
from graphql import GraphQLError, build_schema, lexicographic_sort_schema, print_schema

from clients.python.generator.__main__ import SCHEMA
from tests.e2e.conftest import RunningMesh, tone, write_track

Session = AsyncClientSession | ReconnectingAsyncClientSession
# The machine of the tests may be busy.
WAIT_S = 180

REFUSED = "fragment Refused on UserError { code message field value limit retryAfterMs }"
SIGN_UP = gql(f"""mutation SignUp($input: SignUpInput!) {{ signUp(input: $input) {{ __typename
  ... on SignUpSuccess {{ viewer {{ user {{ username }} }} tokens {{ accessToken }} }} ...Refused }} }} {REFUSED}""")
LOG_IN = gql(f"""mutation LogIn($input: LogInInput!) {{ logIn(input: $input) {{ __typename
  ... on LogInSuccess {{ tokens {{ accessToken }} }} ...Refused }} }} {REFUSED}""")
SEARCH = gql("""query Search($query: String!) { searchTracks(query: $query, first: 2) {
    edges { cursor node { ...Row } } pageInfo { hasNextPage endCursor } } }
  fragment Row on Track { trackId title ...Sound } fragment Sound on Track { durationSeconds genre }""")
GENERATE = gql(f"""mutation Generate($input: GeneratePlaylistInput!) {{ generatePlaylist(input: $input) {{ __typename
  ... on GeneratePlaylistSuccess {{ job {{ id jobId state }} }} ...Refused }} }} {REFUSED}""")
PROGRESS = gql("""subscription Progress($id: ID!) { jobProgress(jobId: $id) {
  state progress stage { unit done total } etaSeconds isFinished playlist { title } playlistId } }""")
PLAYLIST = gql(
    """query Playlist($id: ID!) { playlist(id: $id) { version entries { nodes { track { title artist } } } } }"""
)
RENAME = gql(f"""mutation Rename($input: UpdatePlaylistInput!) {{ updatePlaylist(input: $input) {{ __typename
  ... on UpdatePlaylistSuccess {{ playlist {{ title version }} }} ...Refused }} }} {REFUSED}""")
FOLLOW = gql(f"""mutation Follow($input: FollowUserInput!) {{ followUser(input: $input) {{ __typename
  ... on FollowUserSuccess {{ relation {{ isFollowing }} }} ...Refused }} }} {REFUSED}""")
NOTICES = gql("""subscription Notices($after: String) { notifications(after: $after) {
  cursor unreadCount notification { kind actor { username } } } }""")
ME = gql("{ me { user { userId username } } }")


@asynccontextmanager
async def over_http(mesh: RunningMesh, token: str = "") -> AsyncIterator[Session]:
    """Open gql's session over HTTP; it asks for the schema and holds every document against it."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    transport = HTTPXAsyncTransport(f"{mesh.url}/graphql", headers=headers, timeout=WAIT_S)
    async with Client(transport=transport, fetch_schema_from_transport=True, execute_timeout=WAIT_S) as session:
        yield session


@asynccontextmanager
async def over_socket(mesh: RunningMesh, token: str = "") -> AsyncIterator[Session]:
    """Open gql's session over a socket."""
    transport = WebsocketsTransport(
        f"{mesh.url.replace('http', 'ws', 1)}/graphql",
        init_payload={"authorization": f"Bearer {token}"} if token else {},
        connect_timeout=WAIT_S,
        ack_timeout=WAIT_S,
    )
    async with Client(transport=transport, execute_timeout=WAIT_S) as session:
        yield session


async def run(session: Session, document: Any, **variables: Any) -> dict[str, Any]:
    document.variable_values = variables
    found: dict[str, Any] = await session.execute(document)
    return found


async def sign_up(mesh: RunningMesh, name: str) -> str:
    """Make an account by gql and return its access token."""
    account = {"username": name, "email": f"{name}@example.org", "password": f"password of {name}"}
    async with over_http(mesh) as session:
        found = (await run(session, SIGN_UP, input=account))["signUp"]
    assert (found["__typename"], found["viewer"]["user"]) == ("SignUpSuccess", {"username": name})
    token: str = found["tokens"]["accessToken"]
    return token


async def test_schema_is_told_whole_and_documents_are_held_against_it(mesh: RunningMesh) -> None:
    async with over_http(mesh) as session:
        told = session.client.schema
        assert told is not None
        written = build_schema(SCHEMA.read_text())
        assert print_schema(lexicographic_sort_schema(told)) == print_schema(lexicographic_sort_schema(written))
        with pytest.raises(GraphQLError, match="Cannot query field 'titel' on type 'Track'"):
            await run(session, gql('query { searchTracks(query: "") { nodes { titel } } }'))


async def test_a_person_comes_to_a_playlist_by_gql_alone(mesh: RunningMesh, tmp_path: Path) -> None:
    await sign_up(mesh, "gql-ann")
    async with over_http(mesh) as guest:
        wrong = (await run(guest, LOG_IN, input={"login": "gql-ann", "password": "wrong"}))["logIn"]
        assert (wrong["__typename"], wrong["code"]) == ("UnauthenticatedError", "BAD_CREDENTIALS")
        entered = await run(guest, LOG_IN, input={"login": "gql-ann", "password": "password of gql-ann"})
        token = entered["logIn"]["tokens"]["accessToken"]
    upload = write_track(tmp_path / "long.flac", tone(60, 300, 5, 2, seed=11), title="Long demo")
    async with over_http(mesh, token) as session, httpx.AsyncClient(base_url=mesh.url, timeout=WAIT_S) as plain:
        found = (await run(session, SEARCH, query="Piece 2-1"))["searchTracks"]
        assert found["edges"][0]["node"]["title"] == "Piece 2-1"
        assert found["pageInfo"]["endCursor"] == found["edges"][-1]["cursor"]
        headers = {"Authorization": f"Bearer {token}", "X-File-Name": "long.flac"}
        sent = await plain.post("/uploads", content=upload.read_bytes(), headers=headers)
        assert sent.status_code == 201
        request = {"seeds": [{"uploadId": sent.json()["uploadId"]}], "length": 3, "title": "By gql"}
        job = (await run(session, GENERATE, input=request))["generatePlaylist"]["job"]
        seen = []
        async with asyncio.timeout(WAIT_S), over_socket(mesh, token) as live:
            PROGRESS.variable_values = {"id": job["id"]}
            async for event in live.subscribe(PROGRESS):
                seen.append(event["jobProgress"])
        order = ["QUEUED", "EMBEDDING", "SEARCHING", "ARRANGING", "SUCCEEDED"]
        states = [order.index(one["state"]) for one in seen]
        assert (states, seen[-1]["isFinished"]) == (sorted(states), True)
        assert (seen[-1]["playlist"], seen[-1]["progress"], seen[-1]["etaSeconds"]) == ({"title": "By gql"}, 1.0, None)
        playlist_id = seen[-1]["playlistId"]
        playlist = (await run(session, PLAYLIST, id=playlist_id))["playlist"]
        assert len(playlist["entries"]["nodes"]) == 3
        async with over_socket(mesh, token) as live:
            edit = {"playlistId": playlist_id, "version": playlist["version"], "title": "Renamed"}
            done = (await run(live, RENAME, input=edit))["updatePlaylist"]
            assert done["playlist"] == {"title": "Renamed", "version": playlist["version"] + 1}
            late = (await run(live, RENAME, input={**edit, "title": "Too late"}))["updatePlaylist"]
            assert (late["__typename"], late["code"]) == ("ConflictError", "VERSION_CONFLICT")


async def test_what_was_missed_comes_behind_the_cursor_and_nothing_twice(mesh: RunningMesh) -> None:
    token = await sign_up(mesh, "gql-bea")
    followers = [f"gql-fan-{number}" for number in range(4)]
    tokens = [await sign_up(mesh, name) for name in followers]
    async with over_http(mesh, token) as session:
        bea = (await run(session, ME))["me"]["user"]["userId"]

    async def follow(number: int) -> None:
        async with over_http(mesh, tokens[number]) as session:
            done = (await run(session, FOLLOW, input={"userId": bea}))["followUser"]
            assert done["relation"] == {"isFollowing": True}

    async def told(after: str | None, count: int, number: int) -> tuple[list[str], str]:
        """Listen from a cursor on; from the first sign of life on, another one follows. Until so many were told of."""
        names: list[str] = []
        cursor = ""
        async with asyncio.timeout(WAIT_S), over_socket(mesh, token) as live:
            NOTICES.variable_values = {"after": after}
            has_followed = False
            async for event in live.subscribe(NOTICES):
                found = event["notifications"]
                cursor = found["cursor"]
                if not has_followed:
                    has_followed = True
                    await follow(number)
                notice = found["notification"]
                if notice is not None and notice["kind"] == "FOLLOWED":  # the first one is worth a badge, too
                    names.append(notice["actor"]["username"])
                if len(names) == count:
                    break
        return names, cursor

    first, cursor = await told(None, 1, 0)
    assert first == followers[:1]
    await follow(1)
    await follow(2)
    rest, _ = await told(cursor, 3, 3)
    assert rest == followers[1:]


async def test_errors_have_their_codes_over_both_doors(mesh: RunningMesh) -> None:
    async with over_http(mesh) as session, over_socket(mesh) as live:
        for door in (session, live):
            with pytest.raises(TransportQueryError) as caught:
                await run(door, PLAYLIST, id="01900000-0000-7000-8000-000000000000")
            (error,) = caught.value.errors or []
            assert error["path"] == ["playlist"]
            told = {name: error["extensions"][name] for name in ("code", "reason", "field")}
            assert told == {"code": "NOT_FOUND", "reason": "PLAYLIST_NOT_FOUND", "field": "id"}
        PROGRESS.variable_values = {"id": "01900000-0000-7000-8000-000000000000"}
        with pytest.raises(TransportQueryError, match="LOGIN_REQUIRED"):
            async for _ in live.subscribe(PROGRESS):
                pass
    with pytest.raises(TransportQueryError, match="TOKEN_INVALID"):  # where gql asks for the schema
        async with over_http(mesh, "garbage"):
            pass
    with pytest.raises(TransportConnectionFailed):
        async with over_socket(mesh, "garbage"):
            pass
