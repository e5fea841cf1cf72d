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


def test_library_is_decoded_by_one_process_a_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(5)))
    assert settings(monkeypatch).bulk_processes == 5
    assert settings(monkeypatch, BULK_DECODERS=3).bulk_processes == 3
    assert settings(monkeypatch, BULK_FILES=2).bulk_processes == 2  # no process without a file


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


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("DECODE_WAIT_S", "inf", "EMBEDDER_DECODE_WAIT_S: Input should be a finite number"),
        ("UPLOAD_MAX_SECONDS", "inf", "EMBEDDER_UPLOAD_MAX_SECONDS: Input should be a finite number"),
        ("DECODE_CPU_S", "1e30", "EMBEDDER_DECODE_CPU_S: Input should be less than or equal to 86400"),
        ("DECODE_MEMORY_MIB", "99999999999999", "EMBEDDER_DECODE_MEMORY_MIB: Input should be less than or equal to"),
        ("BLOB_STORE_URL", "file://relative", "EMBEDDER_BLOB_STORE_URL: must be file:///an/absolute/folder or s3://b"),
        ("BLOB_STORE_URL", "s3:///x", "EMBEDDER_BLOB_STORE_URL: must be file:///an/absolute/folder or s3://b"),
        ("LOG_LEVEL", "loud", "EMBEDDER_LOG_LEVEL: Input should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("UPLOAD_MIN_SECONDS", "9000", "\n  EMBEDDER_UPLOAD_MIN_SECONDS is 9000"),
    ],
)
def test_faults_are_told_in_words(monkeypatch: pytest.MonkeyPatch, name: str, value: str, told: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(monkeypatch, **{name: value})
    assert told in str(caught.value)


@pytest.mark.parametrize(("waiting", "files", "of_one"), [(16, 18, 9), (1, 3, 1), (0, 2, 1)])
def test_one_user_has_at_most_half_of_the_places(
    monkeypatch: pytest.MonkeyPatch, waiting: int, files: int, of_one: int
) -> None:
    limits = settings(monkeypatch, MAX_WAITING_CALLS=waiting).call_limits
    assert (limits.files, limits.files_of_one) == (files, of_one)


def test_the_only_place_is_anybodys(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings(monkeypatch, INTERACTIVE_FILES=1, MAX_WAITING_CALLS=0).call_limits.files_of_one == 1
