"""HTTP to one gateway: operations of GraphQL and plain requests, each under the token that it is given."""

from typing import Any, TypeVar

import httpx

from clients.python.errors import ClientError, answered_error, told_error
from clients.python.wire import Json, Operation, UnreadableAnswer, read_answer

T = TypeVar("T")

_TIMEOUT = httpx.Timeout(60.0, connect=5.0)


class Transport:
    """A connection to a gateway that knows nobody; by itself it calls as a guest.

    Args:
        url: Base address, for example "http://127.0.0.1:8080".
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=self.url, timeout=_TIMEOUT)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def execute(self, operation: Operation[T], variables: Json, token: str = "") -> T:
        """Run an operation and return its answer.

        Raises:
            ClientError: The gateway is away, answers with an error, or with what cannot be read.
        """
        return readable(operation, self.post(operation.text, variables, token))

    def post(self, document: str, variables: Json, token: str = "") -> Json:
        """Run a document and return its data as it came.

        Raises:
            ClientError: The gateway is away or answers with an error; with several the first is told.
        """
        body = {"query": document, "variables": variables}
        response = self.request("POST", "/graphql", token, json=body)
        try:
            answer: Json = response.json()
        except ValueError:
            message = f"{self.url}/graphql answered {response.status_code}"
            raise ClientError(message, is_transient=response.status_code == httpx.codes.SERVICE_UNAVAILABLE) from None
        if errors := answer.get("errors"):
            raise answered_error(errors[0])
        if "data" not in answer:
            raise told_error(answer.get("error", {}), response.reason_phrase)
        data: Json = answer["data"]
        return data

    def request(self, method: str, url: str, token: str = "", **options: Any) -> httpx.Response:
        """Send a plain request, whatever it is answered with.

        Raises:
            ClientError: There is no answer.
        """
        headers = {**options.pop("headers", {}), **authorization(token)}
        try:
            return self._http.request(method, url, headers=headers, **options)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeEncodeError) as error:
            raise ClientError(f"no answer from {self.url} ({error}): does it run?", is_transient=True) from error


def readable(operation: Operation[T], data: Json) -> T:
    """Return the answer that an operation's data is.

    Raises:
        ClientError: ANSWER_UNREADABLE.
    """
    try:
        return read_answer(operation, data)
    except UnreadableAnswer as error:
        raise ClientError(f"{error}: is the gateway of another release?", "ANSWER_UNREADABLE") from error


def authorization(token: str) -> dict[str, str]:
    """Return the headers of who holds a token; of a guest, none."""
    return {"Authorization": f"Bearer {token}"} if token else {}
