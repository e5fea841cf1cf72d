"""Samples without a header, in whatever pieces they come."""

import asyncio
import itertools
from collections.abc import AsyncIterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from services.embedder.errors import AudioCorrupt
from services.embedder.pcm import cut_windows


async def pieces(data: bytes, cuts: list[int]) -> AsyncIterator[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, end in itertools.pairwise(edges):
        yield data[start:end]


@given(samples=st.integers(0, 200), window=st.integers(1, 60), cuts=st.lists(st.integers(0, 1000), max_size=12))
def test_pieces_do_not_matter(samples: int, window: int, cuts: list[int]) -> None:
    sound = np.arange(samples, dtype="<f4")

    async def cut() -> list[NDArray[np.float32]]:
        return [piece async for piece in cut_windows(pieces(sound.tobytes(), cuts), window)]

    found = asyncio.run(cut())
    assert [len(piece) for piece in found[:-1]] == [window] * (len(found) - 1)
    assert all(0 < len(piece) <= window for piece in found)
    assert all(piece.dtype == np.float32 for piece in found)
    np.testing.assert_array_equal(np.concatenate([np.zeros(0, np.float32), *found]), sound)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1.1e6])
@pytest.mark.parametrize("place", [0, 9, 10, 24])
async def test_sample_that_is_no_sound_is_refused(bad: float, place: int) -> None:
    sound = np.zeros(25, "<f4")
    sound[place] = bad
    windows = cut_windows(pieces(sound.tobytes(), [7]), 10)
    for _ in range(place // 10):
        await anext(windows)
    with pytest.raises(AudioCorrupt):
        await anext(windows)
