"""One file that a run goes on from: weights, the optimiser's state, the step, and the configuration they belong to."""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from training.config import Config
from training.errors import CheckpointMismatch
from training.optimiser import Optimiser

Decided = Mapping[str, Any]  # values of TOML

_KINDS = {"config": dict, "step": int, "network": dict, "optimiser": list}


def save_checkpoint(path: Path, *, decided: Decided, step: int, network: nn.Module, optimiser: Optimiser) -> None:
    """Write so that a reader, or a run after a crash, finds the whole of this checkpoint or of the one before.

    Args:
        path: Where to.
        decided: What the run belongs to, by dotted key: its configuration, and a digest of what it learns from.
        step: How many steps are done.
        network: Its weights and statistics.
        optimiser: Its state.
    """
    state = {
        "config": dict(decided),
        "step": step,
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    torch.save(state, draft)
    os.replace(draft, path)


def load_checkpoint(
    path: Path, *, decided: Decided, network: nn.Module, optimiser: Optimiser, defaults: Decided | None = None
) -> int:
    """Put a run where it was; returns how many steps are done.

    Args:
        path: Of a checkpoint.
        decided: What the run belongs to, as it was saved.
        network: Gets its weights and statistics.
        optimiser: Gets its state.
        defaults: Of keys that may be younger than the checkpoint; None for those of `Config`.

    Raises:
        CheckpointMismatch: The file belongs to another configuration or other takes, is damaged, or is none.
    """
    state = _read(path)
    # A key that is younger than the checkpoint had its default in effect.
    theirs, ours = {**(Config().flat() if defaults is None else defaults), **state["config"]}, dict(decided)
    differing = sorted(key for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key))
    if differing:
        told = "\n".join(f"  {key}: {theirs.get(key)!r} there, {ours.get(key)!r} here" for key in differing)
        raise CheckpointMismatch(
            f"{path} belongs to another configuration:\n{told}\nUse that configuration, or another --work folder."
        )
    step: int = state["step"]
    if not 0 <= step <= ours["run.steps"]:
        raise CheckpointMismatch(f"{path} says step {step}, the run has {ours['run.steps']}")
    try:
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise CheckpointMismatch(f"{path} does not fit this network: {error}") from error
    return step


def load_weights(path: Path, network: nn.Module) -> None:
    """Put a checkpoint's weights into a network of the same sizes.

    Raises:
        CheckpointMismatch: The file is damaged, no checkpoint, or of other sizes.
    """
    try:
        network.load_state_dict(_read(path)["network"])
    except RuntimeError as error:
        raise CheckpointMismatch(f"{path} is of a network of other sizes: {error}") from error


def _read(path: Path) -> dict[str, Any]:  # what torch.save was given
    try:
        with zipfile.ZipFile(path) as archive:  # torch writes a checksum of each part, and reads without a look at it
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"{damaged} is damaged")
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        wrong = [key for key, kind in _KINDS.items() if not isinstance(state[key], kind)]
        if wrong:
            raise TypeError(f"{', '.join(wrong)} of another type")
    except Exception as error:  # whatever bytes can make of a zip, a pickle and torch
        raise CheckpointMismatch(f"{path} is no checkpoint of a training run: {error!r}") from error
    return state
