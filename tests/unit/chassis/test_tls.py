"""Certificate files: what they must hold, and how they are read anew."""

import logging
from pathlib import Path

import pytest

from services.chassis import tls
from services.chassis.settings import SettingsError, load
from services.chassis.tls import TlsSettings, open_identity
from tests.fakes.certificates import Authority, Files


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the files whenever somebody asks."""
    monkeypatch.setattr(tls, "_LOOK_INTERVAL_S", 0.0)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Authority().issue(tmp_path / "social", "social", "social.museed")


def test_without_files_there_is_no_identity() -> None:
    assert open_identity(TlsSettings()) is None


def test_all_files_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TLS_CA_FILE", "/ca.crt")
    with pytest.raises(SettingsError) as raised:
        load(TlsSettings)
    told = "set all of TLS_CERTIFICATE_FILE, TLS_PRIVATE_KEY_FILE and TLS_CA_FILE, or none"
    assert str(raised.value) == f"bad settings:\n  {told}"


@pytest.mark.parametrize("name", ["TLS_CALLERS", "TLS_PROBES_LISTEN"])
def test_callers_and_probes_need_certificates(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "0.0.0.0:7409")
    with pytest.raises(SettingsError, match="mean nothing without TLS_CERTIFICATE_FILE"):
        load(TlsSettings)


def test_settings_become_an_identity(monkeypatch: pytest.MonkeyPatch, files: Files) -> None:
    for name, value in {**files.environment(), "TLS_CALLERS": "gateway, embedder,"}.items():
        monkeypatch.setenv(name, value)
    identity = open_identity(load(TlsSettings))
    assert identity is not None
    assert identity.name == "social"
    assert identity.callers == {"gateway", "embedder"}


def test_missing_file_ends_the_process_with_one_line(files: Files) -> None:
    files.key.unlink()
    chosen = TlsSettings(certificate_file=files.certificate, private_key_file=files.key, ca_file=files.ca)
    with pytest.raises(SystemExit) as raised:
        open_identity(chosen)
    assert str(raised.value) == f"bad settings:\n  {files.key}: No such file or directory"


def test_key_of_another_certificate_is_refused(files: Files, tmp_path: Path) -> None:
    other = Authority().issue(tmp_path / "other", "other")
    chosen = TlsSettings(certificate_file=files.certificate, private_key_file=other.key, ca_file=files.ca)
    with pytest.raises(SystemExit) as raised:
        open_identity(chosen)
    assert str(raised.value) == "bad settings:\n  TLS files: the private key is not the certificate's"


@pytest.mark.parametrize("which", ["certificate", "key", "ca"])
def test_file_that_holds_something_else_is_refused(files: Files, which: str) -> None:
    getattr(files, which).write_text("something else")
    with pytest.raises(ValueError, match=r"[Uu]nable to load|valid PEM|MalformedFraming"):
        files.identity()


@pytest.mark.usefixtures("at_once")
def test_files_are_read_when_they_are_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    authority = Authority()
    identity = authority.issue(tmp_path, "social").identity()
    before = identity.pem()
    assert identity.pem() is before
    authority.issue(tmp_path, "social", "more")
    with caplog.at_level(logging.INFO):
        assert identity.pem().names == ("social", "more")
    assert [record.message for record in caplog.records] == ["tls_files_renewed"]


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("damage", ["half", "gone", "mixed"])
def test_unusable_files_change_nothing_and_are_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    authority = Authority()
    files = authority.issue(tmp_path / "social", "social")
    identity = files.identity()
    before = identity.pem()
    if damage == "half":
        files.certificate.write_bytes(before.chain[: len(before.chain) // 2])
    elif damage == "gone":
        files.certificate.unlink()
    else:
        files.key.write_bytes(authority.issue(tmp_path / "other", "social").key.read_bytes())
    assert [identity.pem() for _ in range(3)] == [before] * 3
    assert [record.message for record in caplog.records] == ["tls_files_unusable"]
    authority.issue(tmp_path / "social", "again")
    assert identity.pem().names == ("again",)


def test_nothing_shows_the_key(files: Files) -> None:
    identity = files.identity()
    assert "PRIVATE" in identity.pem().key.decode()
    assert repr(identity.pem()).startswith("Pem(names=('social', 'social.museed'), expires_at=")
    assert "key" not in repr(identity.pem()).lower()
