import pytest
from pydantic import Field, SecretStr

from services.chassis.settings import Settings, SettingsError, load, settings_config


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
