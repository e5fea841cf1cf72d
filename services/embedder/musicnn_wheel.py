"""Makes artifacts of the networks that the wheel `musicnn` carries; runs none of them.

The wheel is never imported: its code needs TensorFlow. Only its files are read, once, into an artifact.
"""

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

from safetensors.numpy import save

from services.embedder.artifact import Artifact, Manifest, write_artifact
from services.embedder.errors import EncoderUnavailable
from services.embedder.musicnn import ARCHITECTURE, SAMPLE_RATE_HZ
from services.embedder.musicnn_graph import PENULTIMATE
from services.embedder.tensorflow_bundle import read_bundle

WHEEL = "musicnn"
WHEEL_VERSION = "0.1.0"


@dataclass(frozen=True, slots=True)
class Network:
    """One trained network of the wheel.

    Attributes:
        name: Of the encoder that is made of it.
        checkpoint: Its folder in the wheel.
        tags: In the order of its outputs (musicnn/configuration.py).
    """

    name: str
    checkpoint: str
    tags: tuple[str, ...]


# Last.fm tags of the Million Song Dataset.
_MSD_TAGS = (
    "rock", "pop", "alternative", "indie", "electronic", "female vocalists", "dance", "00s", "alternative rock",
    "jazz", "beautiful", "metal", "chillout", "male vocalists", "classic rock", "soul", "indie rock", "Mellow",
    "electronica", "80s", "folk", "90s", "chill", "instrumental", "punk", "oldies", "blues", "hard rock", "ambient",
    "acoustic", "experimental", "female vocalist", "guitar", "Hip-Hop", "70s", "party", "country", "easy listening",
    "sexy", "catchy", "funk", "electro", "heavy metal", "Progressive rock", "60s", "rnb", "indie pop", "sad", "House",
    "happy",
)  # fmt: skip

# Tags that players of the game TagATune gave to music of Magnatune.
_MTT_TAGS = (
    "guitar", "classical", "slow", "techno", "strings", "drums", "electronic", "rock", "fast", "piano", "ambient",
    "beat", "violin", "vocal", "synth", "female", "indian", "opera", "male", "singing", "vocals", "no vocals",
    "harpsichord", "loud", "quiet", "flute", "woman", "male vocal", "no vocal", "pop", "soft", "sitar", "solo",
    "man", "classic", "choir", "voice", "new age", "dance", "male voice", "female vocal", "beats", "harp", "cello",
    "no voice", "weird", "country", "metal", "female voice", "choral",
)  # fmt: skip

MSD = Network("musicnn-msd", "MSD_musicnn", _MSD_TAGS)
MTT = Network("musicnn-mtt", "MTT_musicnn", _MTT_TAGS)
NETWORKS = {network.name: network for network in (MSD, MTT)}


def find_checkpoint(network: Network = MSD) -> Path:
    """Find the index of a network's checkpoint in the installed wheel, without importing it.

    Raises:
        EncoderUnavailable: The wheel is not installed, in another version, or without the file.
    """
    try:
        distribution = importlib.metadata.distribution(WHEEL)
    except importlib.metadata.PackageNotFoundError as error:
        raise EncoderUnavailable(
            f"encoder {network.name} needs the wheel {WHEEL}=={WHEEL_VERSION}:"
            f" pip install --no-deps {WHEEL}=={WHEEL_VERSION}",
            field="encoder",
            value=network.name,
        ) from error
    index = Path(str(distribution.locate_file(f"musicnn/{network.checkpoint}/.index")))
    if distribution.version != WHEEL_VERSION or not index.is_file():
        raise EncoderUnavailable(
            f"encoder {network.name} needs {WHEEL}=={WHEEL_VERSION} with {network.checkpoint}/.index,"
            f" found {WHEEL} {distribution.version} at {index}",
            field="encoder",
            value=network.name,
        )
    return index


def import_wheel(folder: Path, network: Network = MSD) -> Artifact:
    """Write the weights of a network of the installed wheel into a model folder.

    Raises:
        EncoderUnavailable: The wheel is not installed.
        ArtifactInvalid: Its files cannot be read.
    """
    tensors = read_bundle(find_checkpoint(network))
    kept = {name: tensor for name, tensor in tensors.items() if "/Adam" not in name and "/" in name}
    return write_artifact(folder, save(kept), describe("", network))


def describe(weights_sha256: str, network: Network = MSD) -> Manifest:
    """Return the manifest that this code gives to weights of this digest."""
    return Manifest(
        name=network.name,
        architecture=ARCHITECTURE,
        dim=PENULTIMATE,
        sample_rate_hz=SAMPLE_RATE_HZ,
        window_seconds=10.0,
        hop_seconds=10.0,
        weights_sha256=weights_sha256,
        source=f"PyPI wheel {WHEEL}, {network.checkpoint}",
        revision=WHEEL_VERSION,
        licence="ISC",
        tags=network.tags,
    )
