"""Each weight that learns has one optimiser, and a run that goes on takes the step that it would have taken."""

import copy
from dataclasses import replace
from typing import Literal

import pytest
import torch

from tests.unit.training.networks import TINY
from training.config import OptimiserConfig
from training.network import Network
from training.optimiser import Optimiser

NAMES: tuple[Literal["adamw", "muon"], ...] = ("adamw", "muon")


def made(name: Literal["adamw", "muon"], *, weight_decay: float = 0.01) -> tuple[Network, Optimiser]:
    network = Network(TINY)
    return network, Optimiser(network, OptimiserConfig(name=name, weight_decay=weight_decay))


def learn(network: Network, optimiser: Optimiser, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _, weight in network.trained():
        weight.grad = torch.randn(weight.shape, generator=generator)
    optimiser.set_learning_rate(1e-2)
    optimiser.step()


@pytest.mark.parametrize("name", NAMES)
def test_every_weight_that_learns_is_changed_once_and_no_other(name: Literal["adamw", "muon"]) -> None:
    network, optimiser = made(name)
    trained = {key for key, _ in network.trained()}
    assert sorted(map(id, optimiser.weights())) == sorted(id(weight) for _, weight in network.trained())
    before = {key: weight.detach().clone() for key, weight in network.named_parameters()}
    learn(network, optimiser, 1)
    assert {key for key, weight in network.named_parameters() if not torch.equal(weight, before[key])} == trained
    assert all(weight.grad is None for weight in network.parameters())


def test_muon_makes_the_update_of_a_matrix_orthogonal_with_the_length_of_adamws() -> None:
    network, optimiser = made("muon", weight_decay=0.0)
    name = "muq.model.conformer.layers.0.ffn1.intermediate_dense.weight"
    matrix = network.get_parameter(name)
    before = matrix.detach().clone()
    learn(network, optimiser, 1)
    update = (matrix.detach() - before) / 1e-2
    assert update.square().mean().sqrt().item() == pytest.approx(0.2, rel=0.2)
    stretches = torch.linalg.svdvals(update)
    assert (stretches.max() / stretches.min()).item() < 2  # five steps of Newton and Schulz come so near to 1


def test_heads_stem_norms_and_biases_are_adamws_and_only_matrices_decay() -> None:
    steps = {}
    for name in NAMES:
        network, optimiser = made(name, weight_decay=0.5)
        learn(network, optimiser, 1)
        steps[name] = dict(network.named_parameters())
    differing = {key for key, weight in steps["adamw"].items() if not torch.equal(weight, steps["muon"][key])}
    assert differing == {
        key for key, weight in steps["adamw"].items() if ".conformer.layers." in key and weight.ndim == 2
    }
    network, optimiser = made("adamw", weight_decay=0.5)
    bare, without = made("adamw", weight_decay=0.0)
    learn(network, optimiser, 1)
    learn(bare, without, 1)
    others = dict(bare.named_parameters())
    decayed = {key for key, weight in network.named_parameters() if not torch.equal(weight, others[key])}
    assert decayed == {key for key, weight in network.trained() if weight.ndim > 1}


@pytest.mark.parametrize("name", NAMES)
def test_a_state_that_is_loaded_takes_the_same_next_step(name: Literal["adamw", "muon"]) -> None:
    network, optimiser = made(name)
    learn(network, optimiser, 1)
    state, weights = copy.deepcopy(optimiser.state_dict()), copy.deepcopy(network.state_dict())
    learn(network, optimiser, 2)
    other, resumed = made(name)
    other.load_state_dict(weights)
    resumed.load_state_dict(state)
    learn(other, resumed, 2)
    assert all(torch.equal(weight, other.state_dict()[key]) for key, weight in network.state_dict().items())


def test_muon_with_frozen_layers_has_the_last_ones_only() -> None:
    network = Network(replace(TINY, encoder_depth=2, trained_layers=1))
    optimiser = Optimiser(network, OptimiserConfig(name="muon"))
    names = {name for name, weight in network.named_parameters() if any(weight is one for one in optimiser.weights())}
    assert not any(".layers.0." in name for name in names)
    assert any(".layers.1." in name for name in names)
