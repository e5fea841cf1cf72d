"""The gateway as it is run, before a social process of a test, and people who come through it."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.conftest import free_port
from tests.integration.social.conftest import TIMEOUT_S, Mesh, until

ERROR = "... on UserError { code }"
TOKENS = "tokens { accessToken refreshToken }"


@dataclass
class Door:
    """A running gateway."""

    url: str
    http: httpx.AsyncClient

    async def post(self, document: str, token: str = "", input: Any = None, **headers: str) -> httpx.Response:
        """Send a document, under a token where one is given."""
        if token:
            headers["Authorization"] = f"Bearer {token}"
        variables = {"input": input} if input is not None else {}
        return await self.http.post("/graphql", json={"query": document, "variables": variables}, headers=headers)

    async def run(self, document: str, token: str = "", input: Any = None, **headers: str) -> dict[str, Any]:
        """Send a document of one field, named `result`, that must be answered, and return that."""
        body = (await self.post(document, token, input, **headers)).json()
        assert "errors" not in body, body["errors"]
        result: dict[str, Any] = body["data"]["result"]
        return result

    async def do(self, name: str, input: Any = None, token: str = "", wanted: str = "__typename") -> dict[str, Any]:
        """Run a mutation that must succeed."""
        kind = name[0].upper() + name[1:]
        head = f"($input: {kind}Input!)" if input is not None else ""
        call = f"{name}(input: $input)" if input is not None else name
        document = f"mutation{head} {{ result: {call} {{ __typename ... on {kind}Success {{ {wanted} }} {ERROR} }} }}"
        result = await self.run(document, token, input)
        assert result["__typename"] == f"{kind}Success", result
        return result

    async def log_in(self, login: str, password: str) -> dict[str, str]:
        """Begin a session and return its tokens."""
        found = await self.do("logIn", {"login": login, "password": password}, wanted=TOKENS)
        tokens: dict[str, str] = found["tokens"]
        return tokens

    async def reason(self, token: str) -> str | None:
        """Return why a token is refused; None where it is not."""
        body = (await self.post("{ result: me { email } }", token)).json()
        return None if "errors" not in body else str(body["errors"][0]["extensions"]["reason"])


@asynccontextmanager
async def gateway_before(mesh: Mesh, folder: Path) -> AsyncIterator[Door]:
    """Run a gateway before the social process and the fake retriever of a mesh."""
    nats, port = mesh.nats.settings("gateway"), free_port()
    environment = {
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "GATEWAY_SOCIAL_ADDRESS": mesh.settings.listen,
        "GATEWAY_RETRIEVER_ADDRESS": mesh.settings.retriever_address,
        "GATEWAY_URL_SIGNING_KEY": "k" * 32,
        "GATEWAY_BLOB_STORE_URL": f"file://{folder / 'blobs'}",
        "GATEWAY_TRANSCODE_FOLDER": str(folder / "transcodes"),
        "GATEWAY_UPSTREAM_TIMEOUT_S": "60",
        "GATEWAY_REQUEST_TIMEOUT_S": "60",
        "NATS_URL": nats.url,
        "NATS_USER": nats.user,
        "NATS_PASSWORD": nats.password,
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.gateway", env={**os.environ, **environment}, stderr=PIPE
    )
    assert process.stderr is not None
    draining = asyncio.create_task(process.stderr.read())
    url = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S) as http:

            async def is_ready() -> bool:
                try:
                    parts = (await http.get("/readyz")).json()["parts"]
                except httpx.TransportError:
                    return False
                # The fake retriever never says that it serves.
                return bool(parts["social"] == parts["bus"] == "serving")

            await until(is_ready)
            yield Door(url, http)
    finally:
        process.kill()
        await process.wait()
        await draining
