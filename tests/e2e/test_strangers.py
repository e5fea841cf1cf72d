"""What is somebody's own, asked for by others through every field that takes an id: nothing is told or changed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from graphql import (
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    is_leaf_type,
    is_required_argument,
    is_required_input_field,
)

from deploy.local.client import GatewayClient
from deploy.local.playlists import search_tracks
from services.gateway.schema import make_schema
from tests.e2e.conftest import RunningMesh, tone, write_track
from tests.e2e.waiting import eventually
from tests.integration.gateway.schema_paths import sample

SCHEMA: GraphQLSchema = make_schema()._schema
# Stands in everything that is hers alone.
MARK = "zwischenfach"
IS_FINISHED = "query J($id: ID!) { job(id: $id) { isFinished } }"
ERROR = "... on UserError { code message }"
# They make or end sessions of the caller's own, whatever ids are given.
OWN = {
    "logOut",
    "revokeOtherSessions",
    "deleteAccount",
    "changePassword",
    "resetPassword",
    "signUp",
    "logIn",
    "refresh",
}


def made(client: GatewayClient, field: str, wanted: str, /, **input: Any) -> dict[str, Any]:
    kind = field[0].upper() + field[1:]
    document = f"""mutation M($input: {kind}Input!) {{ {field}(input: $input) {{ __typename
      ... on {kind}Success {{ {wanted} }} {ERROR} }} }}"""
    return client.mutate(document, input)


class Belongings:
    """What somebody has that is nobody else's, and their ids by kind."""

    def __init__(self, owner: GatewayClient, folder: Path) -> None:
        self.owner = owner
        track = search_tracks(owner, "Piece 0-0", 1)[0].track_id
        playlist = made(
            owner,
            "createPlaylist",
            "playlist { playlistId shareSlug entries(first: 5) { nodes { entryId } } }",
            title=f"{MARK} list",
            description=MARK,
            trackIds=[track],
        )["playlist"]
        audio = write_track(folder / f"{MARK}.flac", tone(5, 440, 3, 1, seed=1), title=MARK)
        upload = owner.upload(audio).upload_id
        job = made(owner, "generatePlaylist", "job { jobId }", seeds=[{"trackId": track}], title=f"{MARK} made")["job"]
        self.playlist_id = playlist["playlistId"]
        comment = made(
            owner, "addComment", "comment { commentId }", playlistId=self.playlist_id, text=f"{MARK} comment"
        )["comment"]
        token = made(owner, "createStreamToken", "token { tokenId }", playlistId=self.playlist_id)
        program = made(owner, "createApiToken", "apiToken { tokenId }", name=MARK, scopes=["READ"])
        export = made(owner, "requestDataExport", "exportId")
        session = owner.query("{ mySessions { nodes { sessionId } } }")["mySessions"]["nodes"][0]
        self.ids = {
            "playlist": self.playlist_id,
            "entry": playlist["entries"]["nodes"][0]["entryId"],
            "upload": upload,
            "job": job["jobId"],
            "comment": comment["commentId"],
            "stream token": token["token"]["tokenId"],
            "API token": program["apiToken"]["tokenId"],
            "export": export["exportId"],
            "session": session["sessionId"],
        }

    def seen(self) -> dict[str, Any]:
        """Read all of it as its owner sees it."""
        return self.owner.query(
            """query S($playlist: ID!, $job: ID!) {
              playlist(id: $playlist) { title description visibility version shareSlug likeCount
                entries(first: 5) { nodes { entryId trackId } } comments { nodes { text } } schedule { __typename } }
              myUploads { nodes { uploadId fileName } } job(id: $job) { state }
              myPlaylists { nodes { title visibility } } streamTokens(playlistId: $playlist) { nodes { tokenId } }
              myApiTokens { nodes { tokenId name } } mySessions { nodes { sessionId } } }""",
            playlist=self.playlist_id,
            job=self.ids["job"],
        )


def _takes_id(type_: GraphQLInputType, depth: int = 0) -> bool:
    named = get_named_type(type_)
    if isinstance(named, GraphQLInputObjectType) and depth < 3:
        return any(_takes_id(field.type, depth + 1) for field in named.fields.values())
    return str(named) == "ID"


def _with_id(type_: GraphQLInputType, id_: str, depth: int = 0) -> str:
    """Write a value with the id at all its places, and else what must be there."""
    if isinstance(type_, GraphQLNonNull):
        return _with_id(type_.of_type, id_, depth)
    if isinstance(type_, GraphQLList):
        return f"[{_with_id(type_.of_type, id_, depth)}]"
    if isinstance(type_, GraphQLInputObjectType):
        given = [
            f"{name}: {_with_id(field.type, id_, depth + 1)}"
            for name, field in type_.fields.items()
            if is_required_input_field(field) or (depth < 1 and _takes_id(field.type, depth + 1))
        ]
        return f"{{{', '.join(given)}}}"
    return f'"{id_}"' if str(type_) == "ID" else sample(type_)


