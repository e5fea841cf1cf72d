"""Tiny networks and corpora for the tests of training."""

from pathlib import Path

import numpy as np

from training.catalogue import Split
from training.config import NetworkConfig
from training.corpus import Content, Corpus, Kind, Take

TINY = NetworkConfig(encoder_dim=16, encoder_depth=1, conv_dim=2, attention_heads=2, intermediate_size=16)


def fill(folder: Path, *, takes: int = 12, seconds: int = 12, kind: Kind = Kind.ORIGINAL) -> Corpus:
    """Fill a corpus with noise that has a colour and a meaning of its own for each take."""
    corpus = Corpus(folder)
    for number in range(takes):
        generator = np.random.default_rng([number, list(Kind).index(kind)])
        colour = generator.normal(0, 10, 128)
        meaning = generator.gamma(0.5, 0.3, 400)
        take = Take(
            f"{kind}-{number:03}",
            kind,
            Split.VALIDATION if number % 6 == 5 else Split.TRAIN,
            f"group {number // 2}",
            f"music/{number}.ogg@0+{seconds}",
            float(seconds),
        )
        corpus.add(
            take,
            Content(
                (generator.normal(-10, 5, (100 * seconds, 128)) + colour).astype(np.float16),
                np.tile(meaning, (seconds - 2, 1)).astype(np.float16),
                generator.uniform(0.01, 0.5, (seconds - 2, 100)).astype(np.float16),
            ),
        )
    return corpus
