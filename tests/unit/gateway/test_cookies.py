"""Which pages may have a cookie set and read."""

import pytest
from pydantic import SecretStr

from services.gateway.cookies import RefreshCookie
from services.gateway.settings import GatewaySettings

HOST = "music.example"


def cookie(**more: object) -> RefreshCookie:
    return RefreshCookie(GatewaySettings(url_signing_key=SecretStr("k" * 32), **more))  # type: ignore[arg-type]  # any


@pytest.mark.parametrize(
    ("origin", "host", "is_ours"),
    [
        ("https://music.example", HOST, True),
        ("https://MUSIC.example:443", HOST, True),
        ("https://app.example", HOST, True),
        ("https://public.example", HOST, True),
        ("https://music.example:8443", "music.example:8443", True),
        ("http://localhost:8080", "localhost:8080", True),
        ("http://127.0.0.1:8080", "127.0.0.1:8080", True),
        ("http://[::1]:8080", "[::1]:8080", True),
        ("http://music.example", HOST, False),
        ("http://app.example", HOST, False),
        ("https://music.example:8443", HOST, False),
        ("https://a.music.example", HOST, False),
        ("https://music.example.evil", HOST, False),
        ("http://127.0.0.1:9999", "127.0.0.1:8080", False),
        ("null", HOST, False),
        ("", HOST, False),
        ("https://[", HOST, False),
        ("https://music.example", None, False),
        (None, HOST, False),
    ],
)
def test_pages_of_this_host_and_of_listed_origins_are_ours(origin: str | None, host: str | None, is_ours: bool) -> None:
    ours = cookie(cors_origins=("https://app.example",), public_url="https://public.example/music")
    assert ours.is_ours(origin, host) is is_ours


def test_without_tls_plain_pages_are_ours_too() -> None:
    assert cookie(cookie_secure=False).is_ours("http://music.example", HOST) is True
    assert cookie(cookie_secure=False).is_ours("http://other.example", HOST) is False


def test_a_star_is_no_origin() -> None:
    assert cookie(cors_origins=("*",)).is_ours("https://app.example", HOST) is False
