"""GET and HEAD /playlists/{id}/export.{format}, POST /playlists/import: playlists as files of other programs."""

import asyncio
import contextlib
import hashlib
import logging
from collections import Counter
from collections.abc import Iterator
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from museed.social.v1 import exchange_pb2, playlists_pb2
from services.chassis import auth
from services.chassis.errors import DeadlineExceeded, InvalidArgument, ResourceExhausted
from services.gateway.context import Parts
from services.gateway.ids import decode_id
from services.gateway.ranges import is_not_modified
from services.gateway.schema.fields import key_or_new
from services.gateway.schema.playlist_format import PlaylistFormat, file_subject
from services.gateway.sealing import TokenSealer

logger = logging.getLogger(__name__)

# As social takes it.
MAX_FILE_BYTES = 5_000_000
# Each is held in memory as a whole.
MAX_IMPORTS = 16
MAX_IMPORTS_OF_ONE = 2
_BODY_TIMEOUT_S = 60.0
_RETRY_MS = 1000
_FORMATS = ", ".join(each.name.lower() for each in PlaylistFormat)
_VISIBILITIES = ("PRIVATE", "UNLISTED", "PUBLIC")


class PlaylistFiles:
    """The routes of playlists' files.

    Args:
        parts: The parts of the process.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._imports: Counter[str] = Counter()
        self._sealer = TokenSealer(parts.settings.url_signing_key.get_secret_value().encode())

    async def export(self, request: Request) -> Response:
        """Answer with a playlist that the caller may open, or has a stream token of, as a file.

        With `?token=SECRET` its rows are addresses that play, else paths below the root of the library.

        Raises:
            Unauthenticated: A bad token in the header.
            InvalidArgument: FORMAT_UNKNOWN.
            NotFound: PLAYLIST_NOT_FOUND.
            PermissionDenied: STREAM_TOKEN_REFUSED, or SIGNATURE_INVALID of an address that was made for another.
        """
        playlist_id = decode_id(request.path_params["playlist_id"], "Playlist", "playlistId")
        format_ = _format(request.path_params["format"])
        header = request.headers.get("authorization")
        await self._parts.authenticator.bind(
            self._sealer.authorization(file_subject(playlist_id, format_), request.query_params, header)
        )
        secret = request.query_params.get("token", "")
        answer = await self._parts.upstream.exchange.ExportPlaylist(
            exchange_pb2.ExportPlaylistRequest(
                playlist_id=playlist_id,
                format=format_.value,
                links=exchange_pb2.PLAYLIST_LINKS_TOKEN if secret else exchange_pb2.PLAYLIST_LINKS_PATHS,
                stream_secret=secret,
            ),
            timeout=self._parts.settings.upstream_timeout_s,
        )
        etag = f'"{hashlib.sha256(answer.content).hexdigest()}"'
        headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
        if is_not_modified(request.headers.get("if-none-match"), etag):
            return Response(status_code=304, headers=headers)
        headers["Content-Disposition"] = _attachment(answer.file_name)
        headers["Content-Type"] = answer.content_type
        return Response(answer.content, headers=headers)

    async def take(self, request: Request) -> Response:
        """Make a playlist of a file: its bytes are the body.

        Raises:
            Unauthenticated: No good token.
            InvalidArgument: FORMAT_UNKNOWN, VISIBILITY_UNKNOWN, CONTENT_TYPE_REFUSED, or what social says of the file.
            ResourceExhausted: BODY_TOO_LARGE, or TOO_MANY_IMPORTS at once.
            DeadlineExceeded: UPLOAD_STALLED.
        """
        await self._parts.authenticator.bind(request.headers.get("authorization"))
        auth.check(auth.Access.USER, auth.viewer())
        _refuse_forms(request.headers.get("content-type", ""))
        import_request = exchange_pb2.ImportPlaylistRequest(
            idempotency_key=key_or_new(request.headers.get("idempotency-key")),
            format=_format(request.query_params.get("format", "")).value,
            title=request.query_params.get("title", ""),
            visibility=_visibility(request.query_params.get("visibility")),
        )
        with self._place(auth.require_viewer().user_id):
            import_request.content = await _read(request)
            answer = await self._parts.upstream.exchange.ImportPlaylist(
                import_request, timeout=self._parts.settings.request_timeout_s
            )
        return JSONResponse(_made(answer), status_code=201)

    @contextlib.contextmanager
    def _place(self, user_id: str) -> Iterator[None]:
        for count, limit in ((self._imports.total(), MAX_IMPORTS), (self._imports[user_id], MAX_IMPORTS_OF_ONE)):
            if count >= limit:
                raise ResourceExhausted(
                    f"{limit} files are taken at once",
                    reason="TOO_MANY_IMPORTS",
                    limit=limit,
                    retry_after_ms=_RETRY_MS,
                )
        self._imports[user_id] += 1
        try:
            yield
        finally:
            self._imports -= Counter({user_id: 1})  # drops what comes to nothing


def _format(given: str) -> PlaylistFormat:
    # Not by upper(): it knows letters that become several.
    found = next((each for each in PlaylistFormat if each.name.lower() == given.lower()), None)
    if found is None:
        raise InvalidArgument(
            f"the format must be one of {_FORMATS}",
            reason="FORMAT_UNKNOWN",
            field="format",
            value=given,
            limit=_FORMATS,
        )
    return found


def _visibility(given: str | None) -> playlists_pb2.Visibility.ValueType:
    if given is None:
        return playlists_pb2.VISIBILITY_UNSPECIFIED
    if given not in _VISIBILITIES:
        raise InvalidArgument(
            "the visibility must be PRIVATE, UNLISTED or PUBLIC",
            reason="VISIBILITY_UNKNOWN",
            field="visibility",
            value=given,
            limit=", ".join(_VISIBILITIES),
        )
    return playlists_pb2.Visibility.Value(f"VISIBILITY_{given}")


def _refuse_forms(content_type: str) -> None:
    if content_type.lower().startswith(("multipart/", "application/x-www-form-urlencoded")):
        raise InvalidArgument(
            "send the file's bytes as the body, as application/octet-stream; forms are not taken",
            reason="CONTENT_TYPE_REFUSED",
            field="Content-Type",
            value=content_type,
            limit="application/octet-stream",
        )


def _attachment(file_name: str) -> str:
    """Return a Content-Disposition that names a file, whatever letters it has (RFC 6266, section 4.3)."""
    extension = file_name.rpartition(".")[2]
    return f"attachment; filename=\"playlist.{extension}\"; filename*=UTF-8''{quote(file_name, safe='')}"


async def _read(request: Request) -> bytes:
    content = bytearray()
    try:
        async with asyncio.timeout(_BODY_TIMEOUT_S):
            async for chunk in request.stream():
                content += chunk
                if len(content) > MAX_FILE_BYTES:
                    raise ResourceExhausted(
                        f"the file has more than {MAX_FILE_BYTES} bytes",
                        reason="BODY_TOO_LARGE",
                        field="body",
                        limit=MAX_FILE_BYTES,
                    )
    except TimeoutError:
        raise DeadlineExceeded(
            f"not all came within {_BODY_TIMEOUT_S:.0f} s", reason="UPLOAD_STALLED", field="body", limit=_BODY_TIMEOUT_S
        ) from None
    except ClientDisconnect:
        raise DeadlineExceeded("the client went away", reason="UPLOAD_STALLED", field="body") from None
    return bytes(content)


def _made(answer: exchange_pb2.ImportPlaylistResponse) -> dict[str, object]:
    return {
        "playlistId": answer.playlist.playlist_id,
        "title": answer.playlist.title,
        "entryCount": answer.playlist.entry_count,
        "rowCount": answer.row_count,
        "unmatched": [
            {
                "row": row.row,
                "title": row.title,
                "artist": row.artist or None,
                "durationSeconds": row.duration_seconds or None,
                "reason": row.reason,
            }
            for row in answer.unmatched
        ],
    }
