"""All measures together: independent of blocks, rate and gain, never NaN, in bounded memory."""

import dataclasses
import math
import tracemalloc

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from services.embedder.descriptors import Describer, Descriptors
from tests.unit.embedder.descriptors.sounds import RATE, Float32Array, noise, song

SONG = song(12)


def described(sound: Float32Array, cuts: list[int] | None = None, rate: int = RATE) -> Descriptors:
    describer = Describer(rate)
    for block in np.split(sound, sorted(cuts or [])):
        describer.hear_source(block[:, None], rate)
        describer.hear(block)
    return describer.describe()


def test_song_is_what_it_was_made_as() -> None:
    found = described(song())
    assert found.tempo_bpm == pytest.approx(120, rel=0.01)
    assert (found.key, found.revision) == ("A minor", 1)
    assert found.peak_dbfs == pytest.approx(20 * np.log10(np.abs(song()).max()), abs=1e-3)
    assert all(value is not None for value in dataclasses.asdict(found).values())


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, len(SONG)), max_size=40))
def test_blocks_do_not_matter(cuts: list[int]) -> None:
    assert described(SONG, cuts) == described(SONG)


def test_blocks_of_one_sample_do_not_matter() -> None:
    sound = SONG[: RATE // 2]
    assert described(sound, list(range(1, len(sound)))) == described(sound)


def test_rate_of_the_encoder_does_not_matter() -> None:
    source = song(24, 44_100)
    found = []
    for rate in (16_000, 24_000):
        describer = Describer(rate)
        describer.hear_source(source[:, None], 44_100)
        describer.hear(soxr.resample(source, 44_100, rate, quality="HQ"))
        found.append(describer.describe())
    low, high = found
    assert (low.loudness_lufs, low.peak_dbfs, low.key) == (high.loudness_lufs, high.peak_dbfs, high.key)
    assert low.tempo_bpm == pytest.approx(high.tempo_bpm, rel=0.005)
    assert low.key_confidence == pytest.approx(high.key_confidence, abs=0.02)
    assert low.energy == pytest.approx(high.energy, abs=0.01)


def test_gain_moves_loudness_peak_and_energy_and_nothing_else() -> None:
    sound = song() * np.float32(0.8)
    plain, louder = described(sound), described(sound * np.float32(10 ** (6 / 20)))
    assert plain.loudness_lufs is not None
    assert plain.peak_dbfs is not None
    assert louder.loudness_lufs == pytest.approx(plain.loudness_lufs + 6, abs=0.02)
    assert louder.peak_dbfs == pytest.approx(plain.peak_dbfs + 6, abs=1e-3)
    assert (louder.tempo_bpm, louder.key) == (plain.tempo_bpm, plain.key)
    assert louder.key_confidence == pytest.approx(plain.key_confidence, abs=1e-3)
    assert plain.energy is not None
    assert louder.energy == pytest.approx(plain.energy + 0.125, abs=0.002)


def test_onsets_count_wherever_they_fall() -> None:
    # Bursts 1.024 s apart, which is as long as a batch of frames; so all of them fall on one place in it.
    time = np.arange(20 * RATE) / RATE
    hiss = noise(20, 0.2)
    energies = [
        described((hiss * np.exp(-15 * ((time + shift) % 1.024))).astype(np.float32)).energy
        for shift in np.arange(0, 1.024, 0.064)
    ]
    assert max(filter(None, energies)) - min(filter(None, energies)) < 0.015


def test_offset_of_the_whole_signal_does_not_matter() -> None:
    plain, shifted = described(song()), described(song() + np.float32(0.2))
    assert (shifted.tempo_bpm, shifted.key) == (plain.tempo_bpm, plain.key)
    assert shifted.energy == pytest.approx(plain.energy, abs=0.005)


def test_hiss_that_nobody_hears_counts_no_more_than_silence() -> None:
    hiss = np.concatenate([song(), noise(40, 3e-5)])
    silence = np.concatenate([song(), np.zeros(40 * RATE, np.float32)])
    found, expected = described(hiss), described(silence)
    assert (found.tempo_bpm, found.key, found.loudness_lufs) == (
        expected.tempo_bpm,
        expected.key,
        expected.loudness_lufs,
    )
    assert found.energy == pytest.approx(expected.energy, abs=0.002)


NOTHING = Descriptors(None, None, None, None, None, None)


@pytest.mark.parametrize("rate", [1_000, 2_000, RATE, 24_000, 48_000])
@pytest.mark.parametrize("sound", [np.zeros(0), np.zeros(1), np.zeros(50_000), np.full(50_000, np.nan)])
def test_where_nothing_sounds_nothing_is_known(sound: Float32Array, rate: int) -> None:
    assert described(sound.astype(np.float32), rate=rate) == NOTHING


def test_fifth_of_a_second_has_a_peak_only() -> None:
    found = described(noise(0.2))
    assert found == dataclasses.replace(NOTHING, peak_dbfs=found.peak_dbfs)
    assert found.peak_dbfs is not None


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([1_000, 8_000, RATE]),
    st.integers(0, 60_000),
    st.sampled_from([0.0, 1e-30, 1e-6, 0.1, 1.0, 1e6, 1e38]),
    st.sampled_from([0.0, 0.5, -1e6]),
    st.sampled_from([None, np.nan, np.inf, -np.inf]),
    st.integers(0, 2**32 - 1),
)
def test_every_number_is_finite_and_within_its_range(
    rate: int, samples: int, level: float, offset: float, hole: float | None, seed: int
) -> None:
    sound = (np.random.default_rng(seed).uniform(-1, 1, samples) * level + offset).astype(np.float32)
    if hole is not None:
        sound[::7] = hole
    found = described(sound, rate=rate)
    ranges = {
        "loudness_lufs": (-70, 10),
        "peak_dbfs": (-math.inf, 120.1),
        "tempo_bpm": (40, 240),
        "key_confidence": (0, 1),
        "energy": (0, 1),
    }
    for name, (low, high) in ranges.items():
        value = getattr(found, name)
        assert value is None or (math.isfinite(value) and low <= value <= high), name
    assert (found.key is None) == (found.key_confidence is None)


def memory_of_arrays() -> int:
    """Return what numpy's arrays take: the interpreter's own tables grow by what other tests did."""
    arrays = tracemalloc.take_snapshot().filter_traces([tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)])
    return sum(trace.size for trace in arrays.traces)


def test_memory_does_not_grow_with_the_length() -> None:
    block = noise(10)
    held = []
    tracemalloc.start()
    try:
        describer = Describer(RATE)
        for _ in range(30):
            describer.hear_source(block[:, None], RATE)
            describer.hear(block)
            held.append(memory_of_arrays())
    finally:
        tracemalloc.stop()
    assert held[-1] - held[2] < 20_000  # one float32 a frame would be 67,500
