"""What was read of files is remembered until they change, and no ledger that is broken stops an ingest."""

import os
from pathlib import Path

import pytest

from deploy.local import ingest_ledger
from deploy.local.files import Candidate, Reason, Skipped, TrackFile
from deploy.local.ingest_ledger import Ledger, readings
from tests.fixtures.recordings import write_recording


@pytest.fixture
def read_paths(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that were read, in this process."""
    paths: list[str] = []

    def read_all(candidates, *, min_duration_s):  # type: ignore[no-untyped-def]  # as the real one
        from deploy.local.files import read

        for candidate in candidates:
            paths.append(candidate.relative_path)
            yield read(candidate, min_duration_s=min_duration_s)

    monkeypatch.setattr(ingest_ledger, "read_all", read_all)
    return paths


def walk(folder: Path, ledger: Path | None, min_duration_s: float = 1.0) -> list[TrackFile | Skipped]:
    candidates = [Candidate(folder, path.name) for path in sorted(folder.iterdir())]
    with Ledger(ledger) as remembered:
        found = list(readings(iter(candidates), remembered, min_duration_s))
    assert [candidate for candidate, _ in found] == candidates
    return [reading for _, reading in found]


def test_only_what_changed_is_read_again_and_the_order_stays(tmp_path: Path, read_paths: list[str]) -> None:
    music, ledger = tmp_path / "music", tmp_path / "ledger"
    music.mkdir()
    for name in ("a.wav", "c.wav", "e.wav"):
        write_recording(music / name, "wav")
    (music / "b.wav").write_bytes(b"no audio")
    (music / "d.wav").symlink_to("nowhere")
    first = walk(music, ledger)
    assert read_paths == ["a.wav", "b.wav", "c.wav", "d.wav", "e.wav"]
    assert isinstance(first[1], Skipped)
    assert first[1].reason is Reason.NOT_AUDIO
    read_paths.clear()
    assert walk(music, ledger) == first
    # What could not be opened may be there now.
    assert read_paths == ["d.wav"]
    read_paths.clear()
    os.utime(music / "c.wav", ns=(1, 1))
    (music / "b.wav").write_bytes((music / "a.wav").read_bytes())
    second = walk(music, ledger)
    assert read_paths == ["b.wav", "c.wav", "d.wav"]
    assert isinstance(second[1], TrackFile)
    assert isinstance(second[2], TrackFile)
    assert second[2].mtime_ns == 1
    assert walk(music, None)[0] == first[0]


def test_how_long_a_track_must_be_is_asked_each_time(tmp_path: Path, read_paths: list[str]) -> None:
    music, ledger = tmp_path / "music", tmp_path / "ledger"
    music.mkdir()
    write_recording(music / "a.wav", "wav")
    assert isinstance(walk(music, ledger)[0], TrackFile)
    (short,) = walk(music, ledger, 1_000.0)
    assert isinstance(short, Skipped)
    assert short.reason is Reason.AUDIO_TOO_SHORT
    assert isinstance(walk(music, ledger)[0], TrackFile)


def test_short_file_is_remembered_for_the_length_that_was_asked(tmp_path: Path, read_paths: list[str]) -> None:
    music, ledger = tmp_path / "music", tmp_path / "ledger"
    music.mkdir()
    write_recording(music / "a.wav", "wav")
    for min_duration_s, reads in ((1_000.0, 1), (1_000.0, 1), (900.0, 2), (900.0, 2), (0.5, 3)):
        (found,) = walk(music, ledger, min_duration_s)
        assert isinstance(found, Skipped) == (min_duration_s > 1)
        assert len(read_paths) == reads


def test_file_of_a_time_beyond_what_can_be_kept_is_read_each_time(tmp_path: Path, read_paths: list[str]) -> None:
    music, ledger = tmp_path / "music", tmp_path / "ledger"
    music.mkdir()
    write_recording(music / "a.wav", "wav")
    os.utime(music / "a.wav", ns=(0, 1 << 63))
    if os.stat(music / "a.wav").st_mtime_ns < 1 << 63:
        pytest.skip("this file system keeps no such times")
    assert isinstance(walk(music, ledger)[0], TrackFile)
    assert isinstance(walk(music, ledger)[0], TrackFile)
    assert read_paths == ["a.wav"] * 2


def test_what_is_written_while_it_is_read_is_read_again(
    tmp_path: Path, read_paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    music, ledger = tmp_path / "music", tmp_path / "ledger"
    music.mkdir()
    whole = write_recording(tmp_path / "whole.wav", "wav").read_bytes()
    (music / "a.wav").write_bytes(b"begun")
    real = ingest_ledger.read_all

    def read_all(candidates, *, min_duration_s):  # type: ignore[no-untyped-def]  # as the real one
        for reading in real(candidates, min_duration_s=min_duration_s):
            (music / "a.wav").write_bytes(whole)  # the copy ends before the reading is noted
            yield reading

    monkeypatch.setattr(ingest_ledger, "read_all", read_all)
    assert isinstance(walk(music, ledger)[0], Skipped)
    assert isinstance(walk(music, ledger)[0], TrackFile)


@pytest.mark.parametrize("data", [b"this is no database " * 100, b""])
def test_ledger_that_is_none_remembers_nothing_or_begins_again(
    tmp_path: Path, read_paths: list[str], data: bytes
) -> None:
    music, ledger = tmp_path / "music", tmp_path / "ledger"
    music.mkdir()
    write_recording(music / "a.wav", "wav")
    ledger.write_bytes(data)
    assert isinstance(walk(music, ledger)[0], TrackFile)
    assert isinstance(walk(music, ledger)[0], TrackFile)
    assert read_paths == ["a.wav"] * (2 if data else 1)
