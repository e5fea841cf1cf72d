"""Filters, distortion, reverb and dynamics on mono samples at the renders' rate."""

import numpy as np
from scipy import signal

from training.renders.song import SAMPLE_RATE_HZ, Float32Array

_BLOCK = 320  # 10 ms: the step in which gains move


def lowpass(samples: Float32Array, cutoff_hz: float, order: int = 2) -> Float32Array:
    """Butterworth lowpass."""
    return _filtered(samples, cutoff_hz, order, "lowpass")


def highpass(samples: Float32Array, cutoff_hz: float, order: int = 2) -> Float32Array:
    """Butterworth highpass."""
    return _filtered(samples, cutoff_hz, order, "highpass")


def bandpass(samples: Float32Array, low_hz: float, high_hz: float) -> Float32Array:
    """Butterworth bandpass of the second order on each side."""
    return highpass(lowpass(samples, high_hz), low_hz)


def _filtered(samples: Float32Array, cutoff_hz: float, order: int, kind: str) -> Float32Array:
    edge = min(cutoff_hz, 0.49 * SAMPLE_RATE_HZ)
    sections = signal.butter(order, edge, kind, fs=SAMPLE_RATE_HZ, output="sos").astype(np.float32)
    filtered: Float32Array = signal.sosfilt(sections, samples).astype(np.float32)
    return filtered


def peak(samples: Float32Array, centre_hz: float, gain_db: float, quality: float = 1.0) -> Float32Array:
    """Raise or lower a band: the peaking filter of R. Bristow-Johnson's Audio EQ Cookbook."""
    amplitude = 10 ** (gain_db / 40)
    turn = 2 * np.pi * centre_hz / SAMPLE_RATE_HZ
    width = np.sin(turn) / (2 * quality)
    above = np.array([1 + width * amplitude, -2 * np.cos(turn), 1 - width * amplitude], np.float32)
    below = np.array([1 + width / amplitude, -2 * np.cos(turn), 1 - width / amplitude], np.float32)
    filtered: Float32Array = signal.lfilter(above / below[0], below / below[0], samples).astype(np.float32)
    return filtered


def tilt(samples: Float32Array, gain_db: float, pivot_hz: float = 900.0) -> Float32Array:
    """Raise what lies above a pivot by half the gain, and lower what lies below it by as much."""
    low = lowpass(samples, pivot_hz, 1)
    return np.float32(10 ** (-gain_db / 40)) * low + np.float32(10 ** (gain_db / 40)) * (samples - low)


def distort(samples: Float32Array, drive: float, bias: float = 0.0) -> Float32Array:
    """Clip softly: tanh of the samples at a peak of `drive`; a bias adds even harmonics.

    Returns:
        Samples within [-1, 1], without the bias's constant part.
    """
    driven = np.tanh(np.float32(drive / max(_peak_of(samples), 1e-9)) * samples + np.float32(bias))
    unbiased: Float32Array = driven - np.float32(np.tanh(bias))
    return unbiased


def echo(samples: Float32Array, delay_s: float, feedback: float, times: int = 4) -> Float32Array:
    """Add that many echoes, each quieter by the feedback."""
    heard = samples.copy()
    for number in range(1, times + 1):
        late = round(number * delay_s * SAMPLE_RATE_HZ)
        if late >= len(samples):
            break
        heard[late:] += np.float32(feedback**number) * samples[: len(samples) - late]
    return heard


def reverb(samples: Float32Array, decay_s: float, wet: float, seed: int, damping_hz: float = 5000.0) -> Float32Array:
    """Mix in the samples' convolution with noise that decays by 60 dB in `decay_s`."""
    count = round(decay_s * SAMPLE_RATE_HZ)
    noise = np.random.default_rng(seed).standard_normal(count, np.float32)
    fall = np.power(np.float32(10), -3 * np.arange(count, dtype=np.float32) / count)
    impulse = lowpass(noise * fall, damping_hz, 1)
    impulse /= np.float32(np.sqrt(np.sum(np.square(impulse))))
    room: Float32Array = signal.oaconvolve(samples, impulse)[: len(samples)].astype(np.float32)
    return samples + np.float32(wet) * room


def compress(samples: Float32Array, threshold_db: float, ratio: float) -> Float32Array:
    """Lower what is louder than a threshold below the peak, in steps of 10 ms with a release of about 100 ms."""
    blocks = -(-len(samples) // _BLOCK)
    padded = np.zeros(blocks * _BLOCK, np.float32)
    padded[: len(samples)] = samples
    level = np.sqrt(np.mean(np.square(padded.reshape(blocks, _BLOCK)), axis=1))
    level = np.maximum(level, signal.lfilter([0.1], [1, -0.9], level))
    over_db = 20 * np.log10(np.maximum(level, 1e-7) / max(_peak_of(level), 1e-7)) - threshold_db
    gain = 10 ** (-np.maximum(over_db, 0) * (1 - 1 / ratio) / 20)
    return samples * _stretched(gain, len(samples))


def pump(samples: Float32Array, beat_s: float, depth: float) -> Float32Array:
    """Duck the samples on every beat, as a compressor does that listens to the kick."""
    since = np.arange(len(samples), dtype=np.float32) / np.float32(SAMPLE_RATE_HZ) % np.float32(beat_s)
    rise = np.minimum(since / np.float32(0.6 * beat_s), 1)
    ducked: Float32Array = samples * (1 - np.float32(depth) * (1 - rise) ** 2)
    return ducked


def chorus(samples: Float32Array, depth_s: float = 0.002, rate_hz: float = 0.6) -> Float32Array:
    """Mix the samples with a copy whose delay swings."""
    at = np.arange(len(samples), dtype=np.float64)
    swing = depth_s * SAMPLE_RATE_HZ * (1.5 + np.sin(2 * np.pi * rate_hz / SAMPLE_RATE_HZ * at))
    late: Float32Array = np.interp(at - swing, at, samples).astype(np.float32)
    return np.float32(0.6) * (samples + late)


def level(samples: Float32Array, rms: float) -> Float32Array:
    """Scale samples to an RMS; silence stays."""
    now = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
    return samples * np.float32(rms / now) if now > 1e-9 else samples


def _stretched(gain: Float32Array, count: int) -> Float32Array:
    centres = (np.arange(len(gain)) + 0.5) * _BLOCK
    stretched: Float32Array = np.interp(np.arange(count), centres, gain).astype(np.float32)
    return stretched


def _peak_of(samples: Float32Array) -> float:
    return float(np.abs(samples).max(initial=0.0))
