"""Cuts samples that come without a header into windows as they arrive. Decodes nothing."""

from collections.abc import AsyncIterator

import numpy as np

from services.embedder.audio import LARGEST_SAMPLE
from services.embedder.errors import AudioCorrupt
from services.embedder.model import Float32Array

SAMPLE_BYTES = 4


async def cut_windows(chunks: AsyncIterator[bytes], window_samples: int) -> AsyncIterator[Float32Array]:
    """Cut a stream of little-endian float32 samples; a chunk may end within a sample.

    Args:
        chunks: Bytes in order, a multiple of four together.
        window_samples: Length of every window but the last.

    Yields:
        Shape (window_samples,), float32; the last may be shorter.

    Raises:
        AudioCorrupt: A sample is not finite, or beyond any scale.
    """
    window_bytes = window_samples * SAMPLE_BYTES
    held, filled = bytearray(window_bytes), 0
    async for chunk in chunks:
        rest = memoryview(chunk)
        while rest:
            size = min(len(rest), window_bytes - filled)
            memoryview(held)[filled : filled + size] = rest[:size]  # a bytearray's own slice would copy twice
            filled, rest = filled + size, rest[size:]
            if filled == window_bytes:
                yield _checked(held)
                held, filled = bytearray(window_bytes), 0
    if filled:
        yield _checked(held[:filled])


def _checked(data: bytearray) -> Float32Array:
    window = np.frombuffer(data, "<f4").astype(np.float32, copy=False)
    if not (window.max() <= LARGEST_SAMPLE and window.min() >= -LARGEST_SAMPLE):  # so written, NaN is refused too
        raise AudioCorrupt("the audio holds samples that are not finite, or beyond any scale", field="audio")
    return window
