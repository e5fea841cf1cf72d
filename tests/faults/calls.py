"""What a person's client asks of the gateway: GraphQL and bytes, over connections that may break at any moment."""

import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from clients.python.errors import ClientError, told_error
from tests.faults.documents import LOG_IN

# Whoever hears nothing for so long asks again.
PATIENCE_S = 8.0
_CODES = Path(__file__).parents[2] / "services" / "gateway" / "codes.json"
# What is over by itself: asking again helps.
BUSY = frozenset(
    {code for code, row in json.loads(_CODES.read_text()).items() if row["group"] == "busy"}
    | {"UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "INTERNAL", "UPLOADS_BUSY", "TOO_MANY_CONNECTIONS"}
    | {"BUS_UNAVAILABLE", "COST_LIMIT_REACHED", "TIME_LIMIT_REACHED", "REQUEST_STALLED", "UPLOAD_STALLED"}
)
# A clock that jumped: the log-in does not hold any more, or not yet.
LOG_IN_AGAIN = frozenset({"TOKEN_EXPIRED", "TOKEN_INVALID", "SESSION_REVOKED", "UNAUTHENTICATED", "LOGIN_REQUIRED"})
NOT_THERE = frozenset(
    {"NOT_FOUND", "PLAYLIST_NOT_FOUND", "UPLOAD_NOT_FOUND", "JOB_NOT_FOUND", "FORBIDDEN", "PERMISSION_DENIED"}
)


def is_over_soon(error: ClientError) -> bool:
    """Whether asking again later may help."""
    return error.is_transient or error.code in BUSY


class Calls:
    """The connection and the log-in of one person.

    Args:
        url: Where people find the gateway.
        username: Whose.
        password: Theirs; without one what everybody here takes.

    """

    def __init__(self, url: str, username: str, password: str = "") -> None:
        self.username = username
        self.password = password or f"password of {username}"
        self._token = ""
        self._lost: list[str] = []
        self._http = httpx.AsyncClient(base_url=url, timeout=PATIENCE_S)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def keep(self, token: str) -> None:
        """Call under this token from now on."""
        self._token = token

    def take_lost(self) -> list[str]:
        """Return why log-ins did not hold any more since this was asked last."""
        lost, self._lost = self._lost, []
        return lost

    async def query(self, document: str, **variables: Any) -> dict[str, Any]:
        """Run a document and return its data.

        Raises:
            ClientError: Refused, or not answered; of several errors the first.
        """
        return await self._as_oneself(lambda: self._post(document, variables))

    async def mutate(self, document: str, **input_: Any) -> dict[str, Any]:
        """Run a mutation of one field and return its success.

        Raises:
            ClientError: Refused, or not answered.
        """
        (found,) = (await self.query(document, input=input_)).values()
        if "code" in found:
            raise told_error(found, "refused")
        result: dict[str, Any] = found
        return result

    async def enter(self) -> None:
        """Log in.

        Raises:
            ClientError: Wrong credentials, or no answer.
        """
        body = {"login": self.username, "password": self.password}
        found = (await self._post(LOG_IN, {"input": body}))["logIn"]
        if "code" in found:
            raise told_error(found, "refused")
        self._token = found["tokens"]["accessToken"]

    async def send_audio(self, body: bytes, name: str, key: str) -> dict[str, Any]:
        """Upload a file.

        Raises:
            ClientError: Refused, or not answered.
        """

        async def send() -> dict[str, Any]:
            headers = {"X-File-Name": name, "Idempotency-Key": key, **self._authorization()}
            answer = await self._request("POST", "/uploads", content=body, headers=headers)
            return _plain(answer)

        return await self._as_oneself(send)

    async def fetch(self, url: str) -> bytes:
        """Fetch the bytes of a signed address.

        Raises:
            ClientError: Refused, not answered, or cut off.
        """
        answer = await self._request("GET", httpx.URL(url).raw_path.decode())
        if answer.is_error:
            _plain(answer)
        return answer.content

    async def _as_oneself(self, call: Callable[[], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
        try:
            return await call()
        except ClientError as error:
            if error.code not in LOG_IN_AGAIN or not self._token:
                raise
            self._lost.append(error.code)
            await self.enter()
        try:
            return await call()
        except ClientError as error:
            if error.code in LOG_IN_AGAIN:  # two clocks that do not agree yet
                raise ClientError(str(error), error.code, is_transient=True) from error
            raise

    async def _post(self, document: str, variables: dict[str, Any]) -> dict[str, Any]:
        body = {"query": document, "variables": variables}
        answer = await self._request("POST", "/graphql", json=body, headers=self._authorization())
        found = _plain(answer, is_data=True)
        if errors := found.get("errors"):
            details = errors[0].get("extensions", {})
            raise told_error({**details, "message": errors[0].get("message")}, "the operation failed")
        data: dict[str, Any] = found["data"]
        return data

    async def _request(self, method: str, url: str, **options: Any) -> httpx.Response:
        try:
            return await self._http.request(method, url, **options)
        except httpx.HTTPError as error:
            raise ClientError(f"no answer: {error!r}", "NO_ANSWER", is_transient=True) from error

    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}


def _plain(answer: httpx.Response, *, is_data: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with contextlib.suppress(ValueError):
        found = answer.json()
    if is_data and ("data" in found or "errors" in found):
        return found
    if answer.is_error or is_data:
        error = told_error(found.get("error", {}), f"status {answer.status_code}")
        is_ours = error.is_transient or answer.status_code in (500, 502, 503)
        raise ClientError(str(error), error.code, retry_after_ms=error.retry_after_ms, is_transient=is_ours)
    return found
