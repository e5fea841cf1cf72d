"""GET and HEAD /users/{id}/avatar.svg: the picture that social draws of a person's taste."""

from starlette.requests import Request
from starlette.responses import Response

from museed.social.v1 import badges_pb2
from services.gateway.context import Parts
from services.gateway.ids import decode_id
from services.gateway.sending import not_modified

_LIFE_S = 300
# Nothing in it runs or is fetched, should it ever be more than numbers and fixed words; pages of others may show it.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
    "Cross-Origin-Resource-Policy": "cross-origin",
    # Whom somebody blocks, they do not see.
    "Vary": "Authorization",
}


class Avatars:
    """The route of pictures.

    Args:
        parts: The parts of the process.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def handle(self, request: Request) -> Response:
        """Answer with a person's picture, for guests as well.

        Raises:
            Unauthenticated: A token that is not good.
            NotFound: USER_NOT_FOUND.
        """
        user_id = decode_id(request.path_params["user_id"], "User", "userId")
        viewer = await self._parts.authenticator.bind(request.headers.get("authorization"))
        picture = await self._parts.upstream.badges.GetAvatar(
            badges_pb2.GetAvatarRequest(user_id=user_id), timeout=self._parts.settings.upstream_timeout_s
        )
        etag = f'"{picture.etag}"'
        kept_by = "public" if viewer is None else "private"
        headers = {**_HEADERS, "Cache-Control": f"{kept_by}, max-age={_LIFE_S}"}
        if (known := not_modified(request, etag, headers)) is not None:
            return known
        told = {**headers, "ETag": etag, "Content-Length": str(len(picture.svg))}
        content = b"" if request.method == "HEAD" else picture.svg
        return Response(content, headers=told, media_type="image/svg+xml")
