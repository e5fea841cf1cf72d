"""The loop: draws crops, asks the network, compares with the teachers, changes the weights. Reads top to bottom.

What it needs is a corpus in WORK/takes (`training.prepare` makes it). It leaves WORK/checkpoint.pt, WORK/metrics.jsonl
and WORK/loss.png, and goes on from the checkpoint where there is one.
"""

import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path

import torch
from torch import Tensor

from training.calibration import settled
from training.catalogue import Split
from training.checkpoint import load_checkpoint, save_checkpoint
from training.config import Config, LossConfig, OptimiserConfig
from training.corpus import Corpus, Take
from training.crops import Batch, Crops, teacher_mean
from training.errors import LossNotFinite, ManifestInvalid
from training.gradient_cache import Terms, backward
from training.interruption import Interruption
from training.losses import (
    centred,
    cosine_distillation,
    hardest_negatives,
    nt_xent,
    scale_distillation,
    similarity_distillation,
    tag_distillation,
    triplet,
)
from training.metrics import Metrics
from training.network import Network, Outputs
from training.optimiser import Optimiser
from training.progress import Progress
from training.validation import Validation

CHECKPOINT_FILE = "checkpoint.pt"
TAKES_FOLDER = "takes"


def train(config: Config, work: Path, takes: Sequence[Take], *, minutes: float = math.inf) -> bool:
    """Learn until the last step, or until the time is over, or Ctrl-C; a checkpoint is left each time.

    Args:
        config: Everything that decides the result.
        work: Holds the corpus; checkpoint and metrics are written here.
        takes: Of the corpus: what is learnt from, and what is looked at.
        minutes: Length of this leg.

    Returns:
        Whether all steps are done.

    Raises:
        CheckpointMismatch: The checkpoint there belongs to another configuration or to other takes.
        LossNotFinite: A loss or the gradient is NaN or infinite; the checkpoint is of the steps before.
        ManifestInvalid: The corpus holds too little.
    """
    torch.manual_seed(config.run.seed)
    torch.use_deterministic_algorithms(True)
    corpus = Corpus(work / TAKES_FOLDER)
    taught = [take for take in takes if take.split is Split.TRAIN or config.corpus.everything]
    crops = Crops(corpus, taught, config.crops, config.run.batch, config.run.seed)
    if config.loss.triplet and len({take.group for take in taught}) < 2:
        raise ManifestInvalid("loss.triplet needs takes of two soundtracks, there is one: it has no negatives")
    mean = torch.from_numpy(teacher_mean(corpus, taught))
    validation = Validation(corpus, takes, mean)
    network = Network(config.network, config.run.precision).train()
    optimiser = Optimiser(network, config.optimiser)
    checkpoint = work / CHECKPOINT_FILE
    first = 0
    decided = {**config.flat(), "corpus.takes": _digest(takes)}
    if checkpoint.is_file():
        first = load_checkpoint(checkpoint, decided=decided, network=network, optimiser=optimiser)
    metrics = Metrics(work, first)
    deadline = time.monotonic() + 60 * minutes

    def keep(step: int) -> None:
        save_checkpoint(checkpoint, decided=decided, step=step, network=network, optimiser=optimiser)

    step = first
    with Interruption() as interruption, Progress("learning", config.run.steps, "steps", done=first) as progress:
        while step < config.run.steps and not interruption.is_wanted and time.monotonic() < deadline:
            batch = crops.draw(step)
            optimiser.set_learning_rate(learning_rate(step, config.run.steps, config.optimiser))
            terms = backward(network, batch.mel_db, partial(compare, batch, config.loss, mean), config.run.micro_batch)
            norm = torch.nn.utils.clip_grad_norm_(optimiser.weights(), config.optimiser.clip_norm)
            check_finite({**terms, "gradient": norm}, batch, step)
            optimiser.step()
            step += 1
            values = {name: float(term) for name, term in terms.items()}
            metrics.add(step, {"loss": sum(values.values()), **values, "gradient_norm": float(norm)})
            if step % config.run.validate_steps == 0 or step == config.run.steps:
                metrics.add(
                    step, validation(settled(network, corpus, taught, config.run.settle_windows)), name="validation"
                )
            if step % config.run.checkpoint_steps == 0:
                keep(step)
            progress.advance(f"loss {sum(values.values()):.3f}")
    keep(step)
    metrics.plot()
    return step >= config.run.steps


def compare(batch: Batch, config: LossConfig, mean: Tensor, outputs: Outputs) -> Terms:
    """Compute every loss that has a weight, weighted.

    Directions and similarities are compared where they will be served: of unit vectors without the mean of all music,
    which is most of what any two tracks share.

    Args:
        batch: What the teachers said; row i of each view is of take i.
        config: Weights.
        mean: Of the teachers' unit vectors, shape (400,).
        outputs: What the network said.
    """
    vectors = centred(outputs.vectors, mean)
    wanted = centred(batch.vectors, mean)
    losses: dict[str, Callable[[], Tensor]] = {
        "cosine": lambda: cosine_distillation(vectors, wanted),
        "patches": lambda: _of_patches(outputs.patches, batch.patches, mean),
        "scale": lambda: scale_distillation(outputs.vectors, batch.vectors),
        "similarity": lambda: similarity_distillation(vectors, wanted),
        "tags": lambda: tag_distillation(outputs.tags, batch.tags),
        "nt_xent": lambda: _between_views(outputs.projected, config.temperature),
        "triplet": lambda: _batch_hard(outputs.pooled, batch.groups, config.margin),
    }
    weights = {name: float(getattr(config, name)) for name in losses}
    return {name: weights[name] * losses[name]() for name in losses if weights[name]}


def _of_patches(said: Tensor, wanted: Tensor, mean: Tensor) -> Tensor:
    one, other = said.flatten(0, 1), wanted.flatten(0, 1)  # (crops × patches, dim)
    return cosine_distillation(centred(one, mean), centred(other, mean)) + scale_distillation(one, other)


def _between_views(views: Tensor, temperature: float) -> Tensor:
    one, other = views.chunk(2)
    return nt_xent(one, other, temperature)


def _batch_hard(views: Tensor, groups: Tensor, margin: float) -> Tensor:
    anchor, positive = views.chunk(2)
    return triplet(anchor, positive, hardest_negatives(anchor, positive, groups), margin)


def check_finite(terms: Terms, batch: Batch, step: int) -> None:
    """Stop before NaN gets into the weights.

    Raises:
        LossNotFinite: Names the losses, the step and every crop of the batch.
    """
    wrong = {name: float(term) for name, term in terms.items() if not torch.isfinite(term)}
    if wrong:
        told = ", ".join(f"{name} is {value}" for name, value in wrong.items())
        raise LossNotFinite(f"step {step}: {told}; the batch was {' '.join(batch.names)}")


def learning_rate(step: int, steps: int, config: OptimiserConfig) -> float:
    """Return the rate of a step: a line up, then half a cosine down (arXiv:1608.03983, without restarts)."""
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    way = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
    height = config.learning_rate - config.final_learning_rate
    return config.final_learning_rate + height * (1 + math.cos(math.pi * way)) / 2


def _digest(takes: Sequence[Take]) -> str:
    told = "\n".join(f"{take.take_id} {take.split} {take.group}" for take in takes)
    return sha256(told.encode()).hexdigest()[:16]
