"""GET /.well-known/jwks.json: the public keys of access tokens, for partners who verify them themselves."""

import asyncio
import contextvars
import hashlib
import time
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from services.chassis.errors import DomainError
from services.gateway.ranges import is_not_modified

FRESH_S = 60.0
# While social cannot be asked: its keys seldom change, and whoever verifies with them is not stopped by that.
STALE_S = 3600.0


class Jwks:
    """The route of the keys: social is asked once in a minute, whoever asks here.

    Args:
        fetch: Returns the key set as JSON text; raises DomainError when social is away.
        clock: Seconds, rising.
    """

    def __init__(self, fetch: Callable[[], Awaitable[str]], clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._clock = clock
        self._text = ""
        self._read_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def handle(self, request: Request) -> Response:
        """Answer with the keys.

        Raises:
            DomainError: They are not known, or too old, and social cannot be asked.
        """
        if self._age() >= FRESH_S:
            await self._read()
        headers = {
            "ETag": f'"{hashlib.sha256(self._text.encode()).hexdigest()}"',
            "Cache-Control": f"public, max-age={FRESH_S:.0f}",
        }
        if is_not_modified(request.headers.get("if-none-match"), headers["ETag"]):
            return Response(status_code=304, headers=headers)
        return Response(self._text, media_type="application/jwk-set+json", headers=headers)

    def _age(self) -> float:
        return self._clock() - self._read_at

    async def _read(self) -> None:
        """Ask social, once for all who wait."""
        if self._reading is None:
            # In a context of its own: nobody's token and nobody's deadline.
            self._reading = asyncio.create_task(self._ask(), context=contextvars.Context())
        try:
            await asyncio.shield(self._reading)
        except DomainError:
            if self._age() >= STALE_S:
                raise

    async def _ask(self) -> None:
        try:
            self._text = await self._fetch()
            self._read_at = self._clock()
        finally:
            self._reading = None
