"""Gradients of a loss over a whole batch with the memory of a micro-batch.

The method is GradCache (Gao et al. 2021, arXiv:2101.06983). The network runs twice: first without a graph, for the
outputs that the loss wants all at once; then piece by piece, with the gradient that the loss has at each output. The
result is the gradient of the whole batch, so that negatives come from all of it; exactly where batch normalisation is
frozen, and otherwise with the statistics of each piece. Where the micro-batch holds the whole batch, the network runs
once.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from training.network import Outputs

Terms = dict[str, Tensor]


def backward(network: nn.Module, mel_db: Tensor, loss: Callable[[Outputs], Terms], micro_batch: int) -> Terms:
    """Add the gradient of a loss to the network's weights.

    Args:
        network: Called with some rows, returns Outputs.
        mel_db: All crops, shape (crops, frames, 128).
        loss: Of all outputs; its terms are added up.
        micro_batch: Crops that are run at a time.

    Returns:
        The terms, without graph.
    """
    if micro_batch >= len(mel_db):
        terms = loss(network(mel_db))
        _total(terms).backward()  # type: ignore[no-untyped-call]  # torch's own
        return {name: term.detach() for name, term in terms.items()}
    pieces = torch.split(mel_db, micro_batch)
    with torch.no_grad():
        found = [network(piece) for piece in pieces]
    whole = Outputs(*(torch.cat(parts).requires_grad_() for parts in zip(*map(_fields, found), strict=True)))
    terms = loss(whole)
    _total(terms).backward()  # type: ignore[no-untyped-call]
    gradients = [None if one.grad is None else torch.split(one.grad, micro_batch) for one in _fields(whole)]
    for at, piece in enumerate(pieces):
        pairs = [
            (output, gradient[at])
            for output, gradient in zip(_fields(network(piece)), gradients, strict=True)
            if gradient is not None and output.requires_grad
        ]
        torch.autograd.backward([output for output, _ in pairs], [gradient for _, gradient in pairs])
    return {name: term.detach() for name, term in terms.items()}


def _fields(outputs: Outputs) -> tuple[Tensor, ...]:
    return outputs.pooled, outputs.vectors, outputs.patches, outputs.tags, outputs.projected


def _total(terms: Terms) -> Tensor:
    return torch.stack(list(terms.values())).sum()
