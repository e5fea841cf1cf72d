"""So much of a caller's address as leaves the gateway."""

import pytest
from starlette.types import Receive, Scope, Send

from services.chassis import auth
from services.gateway.border import Border
from services.gateway.networks import network_of
from tests.unit.gateway.test_border import answer, ignored, no_body, request


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("203.0.113.77", "203.0.113.0/24"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("::ffff:203.0.113.77", "203.0.113.0/24"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", ""),
        ("203.0.113.77:443", ""),
        ("", ""),
    ],
)
def test_network_is_a_part_of_the_address(host: str, network: str) -> None:
    assert network_of((host, 4711)) == network
    auth.bind_client(network)
    assert auth.client() == network  # every service takes it


def test_no_peer_is_no_network() -> None:
    assert network_of(None) == ""


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_requests_and_sockets_are_bound_to_their_network(kind: str) -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(auth.client())
        await answer(scope, receive, send)

    for client in (("203.0.113.77", 4711), None):
        scope = {**request("POST", "/graphql"), "type": kind, "client": client}
        await Border(app)(scope, no_body, ignored)
    assert seen == ["203.0.113.0/24", ""]
