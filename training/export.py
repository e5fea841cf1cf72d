"""Makes the artifact that the embedder serves out of a checkpoint: weights in half precision and a manifest."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import nn

from services.embedder.artifact import Artifact, Manifest, write_artifact
from services.embedder.mini import ARCHITECTURE as MINI
from services.embedder.model import centre, pool, unit
from services.embedder.muq import ARCHITECTURE as MUQ
from services.embedder.musicnn_graph import PENULTIMATE
from services.embedder.musicnn_wheel import NETWORKS
from training.calibration import settle_batch_norm
from training.catalogue import Split
from training.checkpoint import load_weights
from training.config import Config
from training.corpus import Corpus, Take
from training.errors import TrainingError
from training.evaluation.postprocessing import sharpening
from training.network import Network
from training.random_pairs import random_pair_cosine
from training.tags import WORDS, mixing_matrix
from training.teacher import NAMES
from training.tracks import WINDOW_SECONDS, EmbeddedFile, embed_files

Float32Array = NDArray[np.float32]
# Which outputs are the vector: those that answer the first teacher, both, or the pooled hidden state itself.
VectorKind = Literal["msd", "joined", "pooled"]

CENTRING = "centring.mean"
TRAINING_LIST_FILE = "training_list.jsonl"

_LARGEST_HALF = 6e4


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What is decided when the weights are done.

    Attributes:
        name: Of the encoder.
        vector: Which outputs are the vector; a network without an embedding head has only "pooled".
        is_centred: Whether the mean of all music is subtracted.
        sharpness: Power of the variance that principal directions are stretched by; 0 leaves vectors as they are.
    """

    name: str
    vector: VectorKind = "joined"
    is_centred: bool = True
    sharpness: float = 0.0


def export_checkpoint(
    checkpoint: Path, config: Config, corpus: Corpus, takes: Sequence[Take], folder: Path, options: ExportOptions
) -> Artifact:
    """Settle batch normalisation, write the model folder of a checkpoint, and beside it what was learnt from.

    Args:
        checkpoint: Of a run.
        config: Of that run.
        corpus: The store.
        takes: Of the run; centring and quantiles are of the real music among them that was learnt from.
        folder: Where to; must not exist.
        options: What is served.

    Raises:
        CheckpointMismatch: The checkpoint does not fit the configuration.
        TrainingError: A weight is not finite, or the corpus holds fewer than two files of real music.
    """
    network = Network(config.network)
    load_weights(checkpoint, network)
    learnt = [take for take in takes if take.split is Split.TRAIN or config.corpus.everything]
    settle_batch_norm(network, corpus, learnt, config.run.settle_windows)
    artifact = export(network, corpus, learnt, folder, options, revision=f"{config.run.steps} steps")
    rows = "".join(json.dumps(asdict(take)) + "\n" for take in learnt)
    (folder / TRAINING_LIST_FILE).write_text(rows, encoding="utf-8")
    return artifact


def export(
    network: Network, corpus: Corpus, takes: Sequence[Take], folder: Path, options: ExportOptions, *, revision: str
) -> Artifact:
    """Write the model folder of a network in evaluation; `takes` are what it learnt from, the rest is as above."""
    is_mini = isinstance(network.embedding, nn.Linear)
    weights = _mini_weights(network, options.vector) if is_mini else _muq_weights(network)
    for name, tensor in weights.items():
        _check_finite(name, tensor)
    head = weights.get("heads.embedding.weight"), weights.get("heads.embedding.bias")
    files = embed_files(network, corpus, takes, *head)
    if len(files) < 2:
        raise TrainingError(f"{corpus.folder} holds {len(files)} files of real music, centring needs at least 2")
    if is_mini and options.sharpness:
        change = sharpening([file.windows for file in files], options.sharpness)
        weights["heads.embedding.weight"] = change.matrix.T @ weights["heads.embedding.weight"]
        weights["heads.embedding.bias"] = weights["heads.embedding.bias"] @ change.matrix
        files = [replace(file, windows=unit(file.windows @ change.matrix)) for file in files]
        revision += f", sharpened by {options.sharpness:g}"
    mean = np.mean([file.windows.mean(axis=0) for file in files], axis=0) if options.is_centred else None
    if mean is not None:
        weights[CENTRING] = mean
    halves = {name: _half(name, tensor) for name, tensor in weights.items()}
    manifest = Manifest(
        name=options.name,
        architecture=MINI if is_mini else MUQ,
        config=network.options(),
        dim=files[0].windows.shape[1],
        sample_rate_hz=24_000,
        window_seconds=float(WINDOW_SECONDS),
        hop_seconds=float(WINDOW_SECONDS),
        weights_sha256="",
        centring=None if mean is None else CENTRING,
        source="training/, taught by the musicnn networks (ISC)" if is_mini else "training/, fine-tuned",
        revision=revision,
        precision="fp16",
        licence="Apache-2.0" if is_mini else "that of the base",
        tags=tuple(WORDS) if "heads.tags.weight" in weights else (),
        random_pair_cosine=_quantiles(files, mean),
    )
    return write_artifact(folder, save(halves), manifest)


def _mini_weights(network: Network, vector: VectorKind) -> dict[str, Float32Array]:
    assert isinstance(network.embedding, nn.Linear)
    weights = {name: tensor.numpy() for name, tensor in network.living_state().items()}
    if vector == "pooled":
        dim = network.embedding.in_features
        head, bias = np.eye(dim, dtype=np.float32), np.zeros(dim, np.float32)
    else:
        rows = slice(0, PENULTIMATE if vector == "msd" else None)
        head = network.embedding.weight.detach().numpy()[rows]
        bias = network.embedding.bias.detach().numpy()[rows]
    weights |= {"heads.embedding.weight": head, "heads.embedding.bias": bias}
    if isinstance(network.tags, nn.Linear):
        mixing = mixing_matrix([(teacher, tag) for teacher in NAMES for tag in NETWORKS[teacher].tags])
        weights["heads.tags.weight"] = mixing @ network.tags.weight.detach().numpy()
        weights["heads.tags.bias"] = mixing @ network.tags.bias.detach().numpy()
    return weights


def _muq_weights(network: Network) -> dict[str, Float32Array]:
    return {name: tensor.numpy() for name, tensor in network.muq.state_dict().items()}


def _quantiles(files: list[EmbeddedFile], mean: Float32Array | None) -> dict[str, float]:
    vectors = np.stack([pool(centre(file.windows, mean), np.ones(len(file.windows), np.float32)) for file in files])
    return random_pair_cosine(vectors, [file.group for file in files])


def _check_finite(name: str, tensor: NDArray[np.generic]) -> None:
    if np.issubdtype(tensor.dtype, np.floating) and not np.isfinite(tensor).all():
        raise TrainingError(f"{name} holds values that are not finite: the run has failed")


def _half(name: str, tensor: NDArray[np.generic]) -> NDArray[np.generic]:
    if not np.issubdtype(tensor.dtype, np.floating):
        return np.ascontiguousarray(tensor)
    # Statistics span many orders of magnitude, and are few.
    is_wide = "running_" in name or name == CENTRING or bool(np.abs(tensor).max(initial=0) > _LARGEST_HALF)
    return np.ascontiguousarray(tensor, np.float32 if is_wide else np.float16)
