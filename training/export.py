"""Makes the artifact that the embedder serves out of a checkpoint: weights in half precision and a manifest."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from services.embedder.artifact import Artifact, Manifest, write_artifact
from services.embedder.model import centre, unit
from services.embedder.musicnn_graph import PENULTIMATE
from services.embedder.musicnn_wheel import NETWORKS
from training.catalogue import Split
from training.checkpoint import load_weights
from training.config import Config, NetworkConfig
from training.corpus import Corpus, Kind, Take
from training.errors import TrainingError
from training.network import Network, muq_options
from training.tags import WORDS, mixing_matrix
from training.teacher import NAMES
from training.validation import WINDOW_SECONDS

Float32Array = NDArray[np.float32]
# Which outputs are the vector: those that answer the first teacher, both, or the pooled hidden state itself.
VectorKind = Literal["msd", "joined", "pooled"]

ARCHITECTURE = "museed-mini/1"
CENTRING = "centring.mean"
TRAINING_LIST_FILE = "training_list.jsonl"
QUANTILES = (0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)

_LARGEST_HALF = 6e4
_BATCH = 24
_RANDOM_PAIRS = 100_000


def export(
    network: Network, config: Config, corpus: Corpus, folder: Path, *, name: str, vector: VectorKind, is_centred: bool
) -> Artifact:
    """Write a model folder; centring and quantiles are of the originals that the network learnt from.

    Args:
        network: With its weights.
        config: Of the run that made them.
        corpus: What they were made of.
        folder: Where to; must not exist.
        name: Of the encoder.
        vector: Which outputs are the vector.
        is_centred: Whether the mean of all tracks is subtracted.

    Raises:
        TrainingError: A weight does not fit into half precision, or the corpus holds no original.
    """
    weights, dim = _weights(network, config.network, vector)
    tracks, groups = _embed_tracks(network, weights, corpus)
    mean = unit(tracks).mean(axis=0) if is_centred else None
    if mean is not None:
        weights[CENTRING] = mean
    options = muq_options(config.network)
    manifest = Manifest(
        name=name,
        architecture=ARCHITECTURE,
        config=options,
        dim=dim,
        sample_rate_hz=24_000,
        window_seconds=float(WINDOW_SECONDS),
        hop_seconds=float(WINDOW_SECONDS),
        weights_sha256="",
        centring=CENTRING if is_centred else None,
        source="training/, distilled from the musicnn networks (ISC)",
        revision=f"{config.run.steps} steps",
        precision="fp16",
        licence="Apache-2.0",
        tags=tuple(WORDS),
        random_pair_cosine=_quantiles(centre(tracks, mean), groups),
    )
    halves = {name: _half(name, tensor) for name, tensor in weights.items()}
    return write_artifact(folder, save(halves), manifest)


def export_checkpoint(
    checkpoint: Path, config: Config, corpus: Corpus, folder: Path, *, name: str, vector: VectorKind, is_centred: bool
) -> Artifact:
    """Write the model folder of a checkpoint, and the list of what it learnt from beside it; see `export`."""
    network = Network(config.network)
    load_weights(checkpoint, network)
    artifact = export(network, config, corpus, folder, name=name, vector=vector, is_centred=is_centred)
    rows = (json.dumps(asdict(take)) + "\n" for take in corpus.takes() if take.split is Split.TRAIN)
    (folder / TRAINING_LIST_FILE).write_text("".join(rows), encoding="utf-8")
    return artifact


def _weights(network: Network, config: NetworkConfig, vector: VectorKind) -> tuple[dict[str, Float32Array], int]:
    weights = {name: tensor.numpy().astype(np.float32) for name, tensor in network.living_state().items()}
    if vector == "pooled":
        head, bias = np.eye(config.encoder_dim, dtype=np.float32), np.zeros(config.encoder_dim, np.float32)
    else:
        assert isinstance(network.embedding, torch.nn.Linear)
        rows = slice(0, PENULTIMATE if vector == "msd" else None)
        head = network.embedding.weight.detach().numpy()[rows]
        bias = network.embedding.bias.detach().numpy()[rows]
    weights |= {"heads.embedding.weight": head, "heads.embedding.bias": bias}
    names = [(teacher, tag) for teacher in NAMES for tag in NETWORKS[teacher].tags]
    assert isinstance(network.tags, torch.nn.Linear)
    mixing = mixing_matrix(names)
    weights["heads.tags.weight"] = mixing @ network.tags.weight.detach().numpy()
    weights["heads.tags.bias"] = mixing @ network.tags.bias.detach().numpy()
    return weights, len(head)


def _embed_tracks(
    network: Network, weights: dict[str, Float32Array], corpus: Corpus
) -> tuple[Float32Array, NDArray[np.int64]]:
    """Embed the originals: the mean of unit windows for each file, shape (files, dim), and a number of its group."""
    by_file: dict[str, list[Take]] = {}
    for take in corpus.takes():
        if take.kind is Kind.ORIGINAL and take.seconds >= WINDOW_SECONDS:
            by_file.setdefault(take.source.rpartition("@")[0], []).append(take)
    if len(by_file) < 2:
        raise TrainingError(f"{corpus.folder} holds {len(by_file)} files of real music, centring needs at least 2")
    network.eval()
    vectors = [_embed_file(network, weights, corpus, takes) for takes in by_file.values()]
    groups = sorted({takes[0].group for takes in by_file.values()})
    numbers = np.array([groups.index(takes[0].group) for takes in by_file.values()], np.int64)
    return np.stack(vectors), numbers


def _embed_file(
    network: Network, weights: dict[str, Float32Array], corpus: Corpus, takes: Sequence[Take]
) -> Float32Array:
    crops = [
        corpus.read(take.take_id, start_s=start, seconds=WINDOW_SECONDS).mel.astype(np.float32)
        for take in takes
        for start in range(0, int(take.seconds) - WINDOW_SECONDS + 1, WINDOW_SECONDS)
    ]
    parts = []
    with torch.no_grad():
        for at in range(0, len(crops), _BATCH):
            pooled = network(torch.from_numpy(np.stack(crops[at : at + _BATCH]))).pooled.numpy()
            parts.append(unit(pooled @ weights["heads.embedding.weight"].T + weights["heads.embedding.bias"]))
    mean: Float32Array = np.concatenate(parts).mean(axis=0)
    return mean


def _quantiles(vectors: Float32Array, groups: NDArray[np.int64]) -> dict[str, float]:
    """Return quantiles of the cosine of random pairs of files of different soundtracks."""
    generator = np.random.default_rng(0)
    one, other = generator.integers(len(vectors), size=(2, _RANDOM_PAIRS))
    apart = groups[one] != groups[other]
    if not apart.any():
        apart = one != other
    cosines = np.sum(vectors[one[apart]] * vectors[other[apart]], axis=1)
    return {str(share): round(float(np.quantile(cosines, share)), 6) for share in QUANTILES}


def _half(name: str, tensor: Float32Array) -> NDArray[np.floating]:
    if not np.isfinite(tensor).all():
        raise TrainingError(f"{name} holds values that are not finite: the run has failed")
    # Variances span many orders of magnitude, and are few.
    if "running_" in name or name == CENTRING:
        return np.ascontiguousarray(tensor, np.float32)
    if np.abs(tensor).max(initial=0) > _LARGEST_HALF:
        raise TrainingError(f"{name} holds {np.abs(tensor).max()}, half precision ends at {_LARGEST_HALF}")
    return np.ascontiguousarray(tensor, np.float16)
