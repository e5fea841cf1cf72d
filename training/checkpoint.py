"""One file that a run goes on from: weights, the optimiser's state, the step, and the configuration they belong to."""

import os
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import nn

from training.config import Config
from training.errors import CheckpointMismatch
from training.optimiser import Optimiser


def save_checkpoint(path: Path, *, config: Config, step: int, network: nn.Module, optimiser: Optimiser) -> None:
    """Write so that a reader, or a run after a crash, finds the whole of this checkpoint or of the one before.

    Args:
        path: Where to.
        config: Of the run.
        step: How many steps are done.
        network: Its weights and statistics.
        optimiser: Its state.
    """
    state = {
        "config": config.flat(),
        "step": step,
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    torch.save(state, draft)
    os.replace(draft, path)


def load_checkpoint(path: Path, *, config: Config, network: nn.Module, optimiser: Optimiser) -> int:
    """Put a run where it was; returns how many steps are done.

    Raises:
        CheckpointMismatch: The file belongs to another configuration, or is none.
    """
    state = _read(path)
    # A key that is younger than the checkpoint had its default in effect.
    theirs, ours = {**Config().flat(), **state["config"]}, config.flat()
    differing = sorted(key for key in theirs.keys() | ours.keys() if theirs.get(key) != ours.get(key))
    if differing:
        told = "\n".join(f"  {key}: {theirs.get(key)!r} there, {ours.get(key)!r} here" for key in differing)
        raise CheckpointMismatch(
            f"{path} belongs to another configuration:\n{told}\nUse that configuration, or another --work folder."
        )
    network.load_state_dict(state["network"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])


def load_weights(path: Path, network: nn.Module) -> None:
    """Put a checkpoint's weights into a network of the same sizes.

    Raises:
        CheckpointMismatch: The file is no checkpoint, or of other sizes.
    """
    try:
        network.load_state_dict(_read(path)["network"])
    except RuntimeError as error:
        raise CheckpointMismatch(f"{path} is of a network of other sizes: {error}") from error


def _read(path: Path) -> dict[str, Any]:  # what torch.save was given
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        state["config"], state["step"], state["network"], state["optimiser"]
    except (OSError, RuntimeError, KeyError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise CheckpointMismatch(f"{path} is no checkpoint of a training run: {error!r}") from error
    return state
