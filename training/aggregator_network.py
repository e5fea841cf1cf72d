"""The transformer that aggregates windows as it learns, in torch; the embedder serves it in numpy.

Names of the parameters are those of the artifact's tensors, without their prefix and but for `mask`, which is not kept.
"""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from services.embedder.transformer_aggregator import EPSILON, HEADS, LAYERS, positions

if TYPE_CHECKING:
    from collections.abc import Iterable

    from training.aggregator_config import TransformerConfig

# As BERT draws its first weights.
_FIRST_DEVIATION = 0.02


class AggregatorNetwork(nn.Module):
    """[CLS] and windows through four pre-norm layers; every token's output is a vector of the encoder's space.

    Args:
        dim: Length of the encoder's vectors.
        config: Sizes.
    """

    def __init__(self, dim: int, config: "TransformerConfig") -> None:
        super().__init__()
        width = config.width
        self.dim = dim
        self.cls = nn.Parameter(torch.zeros(width))
        self.mask = nn.Parameter(torch.zeros(width))
        self.input = nn.Linear(dim, width)
        self.layers = nn.ModuleList(_Layer(width, config.hidden) for _ in range(LAYERS))
        self.norm = nn.LayerNorm(width, eps=EPSILON)
        self.output = nn.Linear(width, dim)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2 or name in ("cls", "mask"):
                nn.init.normal_(parameter, std=_FIRST_DEVIATION)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(
        self, vectors: Tensor, seconds: Tensor, is_masked: Tensor | None = None, first: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Run tracks of different lengths, side by side.

        Args:
            vectors: Unit vectors, shape (batch, n, dim); what stands where there is no window does not matter.
            seconds: Of each window, shape (batch, n); 0 where there is none.
            is_masked: Windows whose vector is hidden, shape (batch, n); None for none.
            first: Position of each first window, shape (batch,), integers; None for 0.

        Returns:
            What [CLS] says, shape (batch, dim), and each window, shape (batch, n, dim); of any norm.
        """
        tokens = self.input(vectors * self.dim**0.5)  # (batch, n, width)
        if is_masked is not None:
            tokens = torch.where(is_masked[..., None], self.mask, tokens)
        tokens = tokens + self._positions(tokens, first)
        tokens = torch.cat([self.cls.expand(len(tokens), 1, -1), tokens], dim=1)  # (batch, 1 + n, width)
        # The logarithm of 0 seconds is minus infinity: no attention for padding.
        weights = (seconds / seconds.amax(dim=1, keepdim=True)).log()
        weights = functional.pad(weights, (1, 0))[:, None, None, :]  # (batch, 1, 1, 1 + n)
        for layer in self.layers:
            tokens = layer(tokens, weights)
        said = self.output(self.norm(tokens))
        return said[:, 0], said[:, 1:]

    def trained(self) -> "Iterable[tuple[str, nn.Parameter]]":
        """Name the weights that learn."""
        return self.named_parameters()

    def _positions(self, tokens: Tensor, first: Tensor | None) -> Tensor:
        _, count, width = tokens.shape
        if first is None:
            return torch.from_numpy(positions(count, width))
        table = torch.from_numpy(positions(int(first.max()) + count, width))
        return table[first[:, None] + torch.arange(count)]  # (batch, n, width)


class _Layer(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, eps=EPSILON)
        self.queries_keys_values = nn.Linear(width, 3 * width)
        self.attended = nn.Linear(width, width)
        self.feed_forward_norm = nn.LayerNorm(width, eps=EPSILON)
        self.widen = nn.Linear(width, hidden)
        self.narrow = nn.Linear(hidden, width)

    def forward(self, tokens: Tensor, weights: Tensor) -> Tensor:
        batch, count, width = tokens.shape
        joined = self.queries_keys_values(self.attention_norm(tokens)).view(batch, count, 3, HEADS, width // HEADS)
        queries, keys, values = joined.permute(2, 0, 3, 1, 4)  # each (batch, heads, 1 + n, width / heads)
        scores = queries @ keys.transpose(2, 3) * (width // HEADS) ** -0.5 + weights
        heads = (scores.softmax(dim=3) @ values).transpose(1, 2).reshape(batch, count, width)
        tokens = tokens + self.attended(heads)
        changed: Tensor = tokens + self.narrow(functional.relu(self.widen(self.feed_forward_norm(tokens))))
        return changed
