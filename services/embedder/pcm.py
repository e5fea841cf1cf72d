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
    held = bytearray()
    async for chunk in chunks:
        rest = memoryview(chunk)
        while len(held) + len(rest) >= window_bytes:
            missing = window_bytes - len(held)
            yield _checked(held + rest[:missing])
            held, rest = bytearray(), rest[missing:]
        held += rest
    if held:
        yield _checked(held)


def _checked(data: bytearray) -> Float32Array:
    window = np.frombuffer(data, "<f4").astype(np.float32, copy=False)
    if not np.abs(window).max() <= LARGEST_SAMPLE:  # written so that NaN is refused too
        raise AudioCorrupt("the audio holds samples that are not finite, or beyond any scale", field="audio")
    return window
