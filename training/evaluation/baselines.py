"""What an encoder must beat, and what two of them make together: no learning, no training, both MusiCNN networks."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import scipy.fft
from safetensors.numpy import save

from services.embedder import mini
from services.embedder.aggregation import WEIGHTED_MEAN
from services.embedder.artifact import Manifest, write_artifact
from services.embedder.choice import load_encoder
from services.embedder.mel import mel_power
from services.embedder.model import Encoded, Encoder, Float32Array, unit
from services.embedder.musicnn import PATCH_FRAMES, MusicnnEncoder, patch_starts
from training.config import NetworkConfig
from training.evaluation.embedding import TrackVectors, embed_file
from training.evaluation.store import VectorStore

MFCC = "mfcc"
UNTRAINED_MINI = "untrained-mini"
JOINED = "musicnn-joined"


class MfccEncoder:
    """Statistics of 20 mel-frequency cepstral coefficients: means, deviations, and deviations of their differences.

    Davis & Mermelstein (1980) with the sizes that are usual for music: 22.05 kHz, frames of 2,048 samples every 512,
    128 mel bands in decibels, an orthonormal cosine transform. The zeroth coefficient, which is loudness, is left out.
    """

    aggregator = WEIGHTED_MEAN
    device = "cpu"
    min_samples = 2_048
    _N_FFT = 2_048
    _HOP = 512
    _N_MELS = 128
    _COEFFICIENTS = 20

    def __init__(self) -> None:
        self.manifest = _describe(MFCC, 3 * self._COEFFICIENTS, 22_050, source="20 MFCC, mean std delta-std, 1")

    def encode(self, windows: Float32Array) -> Encoded:
        """Describe windows, shape (batch, samples) at 22.05 kHz; see `Encoder.encode`."""
        power = mel_power(windows, self.manifest.sample_rate_hz, self._N_FFT, self._HOP, self._N_MELS)
        decibels = 10 * np.log10(np.maximum(power, 1e-10))
        cepstra = scipy.fft.dct(decibels, norm="ortho", axis=2)[:, :, 1 : 1 + self._COEFFICIENTS]
        statistics = (cepstra.mean(axis=1), cepstra.std(axis=1), np.diff(cepstra, axis=1).std(axis=1))
        return Encoded(
            unit(np.concatenate(statistics, axis=1).astype(np.float32)), np.zeros((len(windows), 0), np.float32)
        )


class JoinedMusicnn:
    """The vectors of both MusiCNN networks side by side, each on its own scale; both hear the same patches."""

    aggregator = WEIGHTED_MEAN
    device = "cpu"

    def __init__(self, first: Encoder, second: Encoder) -> None:
        if not isinstance(first, MusicnnEncoder) or not isinstance(second, MusicnnEncoder):
            raise TypeError("only MusiCNN networks give raw vectors of patches")
        self.networks = (first, second)
        self.min_samples = first.min_samples
        ids = "+".join(network.manifest.encoder_id for network in self.networks)
        dim = sum(network.manifest.dim for network in self.networks)
        tags = tuple(tag for network in self.networks for tag in network.manifest.tags)
        self.manifest = _describe(JOINED, dim, first.manifest.sample_rate_hz, source=ids, tags=tags)

    def encode(self, windows: Float32Array) -> Encoded:
        """Encode windows, shape (batch, samples) at 16 kHz; see `Encoder.encode`."""
        mel = self.networks[0].log_mel(windows)
        starts = patch_starts(mel.shape[1])
        patches = np.concatenate([mel[:, start : start + PATCH_FRAMES] for start in starts])
        runs = [network.run_patches(patches) for network in self.networks]
        raw, tags = (
            np.concatenate(parts, axis=1).reshape(len(starts), len(windows), -1).mean(axis=0)
            for parts in zip(*runs, strict=True)
        )
        return Encoded(unit(raw), tags)

    def split(self, joined: TrackVectors) -> dict[str, TrackVectors]:
        """Return what each network alone makes of the file, by encoder_id: made unit again, its half is its vector."""
        parts = {}
        dim = tag = 0
        for network in self.networks:
            manifest = network.manifest
            parts[manifest.encoder_id] = replace(
                joined,
                windows=unit(joined.windows[:, dim : dim + manifest.dim]),
                tags=joined.tags[:, tag : tag + len(manifest.tags)],
            )
            dim, tag = dim + manifest.dim, tag + len(manifest.tags)
        return parts


def embed_and_keep(encoder: Encoder, store: VectorStore, path: Path, key: str) -> None:
    """Embed a file and keep its vectors under a key; those of joined networks are kept for each network as well.

    Raises:
        AudioError: The file is none, is damaged, or silent.
    """
    vectors = embed_file(encoder, path)
    if isinstance(encoder, JoinedMusicnn):
        for encoder_id, part in encoder.split(vectors).items():
            store.write(encoder_id, key, part)
    store.write(encoder.manifest.encoder_id, key, vectors)


def untrained_mini(artifacts_folder: Path, threads: int) -> Encoder:
    """Build the architecture of museed-mini with random weights: what its shape alone hears.

    Its vector is the mean of the last layer. Torch draws the weights, from the seed that muq sets whatever was set
    before; the artifact made of them is kept in the folder.
    """
    config = NetworkConfig()
    folder = artifacts_folder / f"{UNTRAINED_MINI}-{config.encoder_dim}-{config.encoder_depth}-{config.conv_dim}"
    if not folder.is_dir():
        _write_untrained(folder, config)
    return load_encoder(str(folder), artifacts_folder=artifacts_folder, muq_folder=None, threads=threads)


def _write_untrained(folder: Path, config: NetworkConfig) -> None:
    import torch

    from training.network import Network, muq_options

    with torch.random.fork_rng():
        network = Network(config)
    dim = config.encoder_dim
    weights = {name: np.ascontiguousarray(tensor.numpy()) for name, tensor in network.living_state().items()}
    weights["heads.embedding.weight"] = np.eye(dim, dtype=np.float32)
    weights["heads.embedding.bias"] = np.zeros(dim, np.float32)
    weights["heads.tags.weight"] = np.zeros((0, dim), np.float32)
    weights["heads.tags.bias"] = np.zeros(0, np.float32)
    manifest = _describe(UNTRAINED_MINI, dim, 24_000, source="random weights")
    write_artifact(folder, save(weights), replace(manifest, architecture=mini.ARCHITECTURE, config=muq_options(config)))


def _describe(name: str, dim: int, sample_rate_hz: int, source: str, tags: tuple[str, ...] = ()) -> Manifest:
    """Describe an encoder without a weights file: its source stands for them in the id."""
    return Manifest(
        name=name,
        architecture=f"{name}/1",
        dim=dim,
        sample_rate_hz=sample_rate_hz,
        window_seconds=10.0,
        hop_seconds=10.0,
        weights_sha256=sha256(source.encode()).hexdigest(),
        source=source,
        tags=tags,
    )
