"""Loudness against the test signals of EBU Tech 3341 and a slow K-weighting; peak against arithmetic."""

import numpy as np
import pytest

from services.embedder.descriptors.loudness import LoudnessMeter, PeakMeter
from tests.unit.embedder.descriptors.sounds import Float32Array, noise, sine

RATE = 48_000
# ITU-R BS.1770-4, tables 1 and 2: both stages of the K-weighting at 48 kHz.
SHELF = ((1.53512485958697, -2.69169618940638, 1.19839281085285), (-1.69065929318241, 0.73248077421585))
HIGH_PASS = ((1.0, -2.0, 1.0), (-1.99004745483398, 0.99007225036621))


def lufs(sound: Float32Array, rate: int = RATE, block: int = 4096) -> float | None:
    meter = LoudnessMeter()
    for start in range(0, len(sound), block):
        meter.push(sound[start : start + block], rate)
    return meter.integrated_lufs()


def stereo(*parts: tuple[float, float], rate: int = RATE) -> Float32Array:
    """Return 1 kHz in both channels, by peak level in dBFS and seconds."""
    mono = np.concatenate([sine(1000, seconds, level, rate) for level, seconds in parts])
    return np.stack([mono, mono], axis=1)


@pytest.mark.parametrize(
    ("number", "parts", "expected"),
    [
        (1, [(-23, 20)], -23.0),
        (2, [(-33, 20)], -33.0),
        (3, [(-36, 10), (-23, 60), (-36, 10)], -23.0),
        (4, [(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23.0),
        (5, [(-26, 20), (-20, 20.1), (-26, 20)], -23.0),
    ],
)
def test_signals_of_ebu_tech_3341_read_as_it_says(
    number: int, parts: list[tuple[float, float]], expected: float
) -> None:
    assert lufs(stereo(*parts)) == pytest.approx(expected, abs=0.1), number


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 22_050, 44_100, 96_000, 192_000])
def test_every_rate_reads_the_same(rate: int) -> None:
    assert lufs(stereo((-23, 3), rate=rate), rate) == pytest.approx(-23.0, abs=0.1)


def filtered(sound: list[float], stage: tuple[tuple[float, ...], tuple[float, ...]]) -> list[float]:
    """Run a second-order filter over samples, one by one."""
    (b0, b1, b2), (a1, a2) = stage
    out, x1, x2, y1, y2 = [], 0.0, 0.0, 0.0, 0.0
    for x in sound:
        y = b0 * x + b1 * x1 + b2 * x2 - a1 * y1 - a2 * y2
        out.append(y)
        x1, x2, y1, y2 = x, x1, y, y1
    return out


def slow_lufs(sound: Float32Array) -> float:
    """Follow the standard step by step: shape (frames, 2) at 48 kHz."""
    weighted = [np.array(filtered(filtered(channel.tolist(), SHELF), HIGH_PASS)) for channel in sound.T]
    size, hop = round(0.4 * RATE), round(0.1 * RATE)
    starts = range(0, len(sound) - size + 1, hop)
    powers = np.array([sum(np.mean(one[at : at + size] ** 2) for one in weighted) for at in starts])
    loudness = -0.691 + 10 * np.log10(powers)
    powers = powers[loudness >= -70]
    gate = -0.691 + 10 * np.log10(powers.mean()) - 10
    return float(-0.691 + 10 * np.log10(powers[-0.691 + 10 * np.log10(powers) >= gate].mean()))


def test_uneven_noise_reads_like_the_standard_step_by_step() -> None:
    left = noise(3, seed=1, rate=RATE) * np.repeat(np.array([0.02, 1.0, 0.3], np.float32), RATE)
    right = noise(3, seed=2, rate=RATE) * np.repeat(np.array([0.5, 0.01, 0.1], np.float32), RATE)
    sound = np.stack([left, right], axis=1)
    assert lufs(sound) == pytest.approx(slow_lufs(sound), abs=0.02)


def test_mono_counts_as_two_equal_channels() -> None:
    both = stereo((-23, 5))
    assert lufs(both[:, :1]) == pytest.approx(lufs(both), abs=0.01)


def test_channels_that_cancel_out_in_mono_are_heard() -> None:
    both = stereo((-23, 5))
    both[:, 1] *= -1
    assert lufs(both) == pytest.approx(-23.0, abs=0.1)


@pytest.mark.parametrize("gain_db", [-20.0, -6.0, 6.0])
def test_gain_moves_loudness_by_itself(gain_db: float) -> None:
    sound = noise(5, 0.05, rate=RATE)[:, None] * np.array([[1.0, 0.4]], np.float32)
    plain, moved = lufs(sound), lufs(sound * np.float32(10 ** (gain_db / 20)))
    assert plain is not None
    assert moved == pytest.approx(plain + gain_db, abs=0.02)


@pytest.mark.parametrize("block", [1, 777, 16_384, 1_000_000])
def test_blocks_do_not_matter(block: int) -> None:
    sound = noise(1.27, rate=8_000)[:, None]
    assert lufs(sound, 8_000, block) == lufs(sound, 8_000, 4096) != None  # noqa: E711


@pytest.mark.parametrize(
    ("sound", "rate"),
    [
        (np.zeros((0, 2)), RATE),
        (np.zeros((RATE * 2, 2)), RATE),
        (np.full((RATE // 5, 2), 0.1), RATE),
        (np.full((4000, 1), 0.1), 2_000),
        (np.full((RATE, 9), 0.1), RATE),
    ],
    ids=["nothing", "silence", "a fifth of a second", "2 kHz", "nine channels"],
)
def test_what_has_no_loudness_says_so(sound: Float32Array, rate: int) -> None:
    assert lufs(sound.astype(np.float32), rate) is None


def test_peak_is_that_of_the_loudest_channel_whatever_its_sign() -> None:
    meter = PeakMeter()
    meter.push(np.array([[0.1, 0.2], [0.3, -0.5]], np.float32))
    meter.push(np.array([[0.4, 0.2]], np.float32))
    assert meter.dbfs() == pytest.approx(-6.0206, abs=1e-4)


def test_peak_may_lie_above_full_scale_and_silence_has_none() -> None:
    meter = PeakMeter()
    meter.push(np.zeros((10, 2), np.float32))
    assert meter.dbfs() is None
    meter.push(np.full((1, 2), 2.0, np.float32))
    assert meter.dbfs() == pytest.approx(6.0206, abs=1e-4)


@pytest.mark.parametrize(("rate", "is_known"), [(192_000, True), (192_001, False), (655_350, False)])
def test_loudness_of_rates_that_no_music_has_is_unknown(rate: int, is_known: bool) -> None:
    assert (lufs(stereo((-23, 0.5), rate=rate), rate) is not None) == is_known