def _told(type_: GraphQLOutputType, depth: int = 0) -> str:
    """Select what a type tells by itself, and what the things below it do."""
    named = get_named_type(type_)
    if isinstance(named, GraphQLUnionType):
        return "{ __typename " + " ".join(f"... on {each.name} {_told(each, depth)}" for each in named.types) + " }"
    if not isinstance(named, GraphQLObjectType):
        return ""
    wanted = ["__typename"]
    for name, field in named.fields.items():
        is_plain = is_leaf_type(get_named_type(field.type))
        if not any(is_required_argument(argument) for argument in field.args.values()) and (is_plain or depth < 2):
            if (
                is_plain
                or name in ("nodes", "edges", "node")
                or not str(get_named_type(field.type)).endswith("Connection")
            ):
                if name != "edges":
                    wanted.append(f"{name} {_told(field.type, depth + 1)}")
    return "{ " + " ".join(wanted) + " }"


def documents(id_: str) -> Iterator[tuple[str, str]]:
    """Write each root query and mutation that takes ids, with one wherever an id is wanted, and what it tells."""
    for kind, root in (("query", SCHEMA.query_type), ("mutation", SCHEMA.mutation_type)):
        assert root is not None
        for name, field in root.fields.items():
            if name in OWN or not any(_takes_id(argument.type) for argument in field.args.values()):
                continue
            arguments = ", ".join(
                f"{each}: {_with_id(argument.type, id_)}"
                for each, argument in field.args.items()
                if _takes_id(argument.type) or is_required_argument(argument)
            )
            named = get_named_type(field.type)
            if isinstance(named, GraphQLInterfaceType):  # one at a time: what they have in common is not of one type
                told = [f"{{ ... on {each.name} {_told(each)} }}" for each in SCHEMA.get_possible_types(named)]
            else:
                told = [_told(named)]
            yield from ((name, f"{kind} {{ {name}({arguments}) {one} }}") for one in told)


@pytest.fixture(scope="module")
def belongings(mesh: RunningMesh, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Belongings]:
    with mesh.person("zora") as owner:
        found = Belongings(owner, tmp_path_factory.mktemp("belongings"))
        eventually(lambda: owner.query(IS_FINISHED, id=found.ids["job"])["job"]["isFinished"])
        yield found


@pytest.mark.parametrize("who", ["somebody", "guest"])
def test_nobody_gets_at_what_is_somebody_elses_by_its_id(mesh: RunningMesh, belongings: Belongings, who: str) -> None:
    before = belongings.seen()
    told: list[str] = []
    asked = 0
    with mesh.person("yuri") if who == "somebody" else mesh.guest() as stranger:
        headers = {"Authorization": f"Bearer {stranger.token}"} if stranger.token else {}
        with httpx.Client(base_url=mesh.url, headers=headers, timeout=60) as http:
            for kind, id_ in belongings.ids.items():
                for name, document in documents(id_):
                    answer = http.post("/graphql", json={"query": document})
                    asked += 1
                    body = answer.json()
                    assert answer.status_code == 200, (name, body)
                    if any(error["extensions"]["reason"] == "DOCUMENT_INVALID" for error in body.get("errors", ())):
                        told.append(f"{name} cannot be asked: {document} {body['errors']}")
                    if MARK in json.dumps(body.get("data"), ensure_ascii=False):
                        told.append(f"{name} told a {kind}: {document} {body['data']}")
            for path in (
                "/uploads/{upload}/stream",
                "/playlists/{playlist}/export.jspf",
                "/playlists/{playlist}/export.jspf?token={stream token}",
                "/stream/{stream token}/{playlist}",
                "/exports/{export}",
            ):
                answer = http.get(path.format(**belongings.ids))
                assert answer.status_code in (400, 401, 403, 404), (path, answer.text)
                assert MARK not in answer.text
            for method in ("HEAD", "PATCH", "DELETE"):
                tus = {
                    "Tus-Resumable": "1.0.0",
                    "Upload-Offset": "0",
                    "Content-Type": "application/offset+octet-stream",
                }
                answer = http.request(method, f"/uploads/{belongings.ids['upload']}", headers=tus)
                assert answer.status_code in (401, 404), (method, answer.text)
    assert told == [], "\n".join(told)
    assert asked > 300
    assert belongings.seen() == before
