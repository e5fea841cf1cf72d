"""What strangers send over a connection that is no decent HTTP, too much of it, or nothing at all."""

import asyncio
import contextlib
from pathlib import Path

import psutil
import pytest
from websockets.exceptions import ConnectionClosed

from services.gateway import connections
from services.gateway.connections import HEAD_TIMEOUT_S, MAX_HEAD_BYTES, MAX_PIPELINED
from services.gateway.socket_connections import MAX_FRAGMENTS
from tests.integration.gateway.conftest import Gateway, serving_gateway
from tests.integration.gateway.raw_client import PATIENCE_S, UPGRADE, connected
from tests.integration.gateway.socket_client import initialised

pytestmark = pytest.mark.asyncio(loop_scope="module")

POST = b"POST /graphql HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
ALIVE = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
MIB = 1 << 20

# Where two servers would not agree on what is one request.
AMBIGUOUS = {
    "length and chunks": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + ALIVE,
    "chunks and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + ALIVE,
    "two lengths": POST + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\nabcde",
    "length of a sign": POST + b"Content-Length: +5\r\n\r\nabcde",
    "length below nothing": POST + b"Content-Length: -1\r\n\r\n",
    "unknown coding": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunks not last": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunk below nothing": POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "chunk of a letter": POST + b"Transfer-Encoding: chunked\r\n\r\n0x4\r\n\r\n",
    "space before the colon": b"GET /healthz HTTP/1.1\r\nHost : a\r\n\r\n",
    "folded line": b"GET /healthz HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
    "bare line feeds": b"GET /healthz HTTP/1.1\nHost: a\n\n",
    "zero in a header": b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    "two hosts": b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "letters beyond ASCII": b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    "another address": b"CONNECT evil:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
    "socket with a body": b"GET /graphql HTTP/1.1\r\nHost: a\r\n" + UPGRADE + b"Content-Length: 5\r\n\r\nabcde",
    "socket of 129 headers": b"GET /graphql HTTP/1.1\r\nHost: a\r\n" + UPGRADE + b"X: y\r\n" * 129 + b"\r\n",
}


@pytest.mark.parametrize("name", AMBIGUOUS)
async def test_what_is_not_clearly_one_request_is_refused_and_the_connection_closed(
    gateway: Gateway, name: str
) -> None:
    async with connected(gateway.url) as client:
        await client.send(AMBIGUOUS[name])
        assert await client.refusal() == (400, "REQUEST_MALFORMED")
        assert await client.end() == b""
    assert gateway.behind.spent() == {}


