"""Changes to sound that make a new piece of it: speed, tempo, equaliser, codec, overdrive, mixes.

What a change does to the meaning is not decided here: the teacher hears the changed sound and labels that. All of it is
deterministic by its generator.
"""

import io
from fractions import Fraction

import av
import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]

_OCTAVES_HZ = (60, 120, 250, 500, 1_000, 2_000, 4_000, 8_000)


def vary(sound: Float32Array, rate_hz: int, generator: np.random.Generator) -> Float32Array:
    """Change speed or pitch or tempo, and then maybe the colour, the drive and the codec.

    Args:
        sound: Mono, shape (samples,), full scale 1.
        rate_hz: Its rate.
        generator: Decides everything.

    Returns:
        Shape (other samples,), float32: 0.7 to 1.4 times as long.
    """
    ratio = float(2 ** generator.uniform(-0.45, 0.45))
    match generator.integers(4):
        case 0:
            sound = change_speed(sound, rate_hz, ratio)
        case 1:
            sound = change_tempo(sound, rate_hz, ratio)
        case 2:  # the pitch alone
            sound = change_tempo(change_speed(sound, rate_hz, ratio), rate_hz, 1 / ratio)
        case _:
            pass
    if generator.random() < 0.6:
        sound = equalise(sound, rate_hz, generator.normal(0, 6, len(_OCTAVES_HZ)))
    if generator.random() < 0.2:
        sound = overdrive(sound, float(generator.uniform(6, 24)))
    if generator.random() < 0.25:
        sound = through_mp3(sound, rate_hz, float(generator.uniform(0.3, 0.99)))
    return sound


def change_speed(sound: Float32Array, rate_hz: int, ratio: float) -> Float32Array:
    """Play faster and higher by a ratio, as a record does."""
    changed: Float32Array = soxr.resample(sound, rate_hz * ratio, rate_hz, quality="HQ")
    return changed


def change_tempo(sound: Float32Array, rate_hz: int, ratio: float) -> Float32Array:
    """Play faster by a ratio of 0.5 to 2 at the same pitch, by FFmpeg's `atempo` (overlap-add)."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(format="flt", sample_rate=rate_hz, layout="mono", time_base=Fraction(1, rate_hz))
    graph.link_nodes(source, graph.add("atempo", str(ratio)), graph.add("abuffersink")).configure()
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound[None], np.float32), format="flt", layout="mono")
    frame.sample_rate = rate_hz
    graph.push(frame)
    graph.push(None)
    changed: list[Float32Array] = []
    while True:
        try:
            changed.append(graph.pull().to_ndarray()[0])
        except (av.EOFError, av.BlockingIOError):
            return np.concatenate(changed)


def equalise(sound: Float32Array, rate_hz: int, gains_db: NDArray[np.float64]) -> Float32Array:
    """Raise and lower octaves from 60 Hz to 8 kHz, smoothly in between, keeping the loudness.

    Args:
        sound: Shape (samples,).
        rate_hz: Its rate.
        gains_db: Shape (8,).
    """
    spectrum = np.fft.rfft(sound)
    bins_hz = np.fft.rfftfreq(len(sound), 1 / rate_hz)
    curve_db = np.interp(np.log2(np.maximum(bins_hz, 1)), np.log2(_OCTAVES_HZ), gains_db)
    changed = np.fft.irfft(spectrum * 10 ** (curve_db / 20), len(sound))
    return np.asarray(changed * (_rms(sound) / max(_rms(changed), 1e-9)), np.float32)


def overdrive(sound: Float32Array, drive_db: float) -> Float32Array:
    """Clip softly after a gain, keeping the loudness."""
    level = _rms(sound)
    driven = np.tanh(sound * (10 ** (drive_db / 20)) * (0.1 / max(level, 1e-6)))
    return np.asarray(driven * (level / max(_rms(driven), 1e-9)), np.float32)


def through_mp3(sound: Float32Array, rate_hz: int, compression: float) -> Float32Array:
    """Encode as MP3 and decode again; compression 0 is the best quality, 1 the smallest file."""
    buffer = io.BytesIO()
    peak = max(1.0, float(np.abs(sound).max()))
    soundfile.write(
        buffer, sound / peak, rate_hz, format="MP3", subtype="MPEG_LAYER_III", compression_level=compression
    )
    buffer.seek(0)
    decoded: Float32Array = soundfile.read(buffer, dtype="float32")[0]
    return decoded[: len(sound)] * np.float32(peak)


def mix(one: Float32Array, other: Float32Array, ratio_db: float) -> Float32Array:
    """Add two sounds of equal loudness, the second one louder by `ratio_db`; as long as the shorter one."""
    length = min(len(one), len(other))
    one, other = one[:length], other[:length]
    scaled = other * np.float32(_rms(one) / max(_rms(other), 1e-9) * 10 ** (ratio_db / 20))
    mixed = one + scaled
    return np.asarray(mixed / max(1.0, float(np.abs(mixed).max())), np.float32)


def _rms(sound: NDArray[np.floating]) -> float:
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64))))
