"""The configuration of a run that teaches an aggregator: every value that decides what is learnt, with its meaning."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from services.embedder.transformer_aggregator import HEADS
from training.config import OptimiserConfig
from training.config_file import AGGREGATOR_CONFIG, read_sections, too_small


@dataclass(frozen=True, slots=True)
class TransformerConfig:
    """The transformer's sizes; it has four layers of four heads.

    Attributes:
        width: Length of a token, a multiple of 8.
        hidden: Width of the feed-forward parts.
    """

    width: int = 256
    hidden: int = 512


@dataclass(frozen=True, slots=True)
class MaskingConfig:
    """What the transformer is shown.

    Attributes:
        share: How many windows of a crop are masked, 0 to 1; one at least, and one at least is left.
        crop_windows: Windows of a crop, as far as the track has them.
    """

    share: float = 0.15
    crop_windows: int = 32


@dataclass(frozen=True, slots=True)
class ObjectiveConfig:
    """Weights of the losses; one of weight 0 is not computed.

    Attributes:
        masked: Direction of the masked windows' vectors: masked modelling.
        summary: Direction from [CLS] to the mean of the windows that it did not see.
        contrast: [CLS] of two crops of a track against those of other soundtracks.
        temperature: Of contrast.
    """

    masked: float = 1.0
    summary: float = 0.0
    contrast: float = 0.0
    temperature: float = 0.1


@dataclass(frozen=True, slots=True)
class PretrainingConfig:
    """How the loop goes.

    Attributes:
        epochs: How often every window begins a crop.
        batch: Crops of a step.
        validate_steps: Steps between two looks at the validation soundtracks.
        checkpoint_steps: Steps between two checkpoints.
        seed: Of first weights, crops and masks.
    """

    epochs: int = 1
    batch: int = 32
    validate_steps: int = 100
    checkpoint_steps: int = 50
    seed: int = 1


@dataclass(frozen=True, slots=True)
class AggregatorConfig:
    """Everything that decides what a run makes of its windows."""

    network: TransformerConfig = field(default_factory=TransformerConfig)
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    run: PretrainingConfig = field(default_factory=PretrainingConfig)

    def flat(self) -> dict[str, Any]:  # values of TOML
        """Return every value by its dotted key."""
        return {f"{section}.{key}": value for section, values in asdict(self).items() for key, value in values.items()}


def load_aggregator_config(path: Path = AGGREGATOR_CONFIG, overrides: Sequence[str] = ()) -> AggregatorConfig:
    """Read a file, and then `section.key=value`.

    Raises:
        ConfigInvalid: All faults together: unknown sections and keys, wrong types, values that cannot be meant.
    """
    return read_sections(path, overrides, AggregatorConfig, _check)


def _check(config: AggregatorConfig) -> list[str]:
    at_least = {
        "network.width": 2 * HEADS, "network.hidden": 1, "masking.crop_windows": 2, "objective.temperature": 1e-4,
        "optimiser.clip_norm": 1e-6, "run.epochs": 1, "run.batch": 1, "run.validate_steps": 1,
        "run.checkpoint_steps": 1,
    }  # fmt: skip
    faults = too_small(config.flat(), at_least)
    if config.network.width % (2 * HEADS):
        faults.append(f"network.width is {config.network.width}, it must be a multiple of {2 * HEADS}")
    if config.masking.share > 1:
        faults.append(f"masking.share is {config.masking.share}, the maximum is 1")
    if config.optimiser.name != "adamw":
        faults.append(f"optimiser.name is {config.optimiser.name!r}, an aggregator learns by 'adamw'")
    objective = config.objective
    if not any((objective.masked, objective.summary, objective.contrast)):
        faults.append("every weight of objective is 0: there is nothing to learn")
    if objective.contrast and config.run.batch < 2:
        faults.append(f"run.batch is {config.run.batch}, objective.contrast needs at least 2")
    return faults
