"""GET /codes.json: what a client can say to people of every code, in English and Korean."""

import hashlib
import json

from starlette.requests import Request
from starlette.responses import Response

from services.gateway.codes import CODES
from services.gateway.sending import not_modified

_TEXTS = json.dumps({name: {"en": code.en, "ko": code.ko} for name, code in CODES.items()}, ensure_ascii=False).encode()
_ETAG = f'"{hashlib.sha256(_TEXTS).hexdigest()[:32]}"'
_HEADERS = {"Cache-Control": "no-cache"}


async def code_texts(request: Request) -> Response:
    """Answer with an object of `{en, ko}` by codes."""
    if (known := not_modified(request, _ETAG, _HEADERS)) is not None:
        return known
    told = {**_HEADERS, "ETag": _ETAG, "Content-Length": str(len(_TEXTS))}
    return Response(b"" if request.method == "HEAD" else _TEXTS, headers=told, media_type="application/json")
