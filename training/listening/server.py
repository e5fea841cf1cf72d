"""Serves a listening test on the loopback interface: the page, its audio, and a place to send ratings to."""

import contextlib
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from training.listening.ratings import PlaylistUnknown, RatedAlready, Rating, RatingFile
from training.listening.study import RATINGS_FILE, public_files, read_key

MAX_BODY_BYTES = 8192

_HEADERS = {
    b"content-security-policy": b"default-src 'none'; script-src 'self'; style-src 'self'; media-src 'self';"
    b" connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"cache-control": b"no-cache",
}


def make_app(folder: Path) -> Starlette:
    """Build the application of a written test.

    Raises:
        StudyInvalid: The folder holds no test, or its ratings cannot be read.
    """
    files = public_files(folder)
    ratings = RatingFile(folder / RATINGS_FILE, read_key(folder).encoders)

    async def show(request: Request) -> Response:
        # Compared as it came, never joined to a folder.
        path = files.get(request.url.path)
        return FileResponse(path) if path else _refusal(404, "no such file")

    async def rate(request: Request) -> Response:
        return await _rate(request, ratings)

    async def rated(request: Request) -> Response:
        return JSONResponse({"playlists": ratings.rated_by(request.query_params.get("rater", ""))})

    routes = [
        Route("/ratings", rate, methods=["POST"]),
        Route("/ratings", rated, methods=["GET"]),
        Route("/{path:path}", show, methods=["GET"]),
    ]
    # A page of another site that has its name point here would be let in by the browser.
    hosts = Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])
    return Starlette(routes=routes, middleware=[Middleware(_Headers), hosts])


async def _rate(request: Request, ratings: RatingFile) -> Response:
    # Another site's form cannot send this type without asking first, and nobody here answers.
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        return _refusal(415, "send application/json")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return _refusal(413, f"a rating has at most {MAX_BODY_BYTES} bytes", {"connection": "close"})
    try:
        rating = Rating.model_validate_json(bytes(body))
        await run_in_threadpool(ratings.append, rating)
    except ValidationError as error:
        faults = [".".join(map(str, fault["loc"])) + ": " + fault["msg"] for fault in error.errors()]
        return _refusal(422, "; ".join(faults))
    except PlaylistUnknown as error:
        return _refusal(404, str(error))
    except RatedAlready as error:
        return _refusal(409, str(error))
    return JSONResponse({"playlist": rating.playlist}, 201)


def _refusal(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"message": message}, status, headers)


class _Headers:
    """Adds to every answer what keeps a browser from running or framing anything but the page."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, _adding(send) if scope["type"] == "http" else send)


def _adding(send: Send) -> Callable[[Message], Awaitable[None]]:
    async def add(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *_HEADERS.items()]
        await send(message)

    return add


def serve(folder: Path, port: int) -> None:
    """Serve a test on 127.0.0.1 until Ctrl-C, and print its address.

    Args:
        folder: A written test.
        port: To listen on; 0 takes a free one.

    Raises:
        StudyInvalid: The folder holds no test.
        OSError: The port is taken.
    """
    app = make_app(folder)
    with socket.create_server(("127.0.0.1", port)) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}/ until Ctrl-C", flush=True)
        with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises it again when it has shut down
            uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off")).run(sockets=[listener])
