"""A small blocking client of the gateway for the `museed` command: GraphQL, uploads and range requests."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx

_TIMEOUT = httpx.Timeout(60.0, connect=5.0)
_TRANSIENT_CODES = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED"})
_CHUNK_BYTES = 1024 * 1024

T = TypeVar("T")
ERROR_FIELDS = "... on UserError { message code field value limit }"

_LOG_IN = f"""mutation LogIn($input: LogInInput!) {{
  logIn(input: $input) {{
    __typename
    ... on LogInSuccess {{ tokens {{ accessToken }} }}
    {ERROR_FIELDS}
  }}
}}"""

_SIGN_UP = f"""mutation SignUp($input: SignUpInput!) {{
  signUp(input: $input) {{
    __typename
    ... on SignUpSuccess {{ tokens {{ accessToken }} }}
    {ERROR_FIELDS}
  }}
}}"""


class ClientError(Exception):
    """The gateway refused, or could not be reached; the text is for people, `code` for programs."""

    def __init__(
        self,
        message: str,
        code: str = "UNAVAILABLE",
        *,
        field: str | None = None,
        value: str | None = None,
        is_transient: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.is_transient = is_transient
        self.field = field
        self.value = value


@dataclass(frozen=True, slots=True)
class Credentials:
    """How to log in. `sign_up_email` makes the account when there is none yet."""

    username: str
    password: str
    sign_up_email: str | None = None


class GatewayClient:
    """Speaks to one gateway as one account, and logs in again when its token has run out.

    Args:
        url: Base address, for example "http://127.0.0.1:8080".
        credentials: None for a guest.
    """

    def __init__(self, url: str, credentials: Credentials | None) -> None:
        self.url = url.rstrip("/")
        self._credentials = credentials
        self._http = httpx.Client(base_url=self.url, timeout=_TIMEOUT)
        self._token = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._http.close()

    def query(self, document: str, **variables: Any) -> dict[str, Any]:
        """Run a query and return its data.

        Raises:
            ClientError: The gateway is away or answers with an error.
        """
        return self._authenticated(lambda: self._post(document, variables))

    def mutate(self, document: str, input: dict[str, Any]) -> dict[str, Any]:
        """Run a mutation of one field and return its success member.

        Raises:
            ClientError: The gateway is away, or answers with an error of the mutation's union.
        """
        data = self._authenticated(lambda: self._post(document, {"input": input}))
        return _success(data)

    def upload(self, path: Path) -> dict[str, Any]:
        """Upload a file in a stream and return what the gateway says of it.

        Raises:
            ClientError: The file cannot be read, or is refused.
        """

        def send() -> dict[str, Any]:
            headers = {
                **self._headers(),
                "Content-Type": "application/octet-stream",
                "Content-Length": str(path.stat().st_size),
                "X-File-Name": quote(os.fsencode(path.name)),
            }
            response = self._request("POST", "/uploads", content=_chunks(path), headers=headers)
            body: dict[str, Any] = response.json()
            if response.is_error:
                raise _error(body.get("error", {}), response.reason_phrase)
            return body

        try:
            return self._authenticated(send)
        except OSError as error:
            raise ClientError(f"cannot read {path}: {error.strerror}", "UNREADABLE") from error

    def read_range(self, url: str, first: int, last: int) -> httpx.Response:
        """Fetch bytes `first` to `last` of a stream URL.

        Raises:
            ClientError: The gateway is away, or does not answer with 206 Partial Content.
        """
        response = self._request("GET", url, headers={"Range": f"bytes={first}-{last}"})
        if response.status_code != httpx.codes.PARTIAL_CONTENT:
            raise ClientError(f"{url} answered {response.status_code} to a range request", "STREAM_FAILED")
        return response

    def log_in(self) -> None:
        """Log in now, making the account first where the credentials say so.

        Raises:
            ClientError: Wrong credentials, or no gateway.
        """
        who = self._credentials
        if who is None:
            raise ClientError("log in first: set MUSEED_LOGIN and MUSEED_PASSWORD", "LOGIN_REQUIRED")
        try:
            data = self._post(_LOG_IN, {"input": {"login": who.username, "password": who.password}})
            success = _success(data)
        except ClientError as error:
            if who.sign_up_email is None or error.code != "BAD_CREDENTIALS":
                raise
            account = {
                "username": who.username,
                "nickname": who.username,
                "email": who.sign_up_email,
                "password": who.password,
            }
            success = _success(self._post(_SIGN_UP, {"input": account}))
        self._token = success["tokens"]["accessToken"]

    def _authenticated(self, call: Callable[[], T]) -> T:
        if not self._token and self._credentials is not None:
            self.log_in()
        try:
            return call()
        except ClientError as error:
            if error.code not in ("TOKEN_EXPIRED", "SESSION_REVOKED") or self._credentials is None:
                raise
        self.log_in()
        return call()

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def _post(self, document: str, variables: dict[str, Any]) -> dict[str, Any]:
        response = self._request(
            "POST", "/graphql", json={"query": document, "variables": variables}, headers=self._headers()
        )
        try:
            body: dict[str, Any] = response.json()
        except ValueError:
            message = f"{self.url}/graphql answered {response.status_code}"
            raise ClientError(message, is_transient=response.status_code == httpx.codes.SERVICE_UNAVAILABLE) from None
        if errors := body.get("errors"):
            raise _error({**errors[0].get("extensions", {}), "message": errors[0]["message"]}, "the query failed")
        data: dict[str, Any] = body["data"]
        return data

    def _request(self, method: str, url: str, **options: Any) -> httpx.Response:
        try:
            return self._http.request(method, url, **options)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeEncodeError) as error:
            raise ClientError(f"no answer from {self.url} ({error}): does it run?", is_transient=True) from error


def _success(data: dict[str, Any]) -> dict[str, Any]:
    (result,) = data.values()
    if "code" in result and "message" in result:
        raise _error(result, "refused")
    found: dict[str, Any] = result
    return found


def _error(details: dict[str, Any], fallback: str) -> ClientError:
    return ClientError(
        details.get("message") or fallback,
        details.get("reason") or details.get("code") or "REFUSED",
        field=details.get("field"),
        value=details.get("value"),
        is_transient=details.get("__typename") == "UnavailableError" or details.get("code") in _TRANSIENT_CODES,
    )


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
