"""GET and HEAD /exports/{id}: the zip of somebody's data, by an address that only they were told."""

import re

from starlette.requests import Request
from starlette.responses import Response

from services.chassis import auth
from services.chassis.errors import NotFound, PermissionDenied, Unauthenticated
from services.gateway.context import Parts
from services.gateway.ids import decode_id
from services.gateway.sending import not_modified, sent
from services.gateway.sources import BlobSource

_FACTS = ("digest",)
_DIGEST = re.compile(r"[0-9a-f]{64}")


def export_url(parts: Parts, export_id: str, digest: bytes) -> str:
    """Return the signed address of an export of the caller's own, bound to their session."""
    query = parts.signer.query(
        _subject(export_id), session_id=auth.require_viewer().session_id, facts={"digest": digest.hex()}
    )
    return f"{parts.settings.public_url}/exports/{export_id}?{query}"


class Exports:
    """The route of exports.

    Args:
        parts: The parts of the process.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def handle(self, request: Request) -> Response:
        """Send an export, whole or in ranges.

        Raises:
            PermissionDenied: SIGNATURE_INVALID or URL_EXPIRED.
            Unauthenticated: SESSION_REVOKED.
            NotFound: EXPORT_NOT_FOUND: it is deleted.
        """
        export_id = decode_id(request.path_params["export_id"], "DataExport", "exportId")
        revocations = self._parts.authenticator.revocations
        await self._parts.authenticator.bind(None)
        grant = self._parts.signer.verify(_subject(export_id), request.query_params, _FACTS)
        digest = grant.facts["digest"]
        if not grant.session_id or not _DIGEST.fullmatch(digest):  # nobody is a guest here
            raise PermissionDenied("the signature of this address is not valid", reason="SIGNATURE_INVALID")
        await revocations.be_read()
        if grant.session_id in revocations:
            raise Unauthenticated("the session has ended, log in again", reason="SESSION_REVOKED")
        headers = {
            "Cache-Control": "private, no-store",
            "Content-Disposition": f'attachment; filename="museed-{export_id}.zip"',
        }
        if (known := not_modified(request, f'"{digest}"', headers)) is not None:
            return known
        try:
            size = await self._parts.blobs.size(bytes.fromhex(digest))
        except NotFound as error:
            raise NotFound(
                "this export is deleted, ask for another", reason="EXPORT_NOT_FOUND", field="exportId", value=export_id
            ) from error
        source = BlobSource(self._parts.blobs, bytes.fromhex(digest), size)
        return sent(request, source, f'"{digest}"', "application/zip", headers, lambda: grant.session_id in revocations)


def _subject(export_id: str) -> str:
    return f"export {export_id}"
