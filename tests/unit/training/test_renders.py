import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from training.renders import SAMPLE_RATE_HZ, STYLES, render, style_of
from training.renders.scores import read_parts, score_paths
from training.renders.song import Note

_SECONDS = 2.5


def _digest(seed: int) -> str:
    return hashlib.sha256(render(seed, _SECONDS).tobytes()).hexdigest()


@pytest.mark.parametrize("style", STYLES)
def test_every_style_gives_sound_of_the_length_asked_for_within_full_scale(style: str) -> None:
    samples = render(3, _SECONDS, style)

    peak = float(np.abs(samples).max())
    assert samples.shape == (80_000,)
    assert samples.dtype == np.float32
    assert np.isfinite(samples).all()
    assert 0.299 < peak < 0.991
    # No second is silent: below -50 dB of the peak.
    seconds = np.square(samples[: 2 * SAMPLE_RATE_HZ].reshape(2, SAMPLE_RATE_HZ)).mean(axis=1)
    assert np.sqrt(seconds).min() > 0.003 * peak


def test_a_length_that_is_no_whole_number_of_samples_is_rounded() -> None:
    assert len(render(1, 1.00004, "chiptune")) == 32_001


def test_one_seed_gives_the_same_samples_in_another_process() -> None:
    # Hashes of strings, and so orders of sets, differ between processes.
    code = "from tests.unit.training.test_renders import _digest; print(*map(_digest, range(4)))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()

    assert found == [_digest(seed) for seed in range(4)]


def test_seeds_differ_within_a_style() -> None:
    pieces = [render(seed, _SECONDS, "techno") for seed in range(4)]

    for number, piece in enumerate(pieces):
        for other in pieces[:number]:
            assert abs(float(np.corrcoef(piece, other)[0, 1])) < 0.5


def test_every_style_is_drawn_by_some_seed_and_no_other_is() -> None:
    assert {style_of(seed) for seed in range(400)} == set(STYLES)


def test_a_score_is_read_as_it_was_written() -> None:
    [chorale] = [path for path in score_paths() if path.name == "bwv66.6.mxl"]

    soprano, alto, tenor, bass = read_parts(chorale)

    assert [len(part) for part in (soprano, alto, tenor, bass)] == [36, 42, 44, 41]
    assert soprano[:4] == (
        Note(0.0, 0.5, 73, 0.85),
        Note(0.5, 0.5, 71, 0.7),
        Note(1.0, 1.0, 69, 0.85),
        Note(2.0, 1.0, 71, 0.85),
    )


def test_tied_notes_are_one_and_chords_sound_together(tmp_path: Path) -> None:
    def note(step: str, duration: int, inside: str = "") -> str:
        pitch = f"<pitch><step>{step}</step><octave>4</octave></pitch>"
        return f"<note>{inside}{pitch}<duration>{duration}</duration></note>"

    measure = (
        "<attributes><divisions>2</divisions></attributes>"
        + note("C", 4, '<tie type="start"/>')
        + note("E", 4, "<chord/>")
        + note("C", 2, '<tie type="stop"/>')
        + "<note><grace/><pitch><step>B</step><octave>4</octave></pitch></note>"
        + "<note><rest/><duration>1</duration></note>"
        + note("G", 1)
        + "<backup><duration>8</duration></backup>"
        + note("A", 8)
    )
    path = tmp_path / "score.mxl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("META-INF/container.xml", "<container/>")
        archive.writestr("score.xml", f"<score-partwise><part><measure>{measure}</measure></part></score-partwise>")

    [part] = read_parts(path)

    assert [(note.beat, note.length, note.pitch) for note in part] == [
        (0, 2, 64),
        (0, 3, 60),
        (0, 4, 69),
        (3.5, 0.5, 67),
    ]
