"""A gateway on a real socket over fake upstreams on real sockets, in the test's own loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from pydantic import SecretStr

from services.chassis.blobs import open_blob_store
from services.gateway.__main__ import HttpServer, listen
from services.gateway.app import make_app
from services.gateway.auth import Authenticator
from services.gateway.budget import Budgets
from services.gateway.clients import Upstream
from services.gateway.connections import has_come, server_config
from services.gateway.context import Parts
from services.gateway.counts import GatewayCounts
from services.gateway.guard import Guard
from services.gateway.health import Health
from services.gateway.live.live import Live
from services.gateway.settings import GatewaySettings
from services.gateway.signing import StreamSigner
from services.gateway.transcoding.transcoder import Transcoder
from services.gateway.trusted import TrustedDocuments
from tests.fakes.tokens import TokenSigner
from tests.fakes.upstreams import FakeRetriever, FakeSocial, Upstreams, upstreams

SIGNING_KEY = "a signing key of at least 32 bytes"


@dataclass
class Gateway:
    """A running gateway and everything around it."""

    url: str
    http: httpx.AsyncClient
    parts: Parts
    health: Health
    behind: Upstreams
    signer: TokenSigner
    blobs: Path
    guard: Guard

    @property
    def social(self) -> FakeSocial:
        return self.behind.social

    @property
    def retriever(self) -> FakeRetriever:
        return self.behind.retriever

    def bearer(self, **claims: Any) -> dict[str, str]:
        """Return the header of a user, "user-1" unless claims say otherwise."""
        return {"Authorization": f"Bearer {self.signer.token(**claims)}"}

    async def run(
        self, document: str, variables: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Run an operation and return the whole answer."""
        response = await self.http.post(
            "/graphql", json={"query": document, "variables": variables or {}}, headers=headers or {}
        )
        assert response.status_code == 200, response.text
        body: dict[str, Any] = response.json()
        return body

    async def data(
        self, document: str, variables: dict[str, Any] | None = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Run an operation that must not fail and return its data."""
        body = await self.run(document, variables, headers)
        assert "errors" not in body, body["errors"]
        data: dict[str, Any] = body["data"]
        return data


@asynccontextmanager
async def serving_gateway(
    folder: Path, trusted: TrustedDocuments | None = None, counts: GatewayCounts | None = None, **changes: Any
) -> AsyncIterator[Gateway]:
    """Serve a gateway with other settings than the usual ones."""
    signer = TokenSigner()
    blobs = folder / "blobs"
    async with upstreams(signer) as behind:
        settings = GatewaySettings(
            listen="127.0.0.1:0",
            social_address=behind.social_address,
            retriever_address=behind.retriever_address,
            blob_store_url=f"file://{blobs}",
            transcode_folder=folder / "transcodes",
            url_signing_key=SecretStr(SIGNING_KEY),
            drain_timeout_s=2,
        ).model_copy(update=changes)
        upstream = Upstream(settings.social_address, settings.retriever_address)
        authenticator = Authenticator(upstream)
        parts = Parts(
            settings=settings,
            upstream=upstream,
            authenticator=authenticator,
            signer=StreamSigner(SIGNING_KEY.encode(), settings.stream_url_lifetime_s),
            live=Live(SIGNING_KEY.encode(), authenticator.revocations),
            blobs=open_blob_store(settings.blob_store_url),
            transcoder=Transcoder(
                settings.transcode_folder, settings.transcode_cache_bytes, settings.transcodes_at_once
            ),
            budgets=Budgets(settings.cost_capacity, settings.cost_refill_per_s),
            trusted=trusted or TrustedDocuments(),
            counts=counts or GatewayCounts(),
        )
        health = Health(upstream)
        threads = ThreadPoolExecutor(4)
        listener = listen(settings)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        guard = Guard(make_app(parts, health, threads), settings, has_come, lambda: health.is_leaving)
        parts.upstream.on_busy = guard.admission.note_busy
        server = HttpServer(server_config(guard, settings))
        serving = asyncio.create_task(server.serve_from(listener))
        while not server.started:
            await asyncio.sleep(0.005)
        try:
            async with httpx.AsyncClient(base_url=url, timeout=30) as http:
                yield Gateway(url, http, parts, health, behind, signer, blobs, guard)
        finally:
            server.should_exit = True
            with contextlib.suppress(asyncio.CancelledError):
                await serving
            await parts.transcoder.close()
            await upstream.close()
            threads.shutdown()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_gateway(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    """A gateway with the usual settings for a whole module, whose tests run in one loop: starting one takes 0.3 s."""
    async with serving_gateway(tmp_path_factory.mktemp("gateway")) as running:
        yield running


@pytest.fixture
def gateway(shared_gateway: Gateway) -> Gateway:
    """The module's gateway, with upstreams and blob store as new."""
    shared_gateway.behind.reset()
    shared_gateway.parts.budgets.clear()
    for path in shared_gateway.blobs.rglob("*"):
        if path.is_file():
            path.unlink()
    return shared_gateway


@pytest.fixture
async def own_gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    """A gateway of this test's own, in its own loop: for what cannot be undone."""
    async with serving_gateway(tmp_path) as running:
        yield running
