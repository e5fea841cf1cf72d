"""Losses as pure functions of tensors. Each is a mean over the batch, so its size does not depend on the batch's."""

import torch
from torch import Tensor
from torch.nn import functional

_TINY = 1e-8


def centred(vectors: Tensor, mean: Tensor) -> Tensor:
    """Make rows unit, subtract a mean, and make them unit again, as the embedder serves them.

    Args:
        vectors: Shape (batch, dim).
        mean: Shape (dim,), on the scale of unit vectors; where dim is another one, nothing is subtracted.
    """
    unit = functional.normalize(vectors, dim=1)
    return functional.normalize(unit - mean, dim=1) if unit.shape[1:] == mean.shape else unit


def cosine_distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """Return one minus the cosine to the teacher's vector.

    Args:
        student: Shape (batch, dim).
        teacher: Shape (batch, dim).

    Returns:
        Scalar in [0, 2].
    """
    return 1 - functional.cosine_similarity(student, teacher, dim=1, eps=_TINY).mean()


def scale_distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the squared error on the teacher's own scale, as a share of the teacher's variance.

    1 is what a constant answer earns; so the loss means the same for every teacher (FitNets, Romero et al. 2015,
    arXiv:1412.6550, without the normalisation by the batch's variance).

    Args:
        student: Shape (batch, dim).
        teacher: Shape (batch, dim), at least two rows.

    Returns:
        Scalar, not negative.
    """
    variance = (teacher - teacher.mean(dim=0)).square().mean()
    return (student - teacher).square().mean() / variance.clamp(min=_TINY)


def similarity_distillation(student: Tensor, teacher: Tensor) -> Tensor:
    """Compare the cosines of all pairs of the batch with the teacher's (Tung & Mori 2019, arXiv:1907.09682).

    The squared error is divided by the variance of the teacher's cosines, since those of one teacher may lie within a
    tenth of each other.

    Args:
        student: Shape (batch, dim), at least three rows.
        teacher: Shape (batch, other dim).

    Returns:
        Scalar, not negative; 1 is what equal cosines everywhere earn at best.
    """
    wanted = _pairs(teacher)
    return (_pairs(student) - wanted).square().mean() / wanted.var(unbiased=False).clamp(min=_TINY)


def tag_distillation(logits: Tensor, probabilities: Tensor) -> Tensor:
    """Return the cross-entropy to the teacher's tag probabilities, less its least possible value (Hinton et al. 2015).

    What is left is the mean Kullback-Leibler divergence of the tags, 0 for a student that agrees (arXiv:1503.02531).

    Args:
        logits: Shape (batch, tags).
        probabilities: Shape (batch, tags), in [0, 1].

    Returns:
        Scalar, not negative, summed over tags.
    """
    doubts = 1 - probabilities
    entropy = -(torch.xlogy(probabilities, probabilities) + torch.xlogy(doubts, doubts)).sum()
    told = functional.binary_cross_entropy_with_logits(logits, probabilities, reduction="sum")
    return (told - entropy) / len(logits)


def nt_xent(one: Tensor, other: Tensor, temperature: float) -> Tensor:
    """Return SimCLR's normalised, temperature-scaled cross-entropy (Chen et al. 2020, arXiv:2002.05709).

    Each of the 2 × batch views has one positive, the other view of its row, and 2 × batch − 2 negatives.

    Args:
        one: First views, shape (batch, dim), at least two rows.
        other: Second views, shape (batch, dim).
        temperature: Positive; the less, the more the nearest negatives count.

    Returns:
        Scalar, not negative.
    """
    views = functional.normalize(torch.cat([one, other]), dim=1)  # (2 batch, dim)
    logits = views @ views.T / temperature
    logits = logits.masked_fill(torch.eye(len(views), dtype=torch.bool, device=views.device), float("-inf"))
    rows = torch.arange(len(views), device=views.device)
    return functional.cross_entropy(logits, rows.roll(len(one)))


def contrast_across(one: Tensor, other: Tensor, groups: Tensor, temperature: float) -> Tensor:
    """Return `nt_xent` whose negatives are of other groups only.

    Tracks of one soundtrack often are alike; pushed apart, what is learnt is the soundtrack and not its sound.

    Args:
        one: First views, shape (batch, dim), at least two rows.
        other: Second views, shape (batch, dim).
        groups: Of the rows, shape (batch,), integers.
        temperature: Positive.

    Returns:
        Scalar, not negative; 0 where all rows are of one group.
    """
    views = functional.normalize(torch.cat([one, other]), dim=1)  # (2 batch, dim)
    logits = views @ views.T / temperature
    rows = torch.arange(len(views), device=views.device)
    positives = rows.roll(len(one))
    of_views = groups.repeat(2)
    is_left_out = of_views[:, None] == of_views[None]
    is_left_out[rows, positives] = False
    return functional.cross_entropy(logits.masked_fill(is_left_out, float("-inf")), positives)


def triplet(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float) -> Tensor:
    """Return the hinge on Euclidean distances of unit vectors (FaceNet, Schroff et al. 2015, arXiv:1503.03832, p = 2).

    Args:
        anchor: Shape (batch, dim).
        positive: Shape (batch, dim): what should be nearer.
        negative: Shape (batch, dim): what should be farther by the margin.
        margin: Not negative.

    Returns:
        Scalar, not negative.
    """
    anchor, positive, negative = (functional.normalize(one, dim=1) for one in (anchor, positive, negative))
    near, far = (_distances(anchor, other) for other in (positive, negative))
    return functional.relu(near - far + margin).mean()


def hardest_negatives(anchor: Tensor, others: Tensor, groups: Tensor) -> Tensor:
    """Pick for each anchor the most similar row of another group (batch-hard, Hermans et al. 2017, arXiv:1703.07737).

    Args:
        anchor: Shape (batch, dim).
        others: Candidates, shape (batch, dim).
        groups: Of both, shape (batch,), integers, at least two different ones.

    Returns:
        Rows of `others`, shape (batch, dim).
    """
    similarities = functional.normalize(anchor, dim=1) @ functional.normalize(others, dim=1).T
    return others[similarities.masked_fill(groups[:, None] == groups[None], float("-inf")).argmax(dim=1)]


def _distances(one: Tensor, other: Tensor) -> Tensor:
    # The root has no slope at 0, where two views agree.
    return (one - other).square().sum(dim=1).clamp(min=_TINY).sqrt()


def _pairs(vectors: Tensor) -> Tensor:
    unit = functional.normalize(vectors, dim=1)
    upper = torch.triu_indices(len(unit), len(unit), offset=1, device=unit.device)
    return (unit @ unit.T)[upper[0], upper[1]]  # (pairs,)
