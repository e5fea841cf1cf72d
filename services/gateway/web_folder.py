"""GET / and /web/…: the files of a web client, which is then of the gateway's own origin.

They are read once, when the process starts: no request names a file of the disk.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.chassis.errors import NotFound
from services.gateway.sending import not_modified
from services.gateway.settings import GatewaySettings

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
    ".webmanifest": "application/manifest+json",
}
_FRONT = "index.html"
_MOST_FILES = 1000
_MOST_BYTES = 64 * 1024 * 1024
# Files of this origin alone, none of them inline, and no text that becomes markup or script.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    content_type: str
    etag: str


class WebFolder:
    """The routes of a web client.

    Args:
        folder: Holds `index.html`; everything of a known type below it is served under `/web/`, hidden files are not.

    Raises:
        ValueError: There is no `index.html`, or more than anybody would load.
    """

    def __init__(self, folder: Path) -> None:
        self._files = _read(folder)

    def routes(self) -> list[Route]:
        """Return the routes; `/` is the first."""
        return [
            Route("/", self._front, methods=["GET", "HEAD"]),
            Route("/web/{path:path}", self._below, methods=["GET", "HEAD"]),
        ]

    async def _front(self, request: Request) -> Response:
        return self._answer(request, _FRONT)

    async def _below(self, request: Request) -> Response:
        return self._answer(request, request.path_params["path"])

    def _answer(self, request: Request, name: str) -> Response:
        file = self._files.get(name)
        if file is None:
            raise NotFound("there is nothing here", reason="NOT_FOUND", value=request.url.path)
        # Asked for anew each time, and answered with 304 while nothing has changed: modules must fit each other.
        headers = {"Cache-Control": "no-cache", "Content-Security-Policy": _POLICY}
        if (known := not_modified(request, file.etag, headers)) is not None:
            return known
        told = {**headers, "ETag": file.etag, "Content-Length": str(len(file.content))}
        content = b"" if request.method == "HEAD" else file.content
        return Response(content, headers=told, media_type=file.content_type)


def web_client(settings: GatewaySettings) -> list[Route]:
    """Return the routes of the web client of the settings; none where there is none.

    Raises:
        SystemExit: The folder cannot be served.
    """
    if not settings.web_folder:
        return []
    try:
        return WebFolder(Path(settings.web_folder)).routes()
    except (OSError, ValueError) as error:
        raise SystemExit(f"GATEWAY_WEB_FOLDER: {error}") from error


def _read(folder: Path) -> Mapping[str, _File]:
    found: dict[str, _File] = {}
    size = 0
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        if path.suffix not in _TYPES or not path.is_file() or any(part.startswith(".") for part in below.parts):
            continue
        content = path.read_bytes()
        size += len(content)
        if len(found) == _MOST_FILES or size > _MOST_BYTES:
            raise ValueError(f"{folder} has more than {_MOST_FILES} files or {_MOST_BYTES} bytes")
        etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        found[below.as_posix()] = _File(content, _TYPES[path.suffix], etag)
    if _FRONT not in found:
        raise ValueError(f"{folder} has no {_FRONT}")
    return found
