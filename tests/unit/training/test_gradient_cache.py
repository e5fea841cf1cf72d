"""Cached gradients are those of the whole batch, negatives included."""

import pytest
import torch
from torch import Tensor

from tests.unit.training.networks import TINY
from training.gradient_cache import backward
from training.losses import nt_xent
from training.network import Network, Outputs


def network() -> Network:
    torch.manual_seed(3)
    made = Network(TINY).double()
    # Batch statistics are of a micro-batch by nature; everything else must agree.
    return made.eval()


def gradients(micro_batch: int, frozen: bool = False) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    net = network()
    if frozen:
        for weight in net.muq.parameters():
            weight.requires_grad = False
    mel = torch.randn(8, 300, 128, generator=torch.Generator().manual_seed(4), dtype=torch.float64)

    def loss(outputs: Outputs) -> dict[str, Tensor]:
        one, other = outputs.vectors.chunk(2)
        return {"nt_xent": nt_xent(one, other, 0.1), "tags": outputs.tags.square().mean()}

    terms = backward(net, mel, loss, micro_batch)
    return terms, {name: weight.grad for name, weight in net.named_parameters() if weight.grad is not None}


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 8])
def test_gradients_do_not_depend_on_the_micro_batch(micro_batch: int) -> None:
    expected_terms, expected = gradients(64)
    terms, found = gradients(micro_batch)
    assert terms.keys() == expected_terms.keys()
    for name, term in terms.items():
        assert term.item() == pytest.approx(expected_terms[name].item(), rel=1e-12)
        assert not term.requires_grad
    assert found.keys() == expected.keys()
    assert any(name.startswith("muq.model.conv") for name in found)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-8, atol=1e-12)


def test_micro_batches_alone_would_miss_negatives() -> None:
    mel = torch.randn(8, 300, 128, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    vectors = network()(mel).vectors.detach()
    whole = nt_xent(vectors[:4], vectors[4:], 0.1)
    halves = (nt_xent(vectors[:2], vectors[4:6], 0.1) + nt_xent(vectors[2:4], vectors[6:], 0.1)) / 2
    assert whole.item() > halves.item() + 0.1


def test_weights_that_do_not_learn_get_no_gradient() -> None:
    _, found = gradients(2, frozen=True)
    assert found.keys() == {"embedding.weight", "embedding.bias", "tags.weight", "tags.bias"}
