"""A model as a folder: `weights.safetensors` and `manifest.json`. Checks both; knows no network and no audio."""

import dataclasses
import hashlib
import json
import os
import re
import shutil
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.embedder.errors import ArtifactInvalid
from services.embedder.manifest_checks import check, check_number

WEIGHTS_FILE = "weights.safetensors"
MANIFEST_FILE = "manifest.json"
# The id is part of NATS subjects: no dots, blanks or wildcards.
ENCODER_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_READ_BYTES = 4 * 1024 * 1024
# What may be meant: a window is held in memory, and a vector travels with every track.
_SECONDS = (0.1, 600)
_RATES_HZ = (1, 384_000)
_DIMS = (1, 16_384)
_TEXTS = ("name", "architecture", "resampler", "weights_sha256", "source", "revision", "precision", "licence")
# What the embedder does; a manifest that asks for something else would be served as if it did not.
POOLING_METHODS = ("weighted_mean", "max", "middle", "transformer")
# Where the transformer's tensors stand among an encoder's.
AGGREGATOR_PREFIX = "aggregator."
_POOLING_OF_EVALUATION = {
    "concatenate": "tracks of different lengths would have vectors of different lengths, which no index can compare",
    "whole_track": "attention over a whole track takes time and memory that grow with the square of its length",
}
# A track of 7,200 s then has 1,440 windows, whose attention takes 8 MB a head.
_SHORTEST_TRANSFORMED_S = 5.0
_RESAMPLER = "soxr/HQ"

Tensors = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Pooling:
    """How window vectors become one vector.

    Attributes:
        method: One of POOLING_METHODS: the mean of unit vectors, weighted by seconds; their element-wise maximum; the
            window in the middle; a transformer whose tensors stand in the weights. Made unit again.
        silence_rms: A window whose root mean square lies below this does not vote; full scale is 1.
        min_part_seconds: A last part window shorter than this is dropped when the track has a full one.
    """

    method: str = POOLING_METHODS[0]
    silence_rms: float = 1e-3
    min_part_seconds: float = 3.0

    def __post_init__(self) -> None:
        check(isinstance(self.method, str), "pooling.method", self.method, "text")
        check_number("pooling.silence_rms", self.silence_rms, 0, 1)
        check_number("pooling.min_part_seconds", self.min_part_seconds, 0, _SECONDS[1])


