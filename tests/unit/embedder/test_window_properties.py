"""What windows of 10, 30 and 60 s are, by property: of the decoder's cutting and of the choice of those that vote."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.embedder.audio import DecodeSpec, decode
from services.embedder.mini import MiniEncoder
from services.embedder.musicnn import MusicnnEncoder
from services.embedder.windows import WindowChoice
from tests.fakes.encoder import MANIFEST

# The lowest that is decoded, so that minutes are small.
RATE = 2_000
LENGTHS = (10.0, 30.0, 60.0)
# What the encoders say, at their own rates, in seconds; and an absurd one.
MIN_SECONDS = (
    MiniEncoder.min_samples / 24_000,
    MusicnnEncoder.min_samples / 16_000,
    4,
)
SILENT, LOUD = 0.0009, 0.0011

Window = NDArray[np.float32]


@st.composite
def tracks(draw: st.DrawFn) -> tuple[float, Window]:
    """Draw a window length and a sound of up to three and a half of it, silent here and there."""
    window_seconds = draw(st.sampled_from(LENGTHS))
    samples = draw(
        st.one_of(
            st.integers(1, round(3.5 * window_seconds * RATE)),
            # Around the edges: n windows and nearly nothing, or around 3 s, more or less.
            st.builds(
                lambda full, rest, off: max(1, round((full * window_seconds + rest) * RATE) + off),
                st.integers(0, 3),
                st.sampled_from([0, 3]),
                st.integers(-1, 1),
            ),
        )
    )
    sound = np.full(samples, LOUD, np.float32)
    for start in range(0, samples, 5 * RATE):
        if draw(st.booleans()):
            sound[start : start + 5 * RATE] = SILENT
    # Every sample is another one, so that none can be lost, doubled or moved unseen.
    sound += np.arange(samples, dtype=np.float32) * np.float32(1e-10)
    return window_seconds, sound


def cut(sound: Window, window_seconds: float) -> list[Window]:
    """Cut as the service does: a file through the decoder."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound.wav"
        soundfile.write(path, sound, RATE, subtype="FLOAT")
        with path.open("rb") as file:
            spec = DecodeSpec(RATE, round(window_seconds * RATE), 0, 7_200)
            return list(decode(file.fileno(), spec))


@settings(max_examples=60, deadline=None)
@given(track=tracks())
def test_windows_part_time_without_gap_or_overlap(track: tuple[float, Window]) -> None:
    window_seconds, sound = track
    windows = cut(sound, window_seconds)
    np.testing.assert_array_equal(np.concatenate(windows), sound)
    full = round(window_seconds * RATE)
    assert [len(window) for window in windows[:-1]] == [full] * (len(windows) - 1)
    assert 1 <= len(windows[-1]) <= full


@settings(max_examples=200, deadline=None)
@given(track=tracks(), min_seconds=st.sampled_from(MIN_SECONDS))
def test_who_votes_and_with_what(track: tuple[float, Window], min_seconds: float) -> None:
    window_seconds, sound = track
    manifest = replace(MANIFEST, sample_rate_hz=RATE, window_seconds=window_seconds, hop_seconds=window_seconds)
    min_samples = round(min_seconds * RATE)
    choice = WindowChoice(manifest, min_samples)
    full = round(window_seconds * RATE)
    windows = [sound[start : start + full] for start in range(0, len(sound), full)]
    votes = [choice.votes(window) for window in windows]

    has_full = len(sound) >= full
    for window, voted in zip(windows, votes, strict=True):
        shortest = max(3 * RATE, min_samples) if has_full else min_samples
        is_loud = float(np.mean(window.astype(np.float64) ** 2)) >= 0.001**2
        is_long = len(window) == full or len(window) >= shortest
        assert voted == (is_loud and is_long)
    seconds = [choice.seconds(window) for window, voted in zip(windows, votes, strict=True) if voted]
    heard = sum(len(window) for window, voted in zip(windows, votes, strict=True) if voted)
    assert sum(seconds) == pytest.approx(heard / RATE, abs=1e-9)
    assert all(one <= window_seconds for one in seconds)
    assert len([one for one in seconds if one < window_seconds]) <= 1
