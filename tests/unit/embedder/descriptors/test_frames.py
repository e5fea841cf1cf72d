"""Frames of a stream: where they begin, what they hold, which can be heard."""

import numpy as np
import pytest

from services.embedder.descriptors.frames import Float32Array, Framer, is_audible, power_spectra
from tests.unit.embedder.descriptors.sounds import sine


def framed(blocks: list[Float32Array], frame: int, hop: int, batch: int) -> tuple[list[list[float]], list[int]]:
    """Return the frames and how many came at a time."""
    frames: list[list[float]] = []
    sizes: list[int] = []

    def take(found: Float32Array) -> None:
        frames.extend(found.tolist())
        sizes.append(len(found))

    framer = Framer(frame, hop, batch, take)
    for block in blocks:
        framer.push(block)
    framer.finish()
    return frames, sizes


@pytest.mark.parametrize("cuts", [[], [1], [3, 4, 5, 16], list(range(1, 23))])
def test_frames_are_those_of_the_whole_sound(cuts: list[int]) -> None:
    sound = np.arange(23, dtype=np.float32)
    frames, sizes = framed(np.split(sound, cuts), frame=4, hop=2, batch=3)
    assert frames == [sound[start : start + 4].tolist() for start in range(0, 20, 2)]
    assert sizes == [3, 3, 3, 1]


def test_less_than_a_frame_is_none() -> None:
    assert framed([np.ones(3, np.float32)], frame=4, hop=2, batch=3) == ([], [])


@pytest.mark.parametrize("samples", [512, 768, 8192])
@pytest.mark.parametrize(("level_dbfs", "expected"), [(-66.0, True), (-68.0, False)])
def test_gate_lies_at_70_db_below_full_scale(samples: int, level_dbfs: float, expected: bool) -> None:
    # The root mean square of a sine lies 3 dB under its peak.
    frame = sine(samples / 16, 1, level_dbfs, samples)[None]
    assert is_audible(power_spectra(frame, 0, samples // 2 + 1), samples).tolist() == [expected]