@dataclass(frozen=True, slots=True)
class Manifest:
    """What there is to know of an encoder besides its weights.

    Attributes:
        name: Short name, lower-case letters, digits and hyphens.
        architecture: Code that runs the weights and its revision, for example "musicnn/1".
        config: Options of the architecture.
        dim: Length of a vector.
        sample_rate_hz: Rate of the audio that the model sees.
        window_seconds: Length of a full window, 0.1 to 600; 10, 30 and 60 are tested.
        hop_seconds: Distance of the beginnings of two windows.
        pooling: How window vectors become one vector.
        centring: Tensor in the weights, shape (dim,), that is subtracted from every window vector; None for nothing.
        resampler: How audio gets to sample_rate_hz.
        weights_sha256: Digest of the weights file, hex.
        source: Where the weights come from.
        revision: Version of the source.
        precision: What the weights are stored in, for example "fp16"; an encoder says what it computes in.
        licence: Licence of the weights.
        tags: Names of the tag scores that the encoder gives.
        random_pair_cosine: Cosine of random pairs of tracks by quantile, for example {"0.5": 0.1}; None if unknown.
    """

    name: str
    architecture: str
    dim: int
    sample_rate_hz: int
    window_seconds: float
    hop_seconds: float
    weights_sha256: str
    pooling: Pooling = field(default_factory=Pooling)
    centring: str | None = None
    resampler: str = _RESAMPLER
    config: dict[str, Any] = field(default_factory=dict)  # JSON values, as the architecture wants them
    source: str = ""
    revision: str = ""
    precision: str = "fp32"
    licence: str = ""
    tags: tuple[str, ...] = ()
    random_pair_cosine: dict[str, float] | None = None

    def __post_init__(self) -> None:
        for field_name in _TEXTS:
            value = getattr(self, field_name)
            check(isinstance(value, str), field_name, value, "text")
        check(self.centring is None or isinstance(self.centring, str), "centring", self.centring, "text or null")
        check(isinstance(self.config, dict), "config", self.config, "an object")
        check(all(isinstance(tag, str) for tag in self.tags), "tags", self.tags, "a list of text")
        check_number("dim", self.dim, *_DIMS, whole=True)
        check_number("sample_rate_hz", self.sample_rate_hz, *_RATES_HZ, whole=True)
        check_number("window_seconds", self.window_seconds, *_SECONDS)
        check_number("hop_seconds", self.hop_seconds, *_SECONDS)
        if not ENCODER_NAME.fullmatch(self.name):
            raise ArtifactInvalid(f"encoder name {self.name!r} must match {ENCODER_NAME.pattern}", field="name")
        try:
            is_sound = all(0 <= share <= 1 and -1 <= cosine <= 1 for share, cosine in self.cosine_quantiles)
        except (AttributeError, TypeError, ValueError, OverflowError):
            is_sound = False
        if not is_sound:
            raise ArtifactInvalid(
                f"random_pair_cosine is {self.random_pair_cosine!r}, it must give cosines by shares of 0 to 1",
                field="random_pair_cosine",
                value=self.random_pair_cosine,
            )

    @property
    def cosine_quantiles(self) -> tuple[tuple[float, float], ...]:
        """Shares of random pairs of tracks and the cosine at or below which they lie, by rising share."""
        quantiles = self.random_pair_cosine or {}
        return tuple(sorted((float(share), float(cosine)) for share, cosine in quantiles.items()))

    @property
    def encoder_id(self) -> str:
        """Name and digest of everything that moves the vector; precision, licence, tags and quantiles do not."""
        moving = {
            "architecture": self.architecture,
            "centring": self.centring,
            "config": self.config,
            "dim": self.dim,
            "hop_seconds": float(self.hop_seconds),
            "pooling": dataclasses.asdict(self.pooling),
            "resampler": self.resampler,
            "sample_rate_hz": self.sample_rate_hz,
            "weights_sha256": self.weights_sha256,
            "window_seconds": float(self.window_seconds),
        }
        canonical = json.dumps(moving, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return f"{self.name}-{hashlib.sha256(canonical.encode()).hexdigest()[:16]}"

    @property
    def window_samples(self) -> int:
        """Samples of a full window at sample_rate_hz."""
        return round(self.window_seconds * self.sample_rate_hz)


@dataclass(frozen=True, slots=True)
class Artifact:
    """A model folder whose digests were verified."""

    folder: Path
    manifest: Manifest
    weights_file: str = WEIGHTS_FILE

    @property
    def weights_path(self) -> Path:
        """The weights file."""
        return self.folder / self.weights_file


def digest_file(path: Path) -> str:
    """Return a file's SHA-256 in hex; blocks, about a second per gigabyte."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def open_artifact(folder: Path) -> Artifact:
    """Read a model folder and verify weights and encoder_id.

    Raises:
        ArtifactInvalid: ARTIFACT_MISSING, ARTIFACT_INVALID or ARTIFACT_CORRUPT, naming the file and both digests.
    """
    manifest_path = folder / MANIFEST_FILE
    for path in (manifest_path, folder / WEIGHTS_FILE):
        if not path.is_file():
            raise ArtifactInvalid(f"{path} is missing", reason="ARTIFACT_MISSING", field="artifact", value=path)
    manifest, stated_id = _read_manifest(manifest_path)
    found = digest_file(folder / WEIGHTS_FILE)
    if found != manifest.weights_sha256:
        raise ArtifactInvalid(
            f"{folder / WEIGHTS_FILE} has SHA-256 {found}, its manifest says {manifest.weights_sha256}",
            reason="ARTIFACT_CORRUPT",
            field="weights_sha256",
            value=found,
            limit=manifest.weights_sha256,
        )
    if stated_id != manifest.encoder_id:
        raise ArtifactInvalid(
            f"{manifest_path} states encoder_id {stated_id}, its contents make {manifest.encoder_id}",
            reason="ARTIFACT_CORRUPT",
            field="encoder_id",
            value=stated_id,
            limit=manifest.encoder_id,
        )
    _check_is_served(manifest)
    return Artifact(folder, manifest)


def _check_is_served(manifest: Manifest) -> None:
    """Refuse what a manifest may say and no code here does."""
    check_pooling(manifest.pooling.method)
    is_short = manifest.pooling.method == "transformer" and manifest.window_seconds < _SHORTEST_TRANSFORMED_S
    limit = f"at least {_SHORTEST_TRANSFORMED_S:g} with the pooling transformer"
    check(not is_short, "window_seconds", manifest.window_seconds, limit)
    check(manifest.resampler == _RESAMPLER, "resampler", manifest.resampler, _RESAMPLER)
    is_gapless = manifest.hop_seconds == manifest.window_seconds
    check(is_gapless, "hop_seconds", manifest.hop_seconds, f"window_seconds, {manifest.window_seconds:g}")


def check_pooling(method: str) -> None:
    """Refuse a pooling that the embedder does not do.

    Raises:
        ArtifactInvalid: POOLING_NOT_SERVED for what exists in evaluation only, saying why; else ARTIFACT_INVALID.
    """
    allowed = f"{', '.join(POOLING_METHODS[:-1])} or {POOLING_METHODS[-1]}"
    if why := _POOLING_OF_EVALUATION.get(method):
        raise ArtifactInvalid(
            f"pooling.method is {method!r}, which exists in evaluation only: {why}; use {allowed}",
            reason="POOLING_NOT_SERVED",
            field="pooling.method",
            value=method,
            limit=allowed,
        )
    check(method in POOLING_METHODS, "pooling.method", method, allowed)


def _read_manifest(path: Path) -> tuple[Manifest, str]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        stated_id = str(found.pop("encoder_id"))
        found["pooling"] = Pooling(**found["pooling"])
        check(isinstance(found["tags"], list), "tags", found["tags"], "a list of text")
        found["tags"] = tuple(found["tags"])
        manifest = Manifest(**found)
        _ = manifest.encoder_id  # a config with NaN or without end has none
        return manifest, stated_id
    except ArtifactInvalid as error:
        raise ArtifactInvalid(f"{path}: {error}", field=error.field, value=error.value, limit=error.limit) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ArtifactInvalid(f"{path} is not a manifest: {error!r}", field="manifest", value=path) from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `manifest.json` beside the weights of a folder."""
    fields = {"encoder_id": manifest.encoder_id, **dataclasses.asdict(manifest)}
    (folder / MANIFEST_FILE).write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def write_artifact(folder: Path, weights: bytes, manifest: Manifest) -> Artifact:
    """Write a model folder so that a reader sees all of it or nothing; one that is there already is kept.

    Args:
        folder: Where to; its parents are made.
        weights: Contents of the safetensors file.
        manifest: Its weights_sha256 is replaced by the digest of `weights`.
    """
    manifest = dataclasses.replace(manifest, weights_sha256=hashlib.sha256(weights).hexdigest())
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.parent / f".{folder.name}.{uuid.uuid4().hex}"
    try:
        draft.mkdir()
        with (draft / WEIGHTS_FILE).open("wb") as file:
            file.write(weights)
            file.flush()
            os.fsync(file.fileno())
        write_manifest(draft, manifest)
        os.rename(draft, folder)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)
        if not folder.is_dir():
            raise
        # Another process was first: the contents are the same, or its digests say that they are not.
        return open_artifact(folder)
    return Artifact(folder, manifest)
