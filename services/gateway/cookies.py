"""The refresh token in a browser's cookie: how it is set, and for which pages.

Nothing else looks at a cookie. So whoever makes a browser send it could have a session refreshed and not read the
answer, or have the browser keep a session of theirs; that only pages of ours do either is checked here.
"""

from datetime import datetime
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from strawberry.http.websocket_origin import is_same_origin, normalize_origin

from services.chassis.errors import PermissionDenied
from services.gateway.settings import GatewaySettings

_NAME = "museed-refresh"
# Whose pages browsers take for safe without TLS.
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class RefreshCookie:
    """The cookie by its settings.

    Args:
        settings: Of the process.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self._is_secure = settings.cookie_secure
        self._same_site = settings.cookie_same_site
        # With this prefix browsers take it over TLS, for this very host and for all paths, or not at all.
        self.name = f"__Host-{_NAME}" if self._is_secure else _NAME
        self._path = "/" if self._is_secure else "/graphql"
        ours = (normalize_origin(one) for one in (*settings.cors_origins, settings.public_url))
        self._origins = frozenset(origin for origin in ours if origin is not None)

    def set(self, response: Response, token: str, expires_at: datetime) -> None:
        """Have the browser keep a token, out of its scripts' sight."""
        response.set_cookie(
            self.name,
            token,
            expires=expires_at,
            path=self._path,
            secure=self._is_secure,
            httponly=True,
            samesite=self._same_site,
        )

    def clear(self, response: Response) -> None:
        """Have the browser forget the token."""
        response.delete_cookie(
            self.name, path=self._path, secure=self._is_secure, httponly=True, samesite=self._same_site
        )

    def is_ours(self, origin: str | None, host: str | None) -> bool:
        """Say whether a page of this origin may have the cookie set and read.

        Args:
            origin: Header of the request; browsers send it with every POST, and no script can change it.
            host: Header of the request.
        """
        found = normalize_origin(origin) if origin is not None else None
        if found is None:
            return False
        parts = urlsplit(found)
        if self._is_secure and parts.scheme != "https" and parts.hostname not in _LOOPBACK:
            return False  # whoever sits on the wire can make a page of plain HTTP
        return found in self._origins or is_same_origin(found, host)


class Browser:
    """A request whose cookie can be read, and its response.

    Args:
        cookie: How the cookie is.
        request: What was asked.
        response: Whose headers go out with the answer.
    """

    def __init__(self, cookie: RefreshCookie, request: Request, response: Response) -> None:
        self._cookie = cookie
        self._headers = request.headers
        self._response = response
        self._token = request.cookies.get(cookie.name, "")

    def check(self) -> None:
        """Refuse pages that are not ours.

        Raises:
            PermissionDenied: ORIGIN_REFUSED.
        """
        origin = self._headers.get("origin")
        if not self._cookie.is_ours(origin, self._headers.get("host")):
            raise PermissionDenied(
                "cookies are for pages of this address, or of an origin that is allowed here",
                reason="ORIGIN_REFUSED",
                field="Origin",
                value=origin or "none",
            )

    @property
    def token(self) -> str:
        """The refresh token that the browser has; empty where it has none."""
        return self._token

    def keep(self, token: str, expires_at: datetime) -> None:
        """Have the browser keep a token."""
        self._token = token
        self._cookie.set(self._response, token, expires_at)

    def forget(self) -> None:
        """Have the browser forget its token, where it has one."""
        if self._token:
            self._token = ""
            self._cookie.clear(self._response)
