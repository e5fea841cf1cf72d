"""A client of Jamendo's API: finds tracks and fetches audio, of Jamendo's own hosts only, whatever an answer says."""

import json
import os
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from deploy.local.client import ClientError

API = "https://api.jamendo.com/v3.0/tracks/"
_PAGE_SIZE = 200
_LARGEST_ANSWER_BYTES = 16 << 20
_LARGEST_AUDIO_BYTES = 500 << 20
_TIMEOUT = httpx.Timeout(30.0, connect=10.0)
_ATTEMPTS = 5
_LONGEST_WAIT_S = 60.0
_MOST_REDIRECTS = 5
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})


class JamendoClient:
    """Speaks to Jamendo's API, patiently and within bounds.

    Args:
        client_id: Of an application that is registered at developer.jamendo.com.
        transport: Of the HTTP client; tests answer by it.
        wait: Sleeps for seconds.
    """

    def __init__(
        self,
        client_id: str,
        transport: httpx.BaseTransport | None = None,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client_id = client_id
        self._wait = wait
        headers = {"User-Agent": "museed", "Accept-Encoding": "identity"}
        self._http = httpx.Client(transport=transport, timeout=_TIMEOUT, headers=headers, follow_redirects=False)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def search(self, count: int, tags: str = "", order: str = "popularity_total") -> Iterator[dict[str, Any]]:
        """Find tracks, best first.

        Args:
            count: At most this many.
            tags: Only with all of these, "+" between them; empty takes any.
            order: As the API names it.

        Yields:
            Results as the API says them.

        Raises:
            ClientError: JAMENDO_REFUSED with the API's own words, JAMENDO_ANSWER for what is no answer, or
                UNAVAILABLE after five attempts.
        """
        found = 0
        while found < count:
            size = min(_PAGE_SIZE, count - found)
            query = {"client_id": self._client_id, "format": "json", "limit": str(size), "offset": str(found)}
            query |= {"include": "musicinfo", "audioformat": "mp32", "order": order} | (
                {"tags": tags.replace("+", " ")} if tags else {}
            )
            results = self._answer(query)
            yield from (result for result in results[: count - found] if isinstance(result, dict))
            found += len(results)
            if len(results) < size:
                return

    def download(self, url: str, path: Path) -> None:
        """Fetch a file; it appears whole, or not at all, and a half one goes on where it was.

        Raises:
            ClientError: JAMENDO_HOST, TOO_LARGE, EMPTY, NOT_FOUND and the like, or UNAVAILABLE after five attempts.
        """
        part = path.with_name(path.name + ".part")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._patiently(lambda: self._fetch(url, part))
        if part.stat().st_size == 0:
            part.unlink()
            raise ClientError("the file is empty", "EMPTY")
        os.replace(part, path)

    def _answer(self, query: dict[str, str]) -> list[object]:
        data = self._patiently(lambda: self._read(query))
        try:
            answer = json.loads(data.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise ClientError("Jamendo answered something that is no JSON", "JAMENDO_ANSWER") from error
        headers = answer.get("headers") if isinstance(answer, dict) else None
        if not isinstance(headers, dict) or not isinstance(answer.get("results"), list):
            raise ClientError("Jamendo answered JSON of another shape", "JAMENDO_ANSWER")
        if headers.get("status") != "success":
            said = str(headers.get("error_message", ""))[:200] or "no reason"
            raise ClientError(f"Jamendo refuses: {said}", "JAMENDO_REFUSED")
        results: list[object] = answer["results"]
        return results

    def _read(self, query: dict[str, str]) -> bytes:
        with self._opened(API, {}, query) as response:
            self._check(response)
            data = bytearray()
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) > _LARGEST_ANSWER_BYTES:
                    raise ClientError(f"an answer is larger than {_LARGEST_ANSWER_BYTES} bytes", "JAMENDO_ANSWER")
            return bytes(data)

    def _fetch(self, url: str, part: Path) -> None:
        start = part.stat().st_size if part.exists() else 0
        with self._opened(url, {"Range": f"bytes={start}-"} if start else {}, None) as response:
            if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                part.unlink()  # not of this file, or whole but for its name: from the beginning
                raise _Retry("the half file is not of this one")
            self._check(response)
            is_rest = response.status_code == httpx.codes.PARTIAL_CONTENT and _begins_at(response, start)
            size = start if is_rest else 0
            with part.open("ab" if is_rest else "wb") as file:
                for chunk in response.iter_bytes(1 << 16):
                    size += len(chunk)
                    if size > _LARGEST_AUDIO_BYTES:
                        file.close()
                        part.unlink()
                        raise ClientError(f"the file is larger than {_LARGEST_AUDIO_BYTES} bytes", "TOO_LARGE")
                    file.write(chunk)

    def _opened(self, url: str, headers: dict[str, str], query: dict[str, str] | None) -> "_Response":
        """Follow redirects, each of them to Jamendo only."""
        for _ in range(_MOST_REDIRECTS):
            _check_host(url)
            request = self._http.build_request("GET", url, params=query, headers=headers)
            response = self._http.send(request, stream=True)
            if response.next_request is None:
                return _Response(response)
            response.close()
            url, query = str(response.next_request.url), None
        raise ClientError(f"more than {_MOST_REDIRECTS} redirects", "JAMENDO_ANSWER")

    def _check(self, response: httpx.Response) -> None:
        if response.status_code in _RETRIED:
            raise _Retry(f"{response.status_code}", _retry_after(response))
        if not response.is_success:
            code = "NOT_FOUND" if response.status_code in (404, 410) else "JAMENDO_REFUSED"
            raise ClientError(f"Jamendo answered {response.status_code}", code)

    def _patiently(self, call: Callable[[], Any]) -> Any:
        """Repeat a call while Jamendo is away or asks for patience."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return call()
            except (_Retry, httpx.TransportError) as error:
                if attempt == _ATTEMPTS:
                    said = str(error) or type(error).__name__
                    raise ClientError(f"no answer from Jamendo in {_ATTEMPTS} attempts: {said}") from error
                asked = error.after_s if isinstance(error, _Retry) else 0.0
                self._wait(min(max(asked, 2.0 ** (attempt - 1)), _LONGEST_WAIT_S))
            except httpx.InvalidURL as error:
                raise ClientError(f"an address that is none: {error}", "JAMENDO_HOST") from error
        raise AssertionError


class _Retry(Exception):
    def __init__(self, message: str, after_s: float = 0.0) -> None:
        super().__init__(message)
        self.after_s = after_s


class _Response:
    """Closes a streamed response at the end of a with block."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response

    def __enter__(self) -> httpx.Response:
        return self._response

    def __exit__(self, *exception: object) -> None:
        self._response.close()


def _check_host(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    if (
        parts.scheme != "https"
        or port not in (None, 443)
        or not (host == "jamendo.com" or host.endswith(".jamendo.com"))
    ):
        raise ClientError(f"an address that is not Jamendo's: {url[:200]!r}", "JAMENDO_HOST")


def _begins_at(response: httpx.Response, start: int) -> bool:
    given: str = response.headers.get("Content-Range", "")
    return given.startswith(f"bytes {start}-")


def _retry_after(response: httpx.Response) -> float:
    given = response.headers.get("Retry-After", "")
    if given.isascii() and given.isdigit() and len(given) < 6:
        return float(given)
    try:
        return max(0.0, parsedate_to_datetime(given).timestamp() - time.time())
    except (ValueError, TypeError):
        return 0.0
