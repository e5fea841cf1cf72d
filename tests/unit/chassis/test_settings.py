from pathlib import Path

import pytest
from pydantic import Field, SecretStr

from services.chassis.settings import Listen, OptionalListen, Settings, SettingsError, load, settings_config
from services.embedder.settings import EmbedderSettings
from services.gateway.settings import GatewaySettings
from services.retriever.settings import RetrieverSettings
from services.social.settings import SocialSettings


class Example(Settings):
    model_config = settings_config("EXAMPLE_")

    listen: str
    max_batch_size: int = Field(default=8, ge=1)
    token: SecretStr


def test_all_faults_are_told_at_once_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_MAX_BATCH_SIZE", "0")
    monkeypatch.setenv("EXAMPLE_TOKEN", "")
    with pytest.raises(SettingsError) as caught:
        load(Example)
    text = str(caught.value)
    assert [line.split(":")[0].strip() for line in text.splitlines()[1:]] == [
        "EXAMPLE_LISTEN",
        "EXAMPLE_MAX_BATCH_SIZE",
        "EXAMPLE_TOKEN",
    ]


def test_settings_are_read_once_and_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_LISTEN", "127.0.0.1:1")
    monkeypatch.setenv("EXAMPLE_TOKEN", "secret")
    settings = load(Example)
    assert (settings.listen, settings.max_batch_size) == ("127.0.0.1:1", 8)
    assert "secret" not in repr(settings)
    with pytest.raises(ValueError, match="frozen"):
        settings.listen = "other"


class Listening(Settings):
    model_config = settings_config("LISTENING_")

    listen: Listen = "127.0.0.1:7101"
    metrics_listen: OptionalListen = ""


@pytest.mark.parametrize(
    "address", ["127.0.0.1:0", "0.0.0.0:65535", "localhost:7101", "[::]:7101", "[::1]:80", "mesh-1.example:07402"]
)
def test_addresses_to_listen_on(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTENING_LISTEN", address)
    monkeypatch.setenv("LISTENING_METRICS_LISTEN", address)
    settings = load(Listening)
    assert (settings.listen, settings.metrics_listen) == (address, address)


@pytest.mark.parametrize(
    "address",
    ["x", "7101", ":7101", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:٣",
     "::1:7101", "http://127.0.0.1:7101", "127.0.0.1 :7101", "127.0.0.1:7101\n"],
)  # fmt: skip
@pytest.mark.parametrize("kind", [EmbedderSettings, GatewaySettings, RetrieverSettings, SocialSettings, Listening])
def test_address_that_nobody_can_listen_on_is_named(
    kind: type[Settings], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = kind.model_config.get("env_prefix", "")
    wanted = [f"{prefix}LISTEN", f"{prefix}METRICS_LISTEN"]
    for name in wanted:
        monkeypatch.setenv(name, address)
    with pytest.raises(SettingsError) as caught:
        load(kind)
    lines = [line.strip() for line in str(caught.value).splitlines()]
    told = f"{address!r} is no address to listen on: give host:port with a port from 0 to 65535"
    assert [line for line in lines if "LISTEN" in line] == [f"{name}: {told}" for name in wanted]


def test_metrics_need_no_address() -> None:
    assert load(Listening).metrics_listen == ""


class Secretive(Settings):
    model_config = settings_config("SECRETIVE_")

    password: SecretStr
    name: str = "nobody"


def test_files_stand_for_variables_that_are_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "SECRETIVE_PASSWORD").write_text("from the file\n")
    (tmp_path / "SECRETIVE_NAME").write_text("file")
    monkeypatch.setenv("SECRETIVE_NAME", "environment")
    settings = load(Secretive, tmp_path)
    assert settings.password.get_secret_value() == "from the file"
    assert settings.name == "environment"


def test_empty_variable_leaves_it_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "SECRETIVE_PASSWORD").write_text("from the file")
    monkeypatch.setenv("SECRETIVE_PASSWORD", "")
    assert load(Secretive, tmp_path).password.get_secret_value() == "from the file"


def test_empty_file_counts_as_missing(tmp_path: Path) -> None:
    (tmp_path / "SECRETIVE_PASSWORD").write_text("\n")
    (tmp_path / "SECRETIVE_NAME").write_text("")
    with pytest.raises(SettingsError, match=r"SECRETIVE_PASSWORD: Field required$"):
        load(Secretive, tmp_path)
    (tmp_path / "SECRETIVE_PASSWORD").write_text("given")
    assert load(Secretive, tmp_path).name == "nobody"


def test_folder_of_secrets_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRETIVE_PASSWORD", "set")
    assert load(Secretive, tmp_path / "none").password.get_secret_value() == "set"


def test_other_files_and_folders_of_secrets_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "SECRETIVE_PASSWORD").write_text("given")
    (tmp_path / "kubernetes.io").mkdir()
    (tmp_path / "OTHER").write_text("x")
    assert load(Secretive, tmp_path).name == "nobody"
