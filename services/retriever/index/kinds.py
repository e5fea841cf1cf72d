"""Names the kinds of index and says which one suits a library; builds none."""

from enum import StrEnum

import faiss

from services.retriever.errors import NoGpu


class Kind(StrEnum):
    """How the vectors of a base are searched."""

    FLAT = "flat"
    FLAT_FP16 = "flat-fp16"
    SQ8 = "sq8"
    IVF_SQ8 = "ivf-sq8"
    HNSW_SQ8 = "hnsw-sq8"
    GPU_FLAT = "gpu-flat"


AUTO = "auto"
CHOICES = (*Kind, AUTO)

# Stored as fp16, so that every cosine they answer with is that of the fp16 vector.
HALF_KINDS = frozenset({Kind.FLAT_FP16, Kind.SQ8, Kind.IVF_SQ8, Kind.HNSW_SQ8})
EXACT_KINDS = frozenset({Kind.FLAT, Kind.FLAT_FP16, Kind.GPU_FLAT})

# Up to here one thread compares all fp32 vectors of 1,024 dimensions in about 3 ms.
_FLAT_UP_TO = 20_000
# An exact index of more than 0.8 GB is halved.
_FULL_PRECISION_UP_TO = 200_000


def choose(setting: str, count: int, recall: float) -> Kind:
    """Say which kind a base of so many tracks shall be.

    HNSW is no faster than IVF for tracks (0.7 ms against 0.6 ms at 88,423 × 1024), takes longer to build (13 s, not
    7 s), misses much between crowds, and is slow under filters: nobody gets it who does not ask for it.

    Args:
        setting: A kind, or "auto".
        count: Tracks.
        recall: Wanted share of the true nearest that are found; 1 takes exact kinds only.
    """
    if setting != AUTO:
        return Kind(setting)
    if count <= _FLAT_UP_TO:
        return Kind.FLAT
    if recall >= 1.0:
        return Kind.FLAT if count <= _FULL_PRECISION_UP_TO else Kind.FLAT_FP16
    return Kind.IVF_SQ8


def is_half(setting: str) -> bool:
    """Say whether new vectors are rounded to fp16 at once, so that a merge moves no cosine."""
    return setting in HALF_KINDS


def check(setting: str) -> None:
    """Refuse a kind that cannot work here.

    Raises:
        NoGpu: It wants a GPU, and FAISS was built without or finds none.
    """
    if setting != Kind.GPU_FLAT:
        return
    if not hasattr(faiss, "StandardGpuResources"):
        raise NoGpu("this FAISS was built without GPU support: install the extra retriever-gpu")
    if faiss.get_num_gpus() < 1:
        raise NoGpu("FAISS finds no GPU")
