"""As whom the `museed` command speaks to a mesh elsewhere."""

from pathlib import Path

import pytest

from deploy.local.account import AccountSettings, connect
from deploy.local.client import ClientError, Credentials, GatewayClient
from services.chassis.settings import load


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("URL", "LOGIN", "PASSWORD", "SIGN_UP_EMAIL"):
        monkeypatch.delenv(f"MUSEED_{name}", raising=False)


def test_account_is_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSEED_LOGIN", "ann")
    monkeypatch.setenv("MUSEED_PASSWORD", "a password")
    assert load(AccountSettings).credentials == Credentials("ann", "a password", None)
    monkeypatch.setenv("MUSEED_SIGN_UP_EMAIL", "ann@example.org")
    assert load(AccountSettings).credentials == Credentials("ann", "a password", "ann@example.org")
    assert "a password" not in repr(load(AccountSettings))


def test_password_may_be_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUSEED_LOGIN", "ann")
    (tmp_path / "MUSEED_PASSWORD").write_text("from a file\n")
    assert load(AccountSettings, tmp_path).credentials == Credentials("ann", "from a file", None)


def test_mesh_must_be_named_or_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ClientError, match="no mesh runs in"):
        connect(tmp_path)
    monkeypatch.setenv("MUSEED_URL", "http://127.0.0.1:1")
    assert isinstance(connect(tmp_path), GatewayClient)
