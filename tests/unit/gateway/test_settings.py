"""Settings of the gateway: all faults at once, secrets not shown."""

import pytest

from services.chassis.settings import SettingsError, load
from services.gateway.settings import GatewaySettings

KEY = "0123456789abcdef0123456789abcdef"


def test_every_fault_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_LISTEN", "nowhere")
    monkeypatch.setenv("GATEWAY_URL_SIGNING_KEY", "short secret")
    monkeypatch.setenv("GATEWAY_MAX_UPLOAD_BYTES", "0")
    with pytest.raises(SettingsError) as caught:
        load(GatewaySettings)
    text = str(caught.value)
    for name in ("GATEWAY_LISTEN", "GATEWAY_URL_SIGNING_KEY", "GATEWAY_MAX_UPLOAD_BYTES"):
        assert name in text
    assert "short secret" not in text


def test_a_key_must_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GATEWAY_URL_SIGNING_KEY", raising=False)
    with pytest.raises(SettingsError, match="GATEWAY_URL_SIGNING_KEY"):
        load(GatewaySettings)


def test_lists_addresses_and_urls_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_URL_SIGNING_KEY", KEY)
    monkeypatch.setenv("GATEWAY_CORS_ORIGINS", "https://a.example, https://b.example,")
    monkeypatch.setenv("GATEWAY_LISTEN", "[::1]:8080")
    monkeypatch.setenv("GATEWAY_PUBLIC_URL", "https://music.example/")
    settings = load(GatewaySettings)
    assert settings.cors_origins == ("https://a.example", "https://b.example")
    assert (settings.host, settings.port) == ("::1", 8080)
    assert settings.public_url == "https://music.example"
    assert KEY not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CORS_ORIGINS", "app.example"),
        ("CORS_ORIGINS", "https://app.example/path"),
        ("COOKIE_SAME_SITE", "none"),
        ("COOKIE_SAME_SITE", "sometimes"),
    ],
)
def test_what_browsers_would_not_heed_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_URL_SIGNING_KEY", KEY)
    monkeypatch.setenv("GATEWAY_COOKIE_SECURE", "false")
    monkeypatch.setenv(f"GATEWAY_{name}", value)
    with pytest.raises(SettingsError, match=f"GATEWAY_{name}"):
        load(GatewaySettings)


def test_origins_are_written_as_browsers_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_URL_SIGNING_KEY", KEY)
    monkeypatch.setenv("GATEWAY_CORS_ORIGINS", "https://App.example:443/")
    monkeypatch.setenv("GATEWAY_COOKIE_SAME_SITE", "none")
    settings = load(GatewaySettings)
    assert (settings.cors_origins, settings.cookie_same_site) == (("https://app.example",), "none")
