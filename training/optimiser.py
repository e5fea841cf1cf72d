"""AdamW, or Muon for the matrices of the conformer and AdamW for the rest, under one learning rate."""

from collections.abc import Iterable
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from training.config import OptimiserConfig

_MATRICES_OF = "muq.model.conformer.layers."


class Learner(Protocol):
    """A network that says which of its weights learn."""

    def trained(self) -> Iterable[tuple[str, nn.Parameter]]:
        """Name the weights that learn."""
        ...


class Optimiser:
    """Changes the weights that learn.

    AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101) decays matrices and no biases and norms. Muon (Jordan et al.
    2024, https://kellerjordan.github.io/posts/muon/) makes each matrix's update orthogonal, here with the length that
    AdamW's has (Liu et al. 2025, arXiv:2502.16982), so that one rate fits both.

    Args:
        network: Gives the weights.
        config: Which one, and how much it decays.
    """

    def __init__(self, network: Learner, config: OptimiserConfig) -> None:
        self._parts: list[torch.optim.Optimizer] = []
        weights = dict(network.trained())
        if config.name == "muon":
            names = [name for name, weight in weights.items() if name.startswith(_MATRICES_OF) and weight.ndim == 2]
            matrices = [weights.pop(name) for name in names]
            self._parts.append(
                torch.optim.Muon(matrices, weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw")
            )
        decayed = [weight for weight in weights.values() if weight.ndim > 1]
        others = [weight for weight in weights.values() if weight.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": config.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self._parts.append(torch.optim.AdamW(groups))

    def set_learning_rate(self, rate: float) -> None:
        """Set the rate of the steps to come."""
        for part in self._parts:
            for group in part.param_groups:
                group["lr"] = rate

    def step(self) -> None:
        """Change the weights by their gradients, and drop these."""
        for part in self._parts:
            part.step()
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, Any]]:  # torch's own
        """Return all that a later run needs to go on."""
        return [part.state_dict() for part in self._parts]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:  # torch's own
        """Go on from a state of the same configuration."""
        for part, state in zip(self._parts, states, strict=True):
            part.load_state_dict(state)

    def weights(self) -> list[Tensor]:
        """Return all weights that it changes."""
        return [weight for part in self._parts for group in part.param_groups for weight in group["params"]]
