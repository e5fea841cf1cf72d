"""The ASGI application: which path leads where."""

from concurrent.futures import ThreadPoolExecutor

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route, WebSocketRoute

from services.chassis.errors import DomainError, InvalidArgument, NotFound
from services.chassis.telemetry import REQUEST_ID_HEADER
from services.gateway.avatars import Avatars
from services.gateway.border import Border, error_response
from services.gateway.code_file import code_file
from services.gateway.context import Parts
from services.gateway.covers.route import Covers
from services.gateway.exports import Exports
from services.gateway.graphql_route import GraphQLRoute
from services.gateway.health import Health
from services.gateway.jwks import Jwks
from services.gateway.pages import pages
from services.gateway.playlist_files import PlaylistFiles
from services.gateway.schema import make_schema
from services.gateway.share_page import SharePage
from services.gateway.streaming import AudioStreams
from services.gateway.token_streams import TokenStreams
from services.gateway.tolls import GATHER, MAKE, Tolls
from services.gateway.trend_export import TrendExport
from services.gateway.tus import protocol
from services.gateway.tus.partial_uploads import PartialUploads
from services.gateway.tus.route import TusUploads
from services.gateway.upload_intake import UploadIntake
from services.gateway.uploads import Uploads
from services.gateway.web_folder import web_client

_FRONT_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>MUSEED</title>
<style>body{font:16px/1.5 sans-serif;max-width:40em;margin:4em auto;padding:0 1em}code{background:#eee}</style></head>
<body><h1>MUSEED</h1>
<p>One song in, a playlist out: playlists from how music sounds.</p>
<ul><li><a href="/graphql">GraphiQL</a>: try the API (<code>POST /graphql</code>).</li>
<li><code>POST /uploads</code>: send an audio file as a seed.</li>
<li><code>GET /tracks/{id}/stream</code>: listen; take the address from <code>streamUrl</code>.</li></ul>
</body></html>
"""
_REQUEST_HEADERS = (
    "Authorization", "Content-Type", "Idempotency-Key", "X-File-Name", "Range", "If-Range", REQUEST_ID_HEADER,
)  # fmt: skip
_RESPONSE_HEADERS = (
    "Content-Disposition", "Content-Range", "Accept-Ranges", "ETag", "Retry-After", REQUEST_ID_HEADER,
)  # fmt: skip
_FRONT_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


def make_app(parts: Parts, health: Health, threads: ThreadPoolExecutor) -> Starlette:
    """Put the application together.

    Args:
        parts: The parts of the process.
        health: What probes ask.
        threads: Reads audio files.
    """
    graphql = GraphQLRoute(make_schema(), parts)
    streams = AudioStreams(parts, threads)
    uploads = _UploadRoutes(parts)
    playlist_files = PlaylistFiles(parts)
    covers = Covers(parts, threads)
    paid = Tolls.of(parts.settings).on
    return Starlette(
        routes=[
            *(web_client(parts.settings) or [Route("/", _front_page)]),
            Route("/graphql", graphql),
            WebSocketRoute("/graphql", graphql),
            Route("/uploads", uploads.describe, methods=["OPTIONS"]),
            Route("/uploads", paid(uploads.create, MAKE), methods=["POST"]),
            Route("/uploads/{upload_id}", paid(uploads.handle), methods=["HEAD", "PATCH", "DELETE", "POST"]),
            Route("/users/{user_id}/avatar.svg", paid(Avatars(parts).handle), methods=["GET", "HEAD"]),
            Route("/uploads/{upload_id}/stream", paid(streams.handle_upload), methods=["GET", "HEAD"]),
            Route("/tracks/{track_id}/stream", paid(streams.handle), methods=["GET", "HEAD"]),
            Route("/stream/{secret}/{track_id}", paid(TokenStreams(parts, streams).handle), methods=["GET", "HEAD"]),
            Route("/playlists/import", paid(playlist_files.take, GATHER), methods=["POST"]),
            Route(
                "/playlists/{playlist_id}/export.{format}", paid(playlist_files.export, MAKE), methods=["GET", "HEAD"]
            ),
            Route("/p/{slug}", paid(SharePage(parts).handle, MAKE), methods=["GET", "HEAD"]),
            Route("/trends.csv", paid(TrendExport(parts).handle, GATHER), methods=["GET"]),
            Route("/exports/{export_id}", paid(Exports(parts).handle), methods=["GET", "HEAD"]),
            Route("/codes.json", code_file, methods=["GET", "HEAD"]),
            Route("/.well-known/jwks.json", Jwks(parts.upstream.fetch_jwks).handle, methods=["GET", "HEAD"]),
            *pages(),
            Route("/tracks/{track_id}/cover", paid(covers.handle_track), methods=["GET", "HEAD"]),
            Route("/albums/{album_id}/cover", paid(covers.handle_album, MAKE), methods=["GET", "HEAD"]),
            Route("/favicon.ico", _no_icon, methods=["GET", "HEAD"]),
            Route("/healthz", health.alive),
            Route("/readyz", health.ready),
        ],
        middleware=[
            Middleware(Border, is_leaving=lambda: health.is_leaving, counts=parts.counts),
            Middleware(TrustedHostMiddleware, allowed_hosts=list(parts.settings.allowed_hosts), www_redirect=False),
            Middleware(
                CORSMiddleware,
                allow_origins=parts.settings.cors_origins,
                # Only for origins that are named: else any page could have cookies sent and read the answer.
                allow_credentials="*" not in parts.settings.cors_origins,
                allow_methods=["GET", "HEAD", "POST", "PATCH", "DELETE"],
                allow_headers=[*_REQUEST_HEADERS, *protocol.REQUEST_HEADERS],
                expose_headers=[*_RESPONSE_HEADERS, *protocol.RESPONSE_HEADERS],
            ),
        ],
        exception_handlers={DomainError: _refuse, HTTPException: _refuse_by_router},
    )


class _UploadRoutes(TusUploads):
    """Both ways of uploading, which share POST /uploads: clients of tus say so in a header."""

    def __init__(self, parts: Parts) -> None:
        intake = UploadIntake(parts)
        super().__init__(parts, intake, PartialUploads(parts.blobs, parts.settings.partial_upload_life_s))
        self._plain = Uploads(intake, parts.settings.max_upload_bytes)

    async def create(self, request: Request) -> Response:
        """Take a whole file, or begin a resumable upload."""
        is_resumable = "tus-resumable" in request.headers
        return await (super().create(request) if is_resumable else self._plain.handle(request))


async def _front_page(request: Request) -> Response:
    return HTMLResponse(_FRONT_PAGE, headers={"Content-Security-Policy": _FRONT_PAGE_POLICY})


async def _no_icon(request: Request) -> Response:
    """Spare browsers, which ask for one with every page, a complaint."""
    return Response(status_code=204, headers={"Cache-Control": "public, max-age=86400"})


async def _refuse(request: Request, error: Exception) -> Response:
    if not isinstance(error, DomainError):
        raise error
    return error_response(error)


async def _refuse_by_router(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException) and error.status_code == 405:
        refusal: DomainError = InvalidArgument(
            f"{request.method} does nothing here", reason="METHOD_NOT_ALLOWED", value=request.method
        )
    else:
        refusal = NotFound("there is nothing here", reason="NOT_FOUND", value=request.url.path)
    return error_response(refusal)
