"""Batch normalisation ends with the statistics of unchanged music, and nothing else moves."""

from dataclasses import replace
from pathlib import Path

import torch

from tests.unit.training.networks import TINY, fill
from training.calibration import settle_batch_norm, settled
from training.network import Network


def test_statistics_are_of_the_music_and_weights_stay(tmp_path: Path) -> None:
    corpus = fill(tmp_path, takes=4)
    torch.manual_seed(1)
    network = Network(TINY)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    settle_batch_norm(network, corpus, list(corpus.takes()), 48)
    after = network.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved == {name for name in before if "running_" in name or "num_batches_tracked" in name}
    assert not network.training
    # With its own statistics, the first layer's output is normal over the music that they were taken of.
    takes = [corpus.read(take.take_id, start_s=0, seconds=10).mel for take in corpus.takes()]
    mel = (torch.stack([torch.from_numpy(one).float() for one in takes]) - 6.768444971712967) / 18.417922652295623
    first = network.muq.model.conv.conv[0]
    with torch.no_grad():
        normal = first.bn1(first.conv1(mel.transpose(1, 2)[:, None]))
    assert normal.mean().abs() < 0.1
    assert abs(float(normal.std()) - 1) < 0.1


def test_the_order_of_batches_and_earlier_statistics_do_not_matter(tmp_path: Path) -> None:
    corpus = fill(tmp_path, takes=4)
    torch.manual_seed(1)
    network = Network(TINY)
    settle_batch_norm(network, corpus, list(corpus.takes()), 24)
    once = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    settle_batch_norm(network, corpus, list(corpus.takes()), 24)
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in once.items())


def test_frozen_statistics_stay(tmp_path: Path) -> None:
    corpus = fill(tmp_path, takes=4)
    network = Network(replace(TINY, frozen_batch_norm=True))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    settle_batch_norm(network, corpus, list(corpus.takes()), 24)
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in before.items())


def test_a_look_at_a_network_leaves_its_own_statistics(tmp_path: Path) -> None:
    corpus = fill(tmp_path, takes=4)
    torch.manual_seed(1)
    network = Network(TINY).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    looked_at = settled(network, corpus, list(corpus.takes()), 24)
    assert all(torch.equal(tensor, network.state_dict()[name]) for name, tensor in before.items())
    assert network.training
    settle_batch_norm(network, corpus, list(corpus.takes()), 24)
    assert all(torch.equal(tensor, looked_at.state_dict()[name]) for name, tensor in network.state_dict().items())
