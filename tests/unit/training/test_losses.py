"""Every loss against a slow reference, written as its paper says it."""

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from training.losses import (
    centred,
    contrast_across,
    cosine_distillation,
    hardest_negatives,
    nt_xent,
    scale_distillation,
    similarity_distillation,
    tag_distillation,
    triplet,
)


def rows(count: int, dim: int, seed: int) -> Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def cosine(one: Tensor, other: Tensor) -> float:
    a, b = one.tolist(), other.tolist()
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    length = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return float(dot / length)


@pytest.mark.parametrize(("batch", "dim"), [(2, 3), (5, 8), (16, 2)])
@pytest.mark.parametrize("temperature", [0.05, 0.1, 1.0])
def test_nt_xent_is_the_mean_over_all_views_of_the_positive_s_log_share(
    batch: int, dim: int, temperature: float
) -> None:
    one, other = rows(batch, dim, 1), rows(batch, dim, 2)
    views = [*one, *other]
    total = 0.0
    for i in range(2 * batch):
        positive = (i + batch) % (2 * batch)
        exponentials = {k: math.exp(cosine(views[i], views[k]) / temperature) for k in range(2 * batch) if k != i}
        total += -math.log(exponentials[positive] / sum(exponentials.values()))
    assert nt_xent(one, other, temperature).item() == pytest.approx(total / (2 * batch), rel=1e-9)


def test_nt_xent_does_not_depend_on_the_order_or_length_of_views() -> None:
    one, other = rows(6, 4, 3), rows(6, 4, 4)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    expected = nt_xent(one, other, 0.1).item()
    assert nt_xent(other[order] * 7, one[order] * 0.1, 0.1).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("margin", [0.0, 0.2, 3.0])
def test_triplet_is_the_hinge_on_distances_of_unit_vectors(margin: float) -> None:
    anchor, positive, negative = (rows(7, 5, seed) for seed in (5, 6, 7))
    total = 0.0
    for a, p, n in zip(anchor, positive, negative, strict=True):
        near = math.sqrt(2 - 2 * cosine(a, p))
        far = math.sqrt(2 - 2 * cosine(a, n))
        total += max(0.0, near - far + margin)
    assert triplet(anchor, positive, negative, margin).item() == pytest.approx(total / 7, rel=1e-7)


def test_triplet_has_a_slope_where_two_views_agree() -> None:
    anchor = rows(2, 3, 8).requires_grad_()
    triplet(anchor, anchor.detach().clone(), -anchor.detach(), 3.0).backward()  # type: ignore[no-untyped-call]
    assert anchor.grad is not None
    assert torch.isfinite(anchor.grad).all()


def test_hardest_negative_is_the_most_similar_row_of_another_group() -> None:
    anchor, others = rows(6, 4, 9), rows(6, 4, 10)
    groups = torch.tensor([0, 0, 1, 1, 2, 2])
    found = hardest_negatives(anchor, others, groups)
    for at in range(6):
        candidates = [k for k in range(6) if groups[k] != groups[at]]
        best = max(candidates, key=lambda k: cosine(anchor[at], others[k]))
        assert torch.equal(found[at], others[best])


def test_cosine_distillation_is_one_minus_the_mean_cosine() -> None:
    student, teacher = rows(5, 6, 11), rows(5, 6, 12)
    expected = 1 - sum(cosine(s, t) for s, t in zip(student, teacher, strict=True)) / 5
    assert cosine_distillation(student, teacher).item() == pytest.approx(expected, rel=1e-9)
    assert cosine_distillation(teacher * 3, teacher).item() == pytest.approx(0, abs=1e-12)


def test_scale_distillation_is_one_for_a_constant_answer() -> None:
    teacher = rows(9, 4, 13)
    assert scale_distillation(teacher.mean(dim=0).expand(9, 4), teacher).item() == pytest.approx(1, rel=1e-9)
    assert scale_distillation(teacher, teacher).item() == 0
    assert scale_distillation(10 * teacher + 2, 10 * teacher).item() == pytest.approx(
        4 / (100 * teacher.var(dim=0, unbiased=False).mean().item()), rel=1e-9
    )


def test_similarity_distillation_compares_the_cosines_of_all_pairs() -> None:
    student, teacher = rows(5, 3, 14), rows(5, 8, 15)
    pairs = list(itertools.combinations(range(5), 2))
    wanted = np.array([cosine(teacher[a], teacher[b]) for a, b in pairs])
    found = np.array([cosine(student[a], student[b]) for a, b in pairs])
    expected = np.mean((found - wanted) ** 2) / np.var(wanted)
    assert similarity_distillation(student, teacher).item() == pytest.approx(expected, rel=1e-9)
    rotation = torch.linalg.qr(rows(8, 8, 16))[0]
    assert similarity_distillation(5 * teacher @ rotation, teacher).item() == pytest.approx(0, abs=1e-12)


def test_tag_distillation_is_the_divergence_summed_over_tags() -> None:
    logits, probabilities = rows(3, 4, 17), torch.rand(3, 4, generator=torch.Generator().manual_seed(18)).double()
    total = 0.0
    for row, wanted in zip(torch.sigmoid(logits).tolist(), probabilities.tolist(), strict=True):
        for q, p in zip(row, wanted, strict=True):
            total += p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    assert tag_distillation(logits, probabilities).item() == pytest.approx(total / 3, rel=1e-6)
    assert tag_distillation(torch.logit(probabilities), probabilities).item() == pytest.approx(0, abs=1e-9)


def test_centred_is_what_the_embedder_serves() -> None:
    from services.embedder.model import centre

    vectors, mean = rows(4, 6, 19).float(), rows(1, 6, 20)[0].float() / 5
    np.testing.assert_allclose(centred(vectors, mean).numpy(), centre(vectors.numpy(), mean.numpy()), atol=1e-6)
    assert centred(vectors[:, :5], mean).norm(dim=1).tolist() == pytest.approx([1] * 4)


def test_contrast_across_takes_its_negatives_from_other_groups() -> None:
    torch.manual_seed(5)
    one, other = torch.randn(4, 6), torch.randn(4, 6)
    groups = [0, 0, 1, 2]
    views = torch.nn.functional.normalize(torch.cat([one, other]), dim=1).tolist()
    told = []
    for row in range(8):
        positive = (row + 4) % 8
        scores = {
            column: math.exp(sum(a * b for a, b in zip(views[row], views[column], strict=True)) / 0.3)
            for column in range(8)
            if column == positive or groups[column % 4] != groups[row % 4]
        }
        told.append(-math.log(scores[positive] / sum(scores.values())))
    found = contrast_across(one, other, torch.tensor(groups), 0.3)
    assert float(found) == pytest.approx(sum(told) / 8, abs=1e-5)
    assert float(contrast_across(one, other, torch.zeros(4, dtype=torch.long), 0.3)) == pytest.approx(0, abs=1e-6)
