"""Renders pieces for real: what one would hear, and what an interruption leaves."""

import os
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from deploy.local import demo_library
from deploy.local.demo_library import render_library, write_piece
from deploy.local.demo_scores import LIBRARY, SEEDS, Piece
from deploy.local.files import Candidate, TrackFile, read, scan

STYLES = ["Guitar", "Choir", "String Quartet", "Music Box", "Drums"]


def first_of(album: str) -> Piece:
    return next(piece for piece in LIBRARY if piece.style.album == album)


def centroid_hz(samples: np.ndarray, sample_rate_hz: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples.mean(axis=1)))
    return float(np.average(np.fft.rfftfreq(len(samples), 1 / sample_rate_hz), weights=spectrum))


def check_sound(path: Path, piece: Piece) -> float:
    samples, sample_rate_hz = soundfile.read(path, dtype="float32")
    assert (sample_rate_hz, samples.shape[1]) == (44_100, 2)
    assert len(samples) == piece.duration_s * sample_rate_hz
    seconds = samples.reshape(piece.duration_s, -1)
    loudness_db = 20 * np.log10(np.sqrt(np.mean(np.square(seconds), axis=1)) + 1e-9)
    is_silent = loudness_db[:-3] < -45
    # Handel has a general pause of one.
    assert not any(one and next_one for one, next_one in pairwise(is_silent)), "two seconds are silent"
    assert float(np.median(loudness_db)) == pytest.approx(-20, abs=4)
    assert np.abs(samples).max() < 1.0
    return centroid_hz(samples, sample_rate_hz)


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> tuple[Piece, ...]:
    """A library of a piece of each of five styles."""
    pieces = tuple(first_of(album) for album in STYLES)
    monkeypatch.setattr(demo_library, "LIBRARY", pieces)
    monkeypatch.setattr(demo_library, "SEEDS", SEEDS[:1])
    return pieces


def test_pieces_sound_last_differ_and_are_tagged(few: tuple[Piece, ...], tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    seeds = render_library(tmp_path, lambda piece, done, total: told.append((piece.title, done, total)))
    assert {title for title, _, _ in told} == {piece.title for piece in (*few, SEEDS[0])}
    assert [(done, total) for _, done, total in told] == [(number, 6) for number in range(1, 7)]
    centroids = [check_sound(tmp_path / "library" / piece.file_name, piece) for piece in few]
    # From dark to bright, each by a tenth at least.
    assert all(brighter > 1.1 * darker for darker, brighter in pairwise(centroids)), centroids
    found = {item.relative_path: read(item) for item in scan(tmp_path / "library") if isinstance(item, Candidate)}
    assert found.keys() == {piece.file_name for piece in few}
    for piece in few:
        track = found[piece.file_name]
        assert isinstance(track, TrackFile)
        assert (track.title, track.artist, track.album) == (piece.title, piece.score.composer, piece.style.album)
        assert (track.genre, track.year) == (piece.genre, piece.score.year)
    assert [seed.is_file() for seed in seeds] == [True]
    assert list(tmp_path.rglob("*.part")) == []


def test_the_same_piece_is_the_same_recording(tmp_path: Path) -> None:
    piece = first_of("Piano")
    tracks = []
    for name in ("a.ogg", "b.ogg"):
        write_piece(piece, tmp_path / name)
        track = read(Candidate(tmp_path, name))
        assert isinstance(track, TrackFile)
        tracks.append(track)
    assert tracks[0].audio_hash == tracks[1].audio_hash


def test_a_killed_rendering_is_taken_up_where_it_was(few: tuple[Piece, ...], tmp_path: Path) -> None:
    script = (
        "import pathlib, sys\n"
        "from deploy.local import demo_library\n"
        "styles = sys.argv[2:]\n"
        "demo_library.LIBRARY = tuple(\n"
        "    next(piece for piece in demo_library.LIBRARY if piece.style.album == style) for style in styles\n"
        ")\n"
        "demo_library.SEEDS = demo_library.SEEDS[:1]\n"
        "told = lambda piece, done, total: print(done, flush=True)\n"
        "demo_library.render_library(pathlib.Path(sys.argv[1]), told, workers=1)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path), *STYLES]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as renderer:
        assert renderer.stdout is not None
        assert renderer.stdout.readline() == b"1\n"
        os.kill(renderer.pid, signal.SIGKILL)
        renderer.wait(60)
    finished = tmp_path / "library" / few[0].file_name
    before = finished.stat()
    told: list[tuple[str, int, int]] = []
    render_library(tmp_path, lambda piece, done, total: told.append((piece.title, done, total)))
    assert few[0].title not in {title for title, _, _ in told}
    assert told[-1][1:] == (6, 6)
    assert (finished.stat().st_ino, finished.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert list(tmp_path.rglob("*.part")) == []
    told.clear()
    render_library(tmp_path, lambda piece, done, total: told.append((piece.title, done, total)))
    assert told == []


@pytest.mark.long
def test_the_whole_library_sounds(tmp_path: Path) -> None:
    seeds = render_library(tmp_path, lambda piece, done, total: None)
    for piece in LIBRARY:
        check_sound(tmp_path / "library" / piece.file_name, piece)
    for piece, seed in zip(SEEDS, seeds, strict=True):
        check_sound(seed, piece)
