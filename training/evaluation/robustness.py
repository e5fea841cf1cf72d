"""Asks whether a track is still itself after what files go through: codec, gain, shift, a lower rate.

An excerpt of 60 s from the middle of a track is written to real files, changed and unchanged, and each is embedded.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile
import soxr

from services.embedder.model import Encoder, Float32Array
from services.embedder.sources import open_source
from training.catalogue import Track
from training.evaluation.baselines import embed_and_keep
from training.evaluation.retrieval import cosines
from training.evaluation.store import VectorStore
from training.evaluation.workers import Work

EXCERPT_SECONDS = 60.0
SHIFT_SECONDS = 1.0
GAIN_DB = 3.0
MP3_BITS_PER_SECOND = 64_000
LOW_RATE_HZ = 22_050
TRACKS = 40

ORIGINAL = "original"
VARIANTS = ("mp3 64 kbit/s", "+3 dB", "-3 dB", "1 s shift", "22.05 kHz")
_KEYS = dict(zip((*VARIANTS, ORIGINAL), ("mp3", "louder", "quieter", "shifted", "low-rate", "original"), strict=True))
# MPEG-1: at lower rates so many bits are more than some decoders take.
_MP3_RATES_HZ = (48_000, 44_100, 32_000)


@dataclass(frozen=True, slots=True)
class Robustness:
    """How one variant did.

    Attributes:
        cosine: Mean cosine of a variant to its original.
        own_nearest: Share of variants whose nearest original is their own.
    """

    cosine: float
    own_nearest: float


def choose_tracks(tracks: Sequence[Track], count: int = TRACKS) -> list[Track]:
    """Choose tracks in turn from each package, in the order of their paths; only those long enough for an excerpt."""
    queues: dict[str, list[Track]] = {}
    for track in sorted(tracks, key=lambda track: track.path):
        if track.duration_seconds >= EXCERPT_SECONDS + SHIFT_SECONDS:
            queues.setdefault(track.package, []).append(track)
    longest = max((len(queue) for queue in queues.values()), default=0)
    rounds = [queue[turn] for turn in range(longest) for queue in queues.values() if turn < len(queue)]
    return rounds[:count]


def variant_key(digest: str, variant: str) -> str:
    """Return what a variant of the file of this digest is kept under."""
    return f"{digest}-60s-{_KEYS[variant]}"


def embed_variants(encoder: Encoder, store: VectorStore, work: Work) -> None:
    """Write the variants of a file's excerpt, embed each, and keep the vectors: a task of `workers.embed_all`.

    Raises:
        AudioError: The file cannot be decoded, or the excerpt is silent.
    """
    sound, rate_hz = read_excerpt(work.path)
    with tempfile.TemporaryDirectory() as folder:
        for variant, path in write_variants(sound, rate_hz, Path(folder)).items():
            embed_and_keep(encoder, store, path, variant_key(work.digest, variant))


def read_excerpt(path: Path) -> tuple[Float32Array, int]:
    """Decode the 61 s in the middle of a file: shape (samples, channels), float32, and its rate in Hz."""
    with path.open("rb") as file:
        source = open_source(file.fileno())
        sound = np.concatenate(list(source.blocks))
    samples = round((EXCERPT_SECONDS + SHIFT_SECONDS) * source.rate_hz)
    start = max(0, (len(sound) - samples) // 2)
    return sound[start : start + samples], source.rate_hz


def write_variants(sound: Float32Array, rate_hz: int, folder: Path) -> dict[str, Path]:
    """Write the excerpt's variants and itself, last, as files; lossless ones in float32, so that no gain clips."""
    shift = round(SHIFT_SECONDS * rate_hz)
    original = sound[:-shift]
    gain = 10 ** (GAIN_DB / 20)
    lossless = {
        "+3 dB": (original * np.float32(gain), rate_hz),
        "-3 dB": (original / np.float32(gain), rate_hz),
        "1 s shift": (sound[shift:], rate_hz),
        "22.05 kHz": (soxr.resample(original, rate_hz, LOW_RATE_HZ), LOW_RATE_HZ),
        ORIGINAL: (original, rate_hz),
    }
    paths = {"mp3 64 kbit/s": folder / "low.mp3"}
    write_mp3(paths["mp3 64 kbit/s"], original, rate_hz)
    for variant, (samples, rate) in lossless.items():
        paths[variant] = folder / f"{_KEYS[variant]}.wav"
        soundfile.write(paths[variant], samples, rate, subtype="FLOAT")
    return paths


def write_mp3(path: Path, sound: Float32Array, rate_hz: int, bits_per_second: int = MP3_BITS_PER_SECOND) -> None:
    """Encode sound, shape (samples, channels), at a constant rate with LAME; of more than two channels, the first."""
    if rate_hz not in _MP3_RATES_HZ:
        sound, rate_hz = soxr.resample(sound, rate_hz, 44_100), 44_100
    planes = np.ascontiguousarray(sound[:, :2].T)
    layout = "mono" if len(planes) == 1 else "stereo"
    with av.open(str(path), "w", format="mp3") as container:
        stream = container.add_stream("libmp3lame", rate=rate_hz, bit_rate=bits_per_second, layout=layout)
        size = stream.codec_context.frame_size or 1_152
        for start in range(0, planes.shape[1], size):
            frame = av.AudioFrame.from_ndarray(planes[:, start : start + size], format="fltp", layout=layout)
            frame.sample_rate = rate_hz
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def measure_robustness(originals: Float32Array, variants: Float32Array) -> Robustness:
    """Compare variants with originals, both of shape (n, dim), row by row."""
    count = len(originals)
    similarity = cosines(np.concatenate([originals, variants]), np.arange(count, 2 * count))[:, :count]
    is_own = np.argmax(np.round(similarity, 9), axis=1) == np.arange(count)
    return Robustness(float(np.diag(similarity).mean()), float(is_own.mean()))
