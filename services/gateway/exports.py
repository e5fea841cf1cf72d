"""GET and HEAD /exports/{id}: the zip of somebody's data, by an address that only they were told."""

import re
from collections.abc import AsyncGenerator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from services.chassis import auth
from services.chassis.errors import NotFound, Unauthenticated
from services.gateway.context import Parts
from services.gateway.ids import decode_id
from services.gateway.ranges import is_not_modified

_DIGEST = re.compile(r"[0-9a-f]{64}")


def export_url(parts: Parts, export_id: str, digest: bytes) -> str:
    """Return the signed address of an export of the caller's own, bound to their session."""
    viewer = auth.require_viewer()
    query = parts.signer.query(_signed(export_id, digest.hex()), session_id=viewer.session_id)
    return f"{parts.settings.public_url}/exports/{export_id}?digest={digest.hex()}&{query}"


class Exports:
    """The route of exports.

    Args:
        parts: The parts of the process.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def handle(self, request: Request) -> Response:
        """Send an export.

        Raises:
            PermissionDenied: SIGNATURE_INVALID or URL_EXPIRED.
            Unauthenticated: SESSION_REVOKED.
            NotFound: EXPORT_NOT_FOUND: it is deleted.
        """
        export_id = decode_id(request.path_params["export_id"], "DataExport", "exportId")
        digest = request.query_params.get("digest", "")
        grant = self._parts.signer.verify(_signed(export_id, digest), request.query_params)
        if not _DIGEST.fullmatch(digest) or not grant.session_id:
            raise NotFound("there is no such export", reason="EXPORT_NOT_FOUND", field="exportId", value=export_id)
        await self._parts.authenticator.bind(None)
        await self._parts.authenticator.revocations.be_read()
        if grant.session_id in self._parts.authenticator.revocations:
            raise Unauthenticated("the session has ended, log in again", reason="SESSION_REVOKED")
        headers = {"ETag": f'"{digest}"', "Cache-Control": "private, no-store"}
        if is_not_modified(request.headers.get("if-none-match"), headers["ETag"]):
            return Response(status_code=304, headers=headers)
        try:
            size = await self._parts.blobs.size(bytes.fromhex(digest))
        except NotFound as error:
            raise NotFound(
                "this export is deleted, ask for another", reason="EXPORT_NOT_FOUND", field="exportId", value=export_id
            ) from error
        headers |= {
            "Content-Type": "application/zip",
            "Content-Length": str(size),
            "Content-Disposition": f'attachment; filename="museed-{export_id}.zip"',
        }
        if request.method == "HEAD":
            return Response(headers=headers)
        return StreamingResponse(self._bytes(bytes.fromhex(digest), grant.session_id), headers=headers)

    async def _bytes(self, digest: bytes, session_id: str) -> AsyncGenerator[bytes, None]:
        async for chunk in self._parts.blobs.stream(digest):
            if session_id in self._parts.authenticator.revocations:
                raise PermissionError("the session ended while its export was sent")
            yield chunk


def _signed(export_id: str, digest: str) -> str:
    """Return what the signature is over: no id of a track, whose addresses are signed with the same key."""
    return f"export {export_id} {digest}"
