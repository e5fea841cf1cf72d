"""Gives batch normalisation the statistics of the music as it is served: whole windows, unchanged.

While learning, its running statistics are of changed crops, mixes and renders, by weights that are no more. Taking them
anew after the last step is what stochastic weight averaging does (Izmailov et al. 2018, arXiv:1803.05407).
"""

from collections.abc import Sequence
from copy import deepcopy

import numpy as np
import torch
from torch import nn

from training.corpus import Corpus, Kind, Take
from training.network import Network
from training.tracks import WINDOW_SECONDS, window_starts

_BATCH = 24


def settle_batch_norm(network: Network, corpus: Corpus, takes: Sequence[Take], windows: int) -> None:
    """Replace every running mean and variance by that of windows of real music, soundtracks evenly.

    Leaves the network in evaluation, and alone where it has no batch normalisation that learns.

    Args:
        network: Its statistics are changed, its weights are not.
        corpus: The store.
        takes: What may be heard; only real music is.
        windows: How many; the average is over batches of up to 24.
    """
    layers = [module for module in network.train().modules() if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))]
    layers = [layer for layer in layers if layer.training]
    by_group: dict[str, list[Take]] = {}
    for take in takes:
        if take.kind is Kind.ORIGINAL and take.seconds >= WINDOW_SECONDS:
            by_group.setdefault(take.group, []).append(take)
    groups = sorted(by_group)
    if layers and groups:
        momenta = [layer.momentum for layer in layers]
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # all batches count alike
        generator = np.random.default_rng(0)
        with torch.no_grad():
            for done in range(0, windows, _BATCH):
                size = min(_BATCH, windows - done)
                drawn = [by_group[groups[number]] for number in generator.integers(len(groups), size=size)]
                mels = [_window(corpus, chapters, generator) for chapters in drawn]
                network(torch.from_numpy(np.stack(mels)))
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
    network.eval()


def settled(network: Network, corpus: Corpus, takes: Sequence[Take], windows: int) -> Network:
    """Return a copy of a network that still learns, as export would leave it: what a look at it should judge."""
    copy = deepcopy(network)
    settle_batch_norm(copy, corpus, takes, windows)
    return copy


def _window(corpus: Corpus, takes: Sequence[Take], generator: np.random.Generator) -> np.ndarray:
    take = takes[int(generator.integers(len(takes)))]
    start = int(generator.choice(window_starts(take)))
    return corpus.read(take.take_id, start_s=start, seconds=WINDOW_SECONDS).mel.astype(np.float32)
