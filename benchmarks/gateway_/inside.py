"""A gateway whose upstreams are functions of the same process: what it costs by itself, with no network behind it."""

import asyncio
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from museed.social.v1 import accounts_pb2, catalog_pb2, playlists_pb2
from services.chassis.blobs import open_blob_store
from services.chassis.places import Places
from services.gateway.app import make_app
from services.gateway.auth import Authenticator
from services.gateway.budget import Budgets
from services.gateway.clients import Upstream
from services.gateway.connections import has_come
from services.gateway.context import Parts
from services.gateway.guard import Guard
from services.gateway.health import Health
from services.gateway.live.live import Live
from services.gateway.settings import GatewaySettings
from services.gateway.signing import StreamSigner
from services.gateway.transcoding.transcoder import Transcoder
from services.gateway.trusted import TrustedDocuments
from tests.fakes.tokens import TokenSigner
from tests.fakes.upstreams import FakeRetriever, FakeSocial

TRACKS = 25
_KEY = "a signing key of at least 32 bytes"


class Spent:
    """What all fakes of the process computed."""

    computed_s = 0.0


class Narrow:
    """A service that answers a few calls at a time, keeps some waiting, and refuses those beyond.

    Args:
        at_a_time: Calls that are answered.
        seconds: That each of them takes.
        places: Calls that are answered or wait.
    """

    def __init__(self, at_a_time: int, seconds: float, places: int) -> None:
        self._turns = asyncio.Semaphore(at_a_time)
        self._seconds = seconds
        self._places = Places(places, "calls")

    async def pass_through(self) -> None:
        """Take the time of a call; raises ResourceExhausted."""
        with self._places.take():
            async with self._turns:
                await asyncio.sleep(self._seconds)


class InProcess:
    """A stub whose methods are those of a fake, called without a wire."""

    def __init__(self, fake: FakeSocial | FakeRetriever, narrow: Narrow | None = None) -> None:
        self._fake = fake
        self._narrow = narrow

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._fake, name)

        async def call(request: Any, timeout: float | None = None, metadata: Any = None) -> Any:
            if self._narrow is not None:
                await self._narrow.pass_through()
            began = time.thread_time()  # no fake waits, so nothing else comes in between
            try:
                return await method(request, None)
            finally:
                Spent.computed_s += time.thread_time() - began

        setattr(self, name, call)
        return call


def furnished() -> tuple[FakeSocial, str]:
    """Return a social with one playlist of 25 tracks, the same in every process, and the playlist's id."""
    social = FakeSocial(TokenSigner())
    tracks = social.add_tracks(TRACKS)
    for number, track in enumerate(tracks):
        track.track_id = f"0190a000-0000-7000-8000-{number:012}"
    social.tracks = {track.track_id: track for track in tracks}
    owner = accounts_pb2.User(user_id="0190a000-0000-7000-8000-00000000ffff", username="mina", nickname="Mina")
    social.users[owner.user_id] = owner
    made = social.add_playlist(tracks, owner.user_id)
    whole = social.playlists.pop(made.playlist_id)
    whole.playlist.playlist_id = "0190a000-0000-7000-8000-00000000eeee"
    for number, entry in enumerate(whole.entries):
        entry.entry_id = f"0190a000-0000-7000-8000-{number:08}dddd"
    social.playlists[whole.playlist.playlist_id] = whole
    return social, whole.playlist.playlist_id


def page() -> tuple[playlists_pb2.GetPlaylistResponse, dict[str, catalog_pb2.Track], accounts_pb2.User]:
    """Return what the page is made of."""
    social, playlist_id = furnished()
    return social.playlists[playlist_id], social.tracks, next(iter(social.users.values()))


def make_gateway(port: int, narrow: Narrow | None = None) -> tuple[Guard, GatewaySettings, dict[str, Any]]:
    """Return the application, its settings, and the token and id with which to ask it; `GET /told` what it did."""
    social, playlist_id = furnished()
    settings = GatewaySettings(
        listen=f"127.0.0.1:{port}",
        url_signing_key=SecretStr(_KEY),
        cost_capacity=10**12,
        route_capacity=10**12,
        blob_store_url=f"file://{tempfile.mkdtemp()}",
    )
    upstream = Upstream("127.0.0.1:9", "127.0.0.1:9")
    for name, stub in list(vars(upstream).items()):
        if type(stub).__name__.endswith("Stub"):
            setattr(upstream, name, InProcess(social, narrow))
    upstream.retriever = InProcess(FakeRetriever())  # type: ignore[assignment]  # all that is asked of it
    authenticator = Authenticator(upstream)
    parts = Parts(
        settings=settings,
        upstream=upstream,
        authenticator=authenticator,
        signer=StreamSigner(_KEY.encode(), settings.stream_url_lifetime_s),
        live=Live(_KEY.encode(), authenticator.revocations),
        blobs=open_blob_store(settings.blob_store_url),
        transcoder=Transcoder(Path(tempfile.mkdtemp()), settings.transcode_cache_bytes, settings.transcodes_at_once),
        budgets=Budgets(settings.cost_capacity, settings.cost_refill_per_s),
        trusted=TrustedDocuments(),
    )
    app = make_app(parts, Health(upstream), ThreadPoolExecutor(4))

    async def told(request: Request) -> Response:
        """Tell what was called and computed since the last time."""
        spent, Spent.computed_s = Spent.computed_s, 0.0
        return JSONResponse({"calls": social.spent(), "computed_s": spent})

    app.router.routes.insert(0, Route("/told", told))
    guard = Guard(app, settings, has_come)
    upstream.on_busy = guard.admission.note_busy
    return guard, settings, {"token": social.signer.token(), "playlist_id": playlist_id}
