"""The encoder `musicnn-msd`: the penultimate layer of MusiCNN's tagger on ONNX Runtime, from the wheel's weights.

The wheel `musicnn` is never imported: its code needs TensorFlow. Only its files are read, once, into an artifact.
"""

import importlib.metadata
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
from safetensors.numpy import load_file, save

from services.embedder.artifact import Artifact, Manifest, write_artifact
from services.embedder.errors import ArtifactInvalid, EncoderUnavailable
from services.embedder.mel import mel_power
from services.embedder.model import Encoded, Float32Array, centre
from services.embedder.musicnn_graph import N_MELS, PENULTIMATE, build_graph
from services.embedder.tensorflow_bundle import read_bundle

NAME = "musicnn-msd"
ARCHITECTURE = "musicnn/1"
WHEEL = "musicnn"
WHEEL_VERSION = "0.1.0"

_SAMPLE_RATE_HZ = 16_000
_N_FFT = 512
_HOP = 256
_PATCH_FRAMES = 187  # 3 s: what the network was trained on
_LOG_GAIN = 10_000.0
# Runs of 1 to 6 patches stay in the processor's caches; 8 took a third longer.
_MAX_PATCHES_PER_RUN = 4

# Last.fm tags of the Million Song Dataset in the order of the network's outputs (musicnn/configuration.py).
TAGS = (
    "rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s", "alternative rock",
    "jazz", "beautiful", "metal", "chillout", "male vocalists", "classic rock", "soul", "indie rock", "Mellow",
    "electronica", "80s", "folk", "90s", "chill", "instrumental", "punk", "oldies", "blues", "hard rock", "ambient",
    "acoustic", "experimental", "female vocalist", "guitar", "Hip-Hop", "70s", "party", "country", "easy listening",
    "sexy", "catchy", "funk", "electro", "heavy metal", "Progressive rock", "60s", "rnb", "indie pop", "sad", "House",
    "happy",
)  # fmt: skip


class MusicnnEncoder:
    """Runs MusiCNN over windows in patches of 3 s; a window's vector is the mean of its patches, made unit.

    Args:
        artifact: A verified model folder of this architecture.
        threads: Runs of patches at a time; 0 takes one a core.
    """

    device = "cpu"
    min_samples = _N_FFT

    def __init__(self, artifact: Artifact, threads: int = 0) -> None:
        self.manifest = artifact.manifest
        weights = load_file(artifact.weights_path)
        centring = artifact.manifest.centring
        try:
            graph = build_graph(weights)
            self._mean = None if centring is None else weights[centring]
        except KeyError as error:
            raise ArtifactInvalid(f"{artifact.weights_path} lacks the tensor {error}", field="weights") from error
        options = onnxruntime.SessionOptions()
        # Several runs of one thread each: on two cores twice as quick as one run, where ONNX Runtime's own threads
        # gained a tenth.
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        self._threads = threads or len(os.sched_getaffinity(0))
        self._executor = ThreadPoolExecutor(self._threads, "musicnn")

    def encode(self, windows: Float32Array) -> Encoded:
        """Encode windows, shape (batch, samples) at 16 kHz; see `Encoder.encode`."""
        power = mel_power(windows, _SAMPLE_RATE_HZ, _N_FFT, _HOP, N_MELS)
        log_mel = np.log10(_LOG_GAIN * power + 1)  # (batch, frames, 96)
        starts = patch_starts(log_mel.shape[1])
        patches = np.concatenate([log_mel[:, start : start + _PATCH_FRAMES] for start in starts])
        size = min(_MAX_PATCHES_PER_RUN, -(-len(patches) // self._threads))
        runs = list(self._executor.map(self._run, [patches[at : at + size] for at in range(0, len(patches), size)]))
        penultimate = np.concatenate([run[0] for run in runs]).reshape(len(starts), len(windows), PENULTIMATE)
        tags = np.concatenate([run[1] for run in runs]).reshape(len(starts), len(windows), -1)
        return Encoded(centre(penultimate.mean(axis=0), self._mean), tags.mean(axis=0))

    def _run(self, patches: Float32Array) -> list[Float32Array]:
        outputs: list[Float32Array] = self._session.run(["penultimate", "tags"], {"mel": patches})
        return outputs


def patch_starts(frames: int) -> list[int]:
    """Return the first frames of the patches that cover a window evenly; a short window is one shorter patch.

    The number is rounded, so that neighbours overlap or leave a gap of at most half a patch: 10 s are 626 frames and
    get 3 patches with gaps of 32 frames.
    """
    count = max(1, round(frames / _PATCH_FRAMES))
    last = max(0, frames - _PATCH_FRAMES)
    if count == 1:
        return [last // 2]
    return [round(at * last / (count - 1)) for at in range(count)]


def find_checkpoint() -> Path:
    """Find the index of the checkpoint in the installed wheel, without importing it.

    Raises:
        EncoderUnavailable: The wheel is not installed, in another version, or without the file.
    """
    try:
        distribution = importlib.metadata.distribution(WHEEL)
    except importlib.metadata.PackageNotFoundError as error:
        raise EncoderUnavailable(
            f"encoder {NAME} needs the wheel {WHEEL}=={WHEEL_VERSION}: pip install --no-deps {WHEEL}=={WHEEL_VERSION}",
            field="encoder",
            value=NAME,
        ) from error
    index = Path(str(distribution.locate_file("musicnn/MSD_musicnn/.index")))
    if distribution.version != WHEEL_VERSION or not index.is_file():
        raise EncoderUnavailable(
            f"encoder {NAME} needs {WHEEL}=={WHEEL_VERSION} with MSD_musicnn/.index,"
            f" found {WHEEL} {distribution.version} at {index}",
            field="encoder",
            value=NAME,
        )
    return index


def import_wheel(folder: Path) -> Artifact:
    """Write the weights of the installed wheel into a model folder.

    Raises:
        EncoderUnavailable: The wheel is not installed.
        ArtifactInvalid: Its files cannot be read.
    """
    tensors = read_bundle(find_checkpoint())
    kept = {name: tensor for name, tensor in tensors.items() if "/Adam" not in name and "/" in name}
    return write_artifact(folder, save(kept), describe(""))


def describe(weights_sha256: str) -> Manifest:
    """Return the manifest that this code gives to weights of this digest."""
    return Manifest(
        name=NAME,
        architecture=ARCHITECTURE,
        dim=PENULTIMATE,
        sample_rate_hz=_SAMPLE_RATE_HZ,
        window_seconds=10.0,
        hop_seconds=10.0,
        weights_sha256=weights_sha256,
        source=f"PyPI wheel {WHEEL}, MSD_musicnn",
        revision=WHEEL_VERSION,
        licence="ISC",
        tags=TAGS,
    )
