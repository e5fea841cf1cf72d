"""Documents by their digest, a gateway that runs no others, and one that tells nothing of its schema."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.gateway.trusted import TrustedDocuments, document_id
from tests.integration.gateway.conftest import Gateway, serving_gateway
from tests.integration.gateway.socket_client import initialised

SEARCH = "query Search($first: Int!) { searchTracks(first: $first) { nodes { title } } }"
PROGRESS = "subscription Watch($id: ID!) { jobProgress(jobId: $id) { state } }"
BY_ID = {document_id(text): text for text in (SEARCH, PROGRESS)}


async def post(gateway: Gateway, **request: Any) -> dict[str, Any]:
    response = await gateway.http.post("/graphql", json=request, headers=gateway.bearer())
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


def reason(body: dict[str, Any]) -> tuple[str, str]:
    (error,) = body["errors"]
    return error["extensions"]["code"], error["extensions"]["reason"]


@pytest.mark.parametrize("is_closed", [False, True], ids=["open", "closed"])
async def test_documents_run_by_their_ids(tmp_path: Path, is_closed: bool) -> None:
    async with serving_gateway(tmp_path, TrustedDocuments(BY_ID, is_closed=is_closed)) as gateway:
        gateway.social.add_tracks(2)
        found = {"searchTracks": {"nodes": [{"title": "Track 000"}]}}
        named = f"sha256:{document_id(SEARCH)}"
        persisted = {"persistedQuery": {"version": 1, "sha256Hash": document_id(SEARCH)}}
        variables = {"first": 1}
        assert (await post(gateway, documentId=named, variables=variables))["data"] == found
        assert (await post(gateway, documentId=named, operationName="Search", variables=variables))["data"] == found
        assert (await post(gateway, extensions=persisted, variables=variables))["data"] == found
        assert (await post(gateway, query=SEARCH, variables=variables))["data"] == found
        assert gateway.behind.spent() == {"SearchTracks": 4}
        unknown = await post(gateway, documentId="sha256:" + "0" * 64, operationName="Search")
        assert (unknown["data"], reason(unknown)) == (None, ("NOT_FOUND", "DOCUMENT_UNKNOWN"))
        other = await post(gateway, query="query Other { searchTracks { nodes { id } } }", operationName="Other")
        if is_closed:
            assert (other["data"], reason(other)) == (None, ("PERMISSION_DENIED", "DOCUMENT_NOT_TRUSTED"))
            assert reason(await post(gateway, query="{ not even")) == ("PERMISSION_DENIED", "DOCUMENT_NOT_TRUSTED")
            assert gateway.behind.spent() == {}
        else:
            assert len(other["data"]["searchTracks"]["nodes"]) == 2


@pytest.mark.parametrize("is_closed", [False, True], ids=["open", "closed"])
async def test_sockets_take_ids_too(tmp_path: Path, is_closed: bool) -> None:
    async with serving_gateway(tmp_path, TrustedDocuments(BY_ID, is_closed=is_closed)) as gateway:
        job = gateway.social.add_job()
        variables = {"id": job.job_id}
        token = gateway.bearer()["Authorization"]
        async with asyncio.timeout(60), initialised(gateway.url, token) as client:
            payload = {"documentId": f"sha256:{document_id(PROGRESS)}", "variables": variables}
            await client.send(id="1", type="subscribe", payload=payload)
            message = await client.receive()
            assert (message["type"], message["payload"]["data"]) == ("next", {"jobProgress": {"state": "QUEUED"}})
            await client.send(id="1", type="complete")
            await client.send(id="2", type="subscribe", payload={"documentId": "0" * 64})
            message = await client.receive()
            assert (message["id"], message["type"]) == ("2", "error")
            assert message["payload"][0]["extensions"]["reason"] == "DOCUMENT_UNKNOWN"
            await client.subscribe("3", PROGRESS.replace("Watch", "Other"), variables)
            message = await client.receive()
            assert (message["id"], message["type"]) == ("3", "error" if is_closed else "next")
            if is_closed:
                assert message["payload"][0]["extensions"]["reason"] == "DOCUMENT_NOT_TRUSTED"


async def test_who_may_not_explore_learns_nothing_of_the_schema(tmp_path: Path) -> None:
    async with serving_gateway(tmp_path, explorable=False) as gateway:
        assert (await gateway.http.get("/graphql", headers={"accept": "text/html"})).status_code == 404
        for document in (
            "{ __schema { types { name } } }",
            '{ a: __type(name: "Query") { name } }',
            "{ ...a } fragment a on Query { ... { __schema { types { name } } } }",
            "{ me { email } ... on Query @include(if: false) { __schema { types { name } } } }",
        ):
            for _ in range(2):  # the second time it could be a document that is known
                body = await gateway.run(document)
                assert (body["data"], reason(body)) == (None, ("PERMISSION_DENIED", "INTROSPECTION_OFF"))
        assert await gateway.data("{ __typename me { __typename } }") == {"__typename": "Query", "me": None}
        for document, variables in (
            ("{ searchTrack { nodes { id } } }", {}),
            ("{ searchTracks(frist: 1) { nodes { id } } }", {}),
            ("{ searchTracks { nodes { ... on Tracks { id } } } }", {}),
            ("mutation { updatePlaylist(input: {visibility: PUBLICK}) { __typename } }", {}),
            ("mutation($i: LogInInput!) { logIn(input: $i) { __typename } }", {"i": {"logn": "x", "password": "x"}}),
        ):
            body = await gateway.run(document, variables)
            assert reason(body)[1] == "DOCUMENT_INVALID" if len(body["errors"]) == 1 else body["data"] is None
            assert "Did you mean" not in str(body)


async def test_who_may_explore_is_helped(tmp_path: Path) -> None:
    async with serving_gateway(tmp_path) as gateway:
        body = await gateway.run("{ searchTrack { nodes { id } } }")
        assert "Did you mean 'searchTracks'" in body["errors"][0]["message"]
        assert (await gateway.data('{ __type(name: "Query") { name } }')) == {"__type": {"name": "Query"}}