async def test_the_host_of_a_request_stands_for_nothing(gateway: Gateway) -> None:
    for host in (b"[", b"a/b?c", b"u@evil", b"a b", b""):
        async with connected(gateway.url) as client:
            await client.send(b"GET /nothing HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
            assert await client.refusal() == (404, "NOT_FOUND")
            await client.send(b"HEAD /verify-email HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
            async with asyncio.timeout(PATIENCE_S):
                assert (await client.reader.readline()).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "begun", [b"GET /healthz HTTP/1.1\r\nX: ", b"GET /", POST + b"Transfer-Encoding: chunked\r\n\r\n2;"], ids=range(3)
)
async def test_headers_without_end_are_cut_off_soon(gateway: Gateway, begun: bytes) -> None:
    async with connected(gateway.url) as client:
        await client.send(begun)
        piece = b"a" * 16_384

        async def send_on() -> None:
            for _ in range(64 * MIB // len(piece)):
                await client.send(piece)
                await asyncio.sleep(0)

        with pytest.raises(ConnectionError):
            await send_on()


async def test_large_headers_are_refused_and_usual_ones_are_not(gateway: Gateway) -> None:
    def request(size: int) -> bytes:
        return b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + b"a" * size + b"\r\n\r\n"

    async with connected(gateway.url) as client:
        await client.send(request(MAX_HEAD_BYTES - 1000))
        assert (await client.answer())[0] == 200
        await client.send(request(MAX_HEAD_BYTES))
        assert await client.refusal() == (431, "HEADERS_TOO_LARGE")
        assert await client.end() == b""


async def test_trailers_and_what_follows_a_chunk_are_nobodys(gateway: Gateway) -> None:
    body = b'{"query": "{ me { email } }"}'
    async with connected(gateway.url) as client:
        await client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"%x;a=b\r\n" % len(body) + body)
        await client.send(b"\r\n0\r\nAuthorization: Bearer x\r\nHost: b\r\n\r\n")
        status, _, answer = await client.answer()
        assert (status, b'"me":null' in answer) == (200, True)


async def test_a_few_requests_may_wait_and_thousands_may_not(gateway: Gateway) -> None:
    async with connected(gateway.url) as client:
        await client.send(ALIVE * MAX_PIPELINED)
        assert [(await client.answer())[0] for _ in range(MAX_PIPELINED)] == [200] * MAX_PIPELINED
    async with connected(gateway.url) as client:
        await client.send(ALIVE * 5_000)
        # Nothing but whole answers came before the end.
        assert (await client.end()).count(b'{"status":"alive"}') <= MAX_PIPELINED + 1


async def test_a_broken_request_does_not_get_into_the_answer_before(gateway: Gateway) -> None:
    gateway.social.delays_s["GetStats"] = 0.3
    body = b'{"query": "{ stats { trackCount } }"}'
    async with connected(gateway.url) as client:
        await client.send(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body + b"NONSENSE\r\n\r\n")
        assert await client.end() == b""


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    assert HEAD_TIMEOUT_S <= 10.0
    monkeypatch.setattr(connections, "HEAD_TIMEOUT_S", 0.3)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize(
    "said",
    [b"", b"GET /heal", b"GET /healthz HTTP/1.1\r\nHost: a\r\n", b"\r\n"],
    ids=["nothing", "half a line", "half of the headers", "an empty line"],
)
async def test_who_does_not_come_to_a_request_is_closed(gateway: Gateway, said: bytes) -> None:
    async with connected(gateway.url) as client:
        await client.send(said)
        assert await client.end() == b""
    async with connected(gateway.url) as client:  # also behind one that was answered
        await client.send(ALIVE)
        assert (await client.answer())[0] == 200
        await client.send(said or b"G")
        assert await client.end() == b""


@pytest.mark.usefixtures("hurried")
async def test_a_body_that_drips_behind_its_answer_is_closed(gateway: Gateway) -> None:
    async with connected(gateway.url) as client:
        await client.send(b"POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
        assert (await client.answer())[0] == 404

        async def drip() -> None:
            while True:
                await client.send(b"x")
                await asyncio.sleep(0.02)

        dripping = asyncio.create_task(drip())
        assert await client.end() == b""
        dripping.cancel()
        with pytest.raises((asyncio.CancelledError, ConnectionError)):
            await dripping


@pytest.mark.usefixtures("hurried")
async def test_who_waits_for_a_slow_answer_is_not_closed(gateway: Gateway) -> None:
    gateway.social.delays_s["GetStats"] = 1.0
    body = b'{"query": "{ stats { trackCount } }"}'
    async with connected(gateway.url) as client:
        await client.send(POST + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert (await client.answer())[0] == 200
    async with initialised(gateway.url, None) as socket:  # and a socket has its own time
        await asyncio.sleep(0.6)
        await socket.send(type="ping")
        assert await socket.receive() == {"type": "pong"}


async def test_a_full_gateway_says_so_to_requests_and_sockets_and_answers_probes(tmp_path: Path) -> None:
    async with serving_gateway(tmp_path, max_connections=2) as gateway:
        async with connected(gateway.url) as first, connected(gateway.url) as second:
            for each in (first, second):
                await each.send(ALIVE)
                assert (await each.answer())[0] == 200
            for request, status in (
                (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 503),
                (b"GET /graphql HTTP/1.1\r\nHost: a\r\n" + UPGRADE + b"\r\n", 503),
                (ALIVE, 200),
            ):
                async with connected(gateway.url) as third:
                    await third.send(request)
                    found, headers, answer = await third.answer()
                    assert found == status
                    if status == 503:
                        assert headers["retry-after"] == "1"
                        assert b'"reason": "TOO_MANY_CONNECTIONS"' in answer
                        assert await third.end() == b""


async def test_pings_of_who_reads_no_answers_are_not_taken_without_end(gateway: Gateway) -> None:
    """A server that answers each would hold as much as is sent."""
    process = psutil.Process()
    async with connected(gateway.url) as client:
        await client.send(b"GET /graphql HTTP/1.1\r\nHost: a\r\n" + UPGRADE + b"\r\n")
        async with asyncio.timeout(PATIENCE_S):
            await client.reader.readuntil(b"\r\n\r\n")
        client.reader._limit = 1  # type: ignore[attr-defined]  # asyncio reads no further than twice this
        ping = (b"\x89\xfd\0\0\0\0" + b"x" * 125) * 500
        before, sent = process.memory_info().rss, 0
        with contextlib.suppress(TimeoutError):
            while sent < 128 * MIB:
                async with asyncio.timeout(2.0):
                    await client.send(ping)
                sent += len(ping)
        # What the kernel holds between them, and no more.
        assert sent < 64 * MIB
        assert process.memory_info().rss - before < 64 * MIB
    async with initialised(gateway.url, None) as other:
        await other.send(type="ping")
        assert await other.receive() == {"type": "pong"}


async def test_a_message_in_countless_pieces_closes_the_socket(gateway: Gateway) -> None:
    async with connected(gateway.url) as client:
        await client.send(b"GET /graphql HTTP/1.1\r\nHost: a\r\n" + UPGRADE + b"\r\n")
        async with asyncio.timeout(PATIENCE_S):
            await client.reader.readuntil(b"\r\n\r\n")
        await client.send(b"\x01\x80\0\0\0\0" + b"\0\x80\0\0\0\0" * (MAX_FRAGMENTS + 10))
        assert b"\x03\xf1more than 1024 fragments" in await client.end()


async def test_a_message_that_is_too_large_closes_the_socket_however_it_is_cut(gateway: Gateway) -> None:
    limit = gateway.parts.settings.max_body_bytes
    for pieces in (["x" * (limit + 1)], ["x" * (limit // 2)] * 3):
        async with initialised(gateway.url, None) as client:
            with contextlib.suppress(ConnectionClosed):
                await client.connection.send(pieces)
            with pytest.raises(ConnectionClosed):
                await client.receive()
            assert client.connection.close_code == 1009
