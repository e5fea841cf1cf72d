"""The loop that teaches an aggregator: hides windows of tracks, and asks for their vectors. Reads top to bottom.

Masked modelling (Devlin et al. 2018, arXiv:1810.04805) teaches the windows' tokens; what it leaves of [CLS] is what the
others find in it. Two further objectives, by their weights, ask [CLS] itself.

It leaves WORK/checkpoint.pt, WORK/metrics.jsonl and WORK/loss.png, and goes on from the checkpoint where there is one.
"""

import math
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from training.aggregator_config import AggregatorConfig, ObjectiveConfig
from training.aggregator_network import AggregatorNetwork
from training.aggregator_validation import AggregatorValidation
from training.checkpoint import load_checkpoint, save_checkpoint
from training.errors import LossNotFinite
from training.interruption import Interruption
from training.losses import contrast_across, cosine_distillation
from training.metrics import Metrics
from training.optimiser import Optimiser
from training.progress import Progress
from training.train import CHECKPOINT_FILE, learning_rate
from training.window_crops import CropBatch, WindowCrops, WindowedTrack, digest_windows


def pretrain(
    config: AggregatorConfig,
    work: Path,
    learnt: Sequence[WindowedTrack],
    validation: AggregatorValidation,
    *,
    minutes: float = math.inf,
) -> AggregatorNetwork | None:
    """Learn until the last step, or until the time is over, or Ctrl-C; a checkpoint is left each time.

    Args:
        config: Everything that decides the result.
        work: Where checkpoint and metrics are.
        learnt: Tracks to learn from, of one encoder.
        validation: Looks at the network now and then.
        minutes: Length of this leg.

    Returns:
        The network in evaluation; None where steps are left.

    Raises:
        CheckpointMismatch: The checkpoint there belongs to another configuration or to other tracks.
        LossNotFinite: A loss or the gradient is NaN or infinite; the checkpoint is of the steps before.
        ManifestInvalid: There are fewer crops than a batch.
    """
    torch.manual_seed(config.run.seed)
    torch.use_deterministic_algorithms(True)
    crops = WindowCrops(learnt, config)
    network = AggregatorNetwork(learnt[0].vectors.shape[1], config.network)
    optimiser = Optimiser(network, config.optimiser)
    checkpoint = work / CHECKPOINT_FILE
    decided = {**config.flat(), "windows": digest_windows(learnt), "run.steps": crops.steps}
    step = 0
    if checkpoint.is_file():
        step = load_checkpoint(
            checkpoint, decided=decided, network=network, optimiser=optimiser, defaults=AggregatorConfig().flat()
        )
    metrics = Metrics(work, step)
    deadline = time.monotonic() + 60 * minutes
    with Interruption() as interruption, Progress("learning", crops.steps, "steps", done=step) as progress:
        while step < crops.steps and not interruption.is_wanted and time.monotonic() < deadline:
            optimiser.set_learning_rate(learning_rate(step, crops.steps, config.optimiser))
            batch = crops.draw(step)
            other = crops.draw_others(step) if config.objective.contrast else None
            terms = losses(network.train(), config.objective, batch, other)
            sum(terms.values(), torch.zeros(())).backward()  # type: ignore[no-untyped-call]  # torch's
            norm = torch.nn.utils.clip_grad_norm_(optimiser.weights(), config.optimiser.clip_norm)
            _check_finite({**terms, "gradient": norm}, batch, step)
            optimiser.step()
            step += 1
            values = {name: term.item() for name, term in terms.items()}
            metrics.add(step, {"loss": sum(values.values()), **values, "gradient_norm": float(norm)})
            if step % config.run.validate_steps == 0 or step == crops.steps:
                metrics.add(step, validation(network.eval()), name="validation")
            if step % config.run.checkpoint_steps == 0:
                save_checkpoint(checkpoint, decided=decided, step=step, network=network, optimiser=optimiser)
            progress.advance(f"loss {sum(values.values()):.3f}")
    save_checkpoint(checkpoint, decided=decided, step=step, network=network, optimiser=optimiser)
    metrics.plot()
    return network.eval() if step >= crops.steps else None


def losses(
    network: AggregatorNetwork, config: ObjectiveConfig, batch: CropBatch, other: CropBatch | None
) -> dict[str, Tensor]:
    """Compute every loss that has a weight, weighted.

    Args:
        network: Asked once for each crop, with the masked windows hidden.
        config: Weights.
        batch: Crops.
        other: Other crops of the same tracks, where contrast has a weight.
    """
    summary, windows = network(batch.vectors, batch.seconds, batch.is_masked, batch.first)
    terms: dict[str, Tensor] = {}
    if config.masked:
        hidden = batch.is_masked
        terms["masked"] = config.masked * cosine_distillation(windows[hidden], batch.vectors[hidden])
    if config.summary:
        seconds = (batch.seconds * batch.is_masked)[..., None]
        wanted = (batch.vectors * seconds).sum(dim=1)  # (batch, dim)
        terms["summary"] = config.summary * cosine_distillation(summary, wanted)
    if config.contrast and other is not None:
        again, _ = network(other.vectors, other.seconds, other.is_masked, other.first)
        terms["contrast"] = config.contrast * contrast_across(summary, again, batch.groups, config.temperature)
    return terms


def _check_finite(terms: dict[str, Tensor], batch: CropBatch, step: int) -> None:
    wrong = {name: term.item() for name, term in terms.items() if not torch.isfinite(term)}
    if wrong:
        told = ", ".join(f"{name} is {value}" for name, value in wrong.items())
        raise LossNotFinite(f"step {step}: {told}; the batch was {' '.join(batch.names)}")
