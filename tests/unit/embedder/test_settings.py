"""Settings that hold only together."""

import pytest

from services.chassis.settings import SettingsError, load
from services.embedder.settings import EmbedderSettings


@pytest.fixture(autouse=True)
def needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EMBEDDER_SOCIAL_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("EMBEDDER_BLOB_STORE_URL", "file:///blobs")


def test_cpu_seconds_run_out_before_waiting_does(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(EmbedderSettings).decode_limits.wait_s == 300
    monkeypatch.setenv("EMBEDDER_DECODE_CPU_S", "298")
    assert load(EmbedderSettings).decode_limits.cpu_s == 298
    monkeypatch.setenv("EMBEDDER_DECODE_CPU_S", "299")
    with pytest.raises(SettingsError, match=r"EMBEDDER_DECODE_WAIT_S must be at least EMBEDDER_DECODE_CPU_S \+ 2, 301"):
        load(EmbedderSettings)
