"""Settings that hold only together."""

from typing import Any

import pytest

from services.chassis.settings import SettingsError, load
from services.embedder.settings import EmbedderSettings

NEEDED = {"EMBEDDER_SOCIAL_ADDRESS": "127.0.0.1:1", "EMBEDDER_BLOB_STORE_URL": "file:///tmp/x"}


def settings(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> EmbedderSettings:
    for name, value in (NEEDED | {f"EMBEDDER_{name}": str(value) for name, value in changes.items()}).items():
        monkeypatch.setenv(name, value)
    return load(EmbedderSettings)


def test_defaults_have_room_for_windows_of_every_length_that_is_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    for window_seconds in (10, 30, 60):
        settings(monkeypatch).check_room(window_seconds)


@pytest.mark.parametrize(
    ("changes", "window_seconds", "needed"),
    [
        ({"MAX_WAITING_CALLS": 28}, 10, None),
        ({"MAX_WAITING_CALLS": 29}, 10, "31 tracks at a time may have 1240 s"),
        ({"MAX_WAITING_CALLS": 18}, 60, None),
        ({"MAX_WAITING_CALLS": 19}, 60, "21 tracks at a time may have 1260 s"),
        ({"BULK_FILES": 15, "PREFETCH_FILES": 1}, 10, "31 tracks at a time may have 1240 s"),
        ({"BULK_FILES": 15, "PREFETCH_FILES": 0}, 10, None),
    ],
)
def test_both_lanes_have_room_for_every_track_that_is_let_in(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, int], window_seconds: float, needed: str | None
) -> None:
    chosen = settings(monkeypatch, **changes)
    if needed is None:
        chosen.check_room(window_seconds)
        return
    with pytest.raises(SettingsError, match=needed):
        chosen.check_room(window_seconds)


@pytest.mark.parametrize("what", ["LIBRARY", "UPLOAD"])
def test_shortest_length_lies_below_the_longest(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    with pytest.raises(SettingsError, match=f"EMBEDDER_{what}_MIN_SECONDS is 9000, EMBEDDER_{what}_MAX_SECONDS is"):
        settings(monkeypatch, **{f"{what}_MIN_SECONDS": 9000})


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
