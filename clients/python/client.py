"""A blocking client of the gateway for one person: typed operations, uploads, ranges of audio, subscriptions.

The operations themselves are functions of `operations.py`; each takes a `Client` first.
"""

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx

from clients.python import live, operations
from clients.python.errors import UNAVAILABLE, ClientError, told_error
from clients.python.operations import LogInInput, RefreshInput, Refusal, Tokens
from clients.python.transport import Transport, readable
from clients.python.wire import Json, Operation

__all__ = ["Client", "ClientError", "Upload", "accepted"]

T = TypeVar("T")

_CHUNK_BYTES = 1024 * 1024
# A token that another one helps against.
_ENDED = frozenset({"TOKEN_EXPIRED", "SESSION_REVOKED"})


@dataclass(frozen=True, slots=True)
class Upload:
    """Audio that the gateway has taken in."""

    upload_id: str
    size_bytes: int
    content_type: str
    expires_at: datetime


def accepted(answer: T | Refusal) -> T:
    """Return what a mutation did.

    Raises:
        ClientError: It was refused.
    """
    if isinstance(answer, Refusal):
        raise ClientError(
            answer.message,
            answer.code,
            field=answer.field,
            value=answer.value,
            limit=answer.limit,
            retry_after_ms=answer.retry_after_ms,
            is_transient=answer.typename == UNAVAILABLE,
        )
    return answer


class Client:
    """Speaks to one gateway as a guest, or from `log_in` on as one person. Safe for one thread.

    An access token that has run out is renewed by its refresh token, and the call is made once more.

    Args:
        url: Base address, for example "http://127.0.0.1:8080".
    """

    def __init__(self, url: str) -> None:
        self._transport = Transport(url)
        self.url = self._transport.url
        self._token = ""
        self._refresh_token = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._transport.close()

    @property
    def token(self) -> str:
        """The access token, for what is asked without this client; empty for a guest."""
        return self._token

    def log_in(self, login: str, password: str) -> None:
        """Log in, by user name or address.

        Raises:
            ClientError: Wrong credentials, or no gateway.
        """
        answer = operations.log_in(self._transport, LogInInput(login=login, password=password))
        self.keep(accepted(answer).tokens)

    def keep(self, tokens: Tokens) -> None:
        """Call under these tokens from now on."""
        self._token, self._refresh_token = tokens.access_token, tokens.refresh_token

    def execute(self, operation: Operation[T], variables: Json) -> T:
        """Run an operation and return its answer.

        Raises:
            ClientError: The gateway is away, or answers with an error of any field.
        """
        return self._authenticated(lambda: self._transport.execute(operation, variables, self._token))

    def subscribe(self, operation: Operation[T], variables: Json) -> Iterator[T]:
        """Yield what a subscription sends, until it ends.

        Raises:
            ClientError: The gateway is away, goes away in between (`is_transient`), or refuses.
        """

        def begun() -> tuple[Iterator[Json], Json | None]:
            events = live.subscribed(self.url, operation.text, variables, self._token)
            return events, next(events, None)

        events, first = self._authenticated(begun)
        for data in itertools.chain([] if first is None else [first], events):
            yield readable(operation, data)

    def upload(self, path: Path) -> Upload:
        """Upload a file in a stream.

        Raises:
            ClientError: The file cannot be read, or is refused.
        """

        def send() -> Json:
            headers = {
                "Content-Type": "application/octet-stream",
                "Content-Length": str(path.stat().st_size),
                "X-File-Name": quote(os.fsencode(path.name)),
            }
            response = self._transport.request("POST", "/uploads", self._token, content=_chunks(path), headers=headers)
            body: Json = response.json()
            if response.is_error:
                raise told_error(body.get("error", {}), response.reason_phrase)
            return body

        try:
            found = self._authenticated(send)
        except OSError as error:
            raise ClientError(f"cannot read {path}: {error.strerror}", "UNREADABLE") from error
        expires_at = datetime.fromisoformat(found["expiresAt"])
        return Upload(found["uploadId"], found["sizeBytes"], found["contentType"], expires_at)

    def read_range(self, url: str, first: int, last: int) -> httpx.Response:
        """Fetch bytes `first` to `last` of a stream URL.

        Raises:
            ClientError: The gateway is away, or does not answer with 206 Partial Content.
        """
        response = self._transport.request("GET", url, headers={"Range": f"bytes={first}-{last}"})
        if response.status_code != httpx.codes.PARTIAL_CONTENT:
            raise ClientError(f"{url} answered {response.status_code} to a range request", "STREAM_FAILED")
        return response

    def query(self, document: str, **variables: Any) -> Json:
        """Run a document that is none of `operations.py`, and return its data as it came.

        Raises:
            ClientError: The gateway is away or answers with an error.
        """
        return self._authenticated(lambda: self._transport.post(document, variables, self._token))

    def mutate(self, document: str, input: Json) -> Json:
        """Run a mutation of one field that is none of `operations.py`, and return its success member as it came.

        Raises:
            ClientError: The gateway is away, or answers with an error of the mutation's union.
        """
        (found,) = self.query(document, input=input).values()
        if "code" in found and "message" in found:
            raise told_error(found, "refused")
        result: Json = found
        return result

    def _authenticated(self, call: Callable[[], T]) -> T:
        if not self._token:
            self._begin()
        try:
            return call()
        except ClientError as error:
            if error.code not in _ENDED or not self._renewed():
                raise
        return call()

    def _begin(self) -> None:
        """Log in before the first call, where it is known as whom."""

    def _renewed(self) -> bool:
        """Get other tokens for those that have ended; returns whether there are any.

        Raises:
            ClientError: The gateway is away.
        """
        if not self._refresh_token:
            return False
        answer = operations.refresh(self._transport, RefreshInput(refresh_token=self._refresh_token))
        if isinstance(answer, Refusal) and answer.typename != UNAVAILABLE:
            self._refresh_token = ""
            return False
        self.keep(accepted(answer).tokens)
        return True


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
