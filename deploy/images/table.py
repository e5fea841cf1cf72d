"""The images of a release: which Dockerfile and target makes each, and which extras it installs."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
REGISTRY = "ghcr.io/museed"
# An image is `<REGISTRY>/<name>` everywhere; overlays/production adds its digest.
# What every image runs as; volumes belong to it.
USER_ID = 10001


@dataclass(frozen=True, slots=True)
class Image:
    """One image.

    Attributes:
        name: Last part of its address.
        dockerfile: From the root of the repository.
        target: Stage of the Dockerfile.
        extras: Of pyproject.toml.
        files_only: Wheels of which only the files are read: requirements/no-deps.txt says which.
    """

    name: str
    dockerfile: str
    target: str
    extras: tuple[str, ...]
    files_only: tuple[str, ...] = ()

    @property
    def requirements(self) -> Path:
        """Every wheel that it installs, one a line with its digest."""
        return ROOT / "requirements" / "images" / f"{self.name}.txt"


def _service(name: str, target: str, *extras: str, files_only: tuple[str, ...] = ()) -> Image:
    service = name.partition("-")[0]
    return Image(name, f"services/{service}/Dockerfile", target, extras, files_only)


IMAGES = (
    _service("embedder", "cpu", "embedder", files_only=("musicnn",)),
    _service("embedder-gpu", "gpu", "muq", files_only=("musicnn",)),
    _service("embedder-bulk", "bulk", "bulk-cluster", files_only=("musicnn",)),
    _service("retriever", "cpu", "retriever"),
    _service("retriever-gpu", "gpu", "retriever-gpu"),
    _service("retriever-milvus", "milvus", "retriever", "milvus"),
    _service("social", "cpu", "social"),
    _service("gateway", "cpu", "gateway"),
    Image("museed", "deploy/local/Dockerfile", "cpu", ("command",)),
)
BY_NAME = {image.name: image for image in IMAGES}
