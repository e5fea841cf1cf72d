"""GET /codes.json: what is said of every error code, for clients that speak to people."""

import hashlib

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.codes import PATH
from services.gateway.sending import not_modified

_CONTENT = PATH.read_bytes()
_HEADERS = {
    "ETag": f'"{hashlib.sha256(_CONTENT).hexdigest()[:32]}"',
    "Cache-Control": "public, max-age=3600",
}


async def code_file(request: Request) -> Response:
    """Answer with the file."""
    if (known := not_modified(request, _HEADERS["ETag"], _HEADERS)) is not None:
        return known
    return Response(b"" if request.method == "HEAD" else _CONTENT, media_type="application/json", headers=_HEADERS)
