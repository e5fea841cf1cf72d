"""Which channel is which, on headers written here byte by byte, and what each counts in mono."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.embedder.audio import _mixed
from services.embedder.channels import Layout, mono_weights, of_mask, stated_layout

HALF, SIDE = 0.5, 0.5**0.5
FIVE_ONE = ("FL", "FR", "FC", "LFE", "BL", "BR")
SEVEN_ONE = (*FIVE_ONE, "SL", "SR")


@pytest.mark.parametrize(
    ("layout", "weights"),
    [
        (("FL", "FR", "LFE"), [HALF, HALF, 0]),
        (("FL", "FR", "FC"), [HALF, HALF, SIDE]),
        (("FL", "FR", "BL", "BR"), [HALF, HALF, SIDE / 2, SIDE / 2]),
        (("FL", "FR", "FC", "BC"), [HALF, HALF, SIDE, HALF]),
        (("FL", "FR", "FC", "BL", "BR"), [HALF, HALF, SIDE, SIDE / 2, SIDE / 2]),
        (FIVE_ONE, [HALF, HALF, SIDE, 0, SIDE / 2, SIDE / 2]),
        (("FL", "FR", "FC", "LFE", "SL", "SR"), [HALF, HALF, SIDE, 0, SIDE / 2, SIDE / 2]),
        (SEVEN_ONE, [HALF, HALF, SIDE, 0, *[SIDE / 2] * 4]),
    ],
)
def test_named_channels_count_as_in_the_standard(layout: Layout, weights: list[float]) -> None:
    np.testing.assert_allclose(mono_weights(layout, len(layout)), weights, rtol=1e-7)


@pytest.mark.parametrize(
    ("layout", "channels"),
    [
        (None, 6),
        (("NONE",) * 6, 6),
        (("FL", "FR", "FC", "LFE", "TFL", "TFR"), 6),
        (FIVE_ONE, 5),
        (("FC",), 1),
        (("FL", "FR"), 2),
        (("FC", "LFE"), 2),
        (("LFE", "LFE", "LFE"), 3),
        (None, 65_535),
    ],
)
def test_all_others_are_averaged(layout: Layout | None, channels: int) -> None:
    np.testing.assert_array_equal(mono_weights(layout, channels), np.full(channels, 1 / channels, np.float32))


@given(st.integers(1, 40), st.integers(0, 1000))
def test_two_channels_are_mixed_as_numpy_does_to_the_last_bit(frames: int, seed: int) -> None:
    block = np.random.default_rng(seed).standard_normal((frames, 2)).astype(np.float32)
    np.testing.assert_array_equal(_mixed(block, mono_weights(("FL", "FR"), 2)), block.mean(axis=1))


def test_masks_name_channels_from_the_lowest_bit() -> None:
    assert of_mask(0x3F, 6) == FIVE_ONE
    assert of_mask(0x60F, 6) == ("FL", "FR", "FC", "LFE", "SL", "SR")
    assert of_mask(0x63F, 8) == SEVEN_ONE
    assert of_mask(0x3F, 8) is None
    assert of_mask(0, 6) is None
    assert of_mask(0x1003F, 7) is None  # a speaker above the head


def wave(kind: int, mask: int | None = None, before: bytes = b"") -> bytes:
    form = struct.pack("<HHIIHH", kind, 6, 48_000, 0, 12, 16)
    if mask is not None:
        form += struct.pack("<HHI", 22, 16, mask) + b"\0" * 16
    return b"RIFF\0\0\0\0WAVE" + before + b"fmt " + struct.pack("<I", len(form)) + form + b"data"


def flac(comment: bytes = b"") -> bytes:
    return b"fLaC\0\0\0\x22" + b"\0" * 34 + b"\x84\0\0\0" + comment


STATED = {
    "plain wave of six": (wave(1), 6, FIVE_ONE),
    "plain wave of eight": (wave(1), 8, SEVEN_ONE),
    "plain wave of four": (wave(1), 4, None),
    "wave with a mask": (wave(0xFFFE, 0x60F), 6, ("FL", "FR", "FC", "LFE", "SL", "SR")),
    "wave with a mask of another number": (wave(0xFFFE, 0x3), 6, None),
    "wave with an empty mask": (wave(0xFFFE, 0), 6, None),
    "wave with a chunk before": (wave(0xFFFE, 0x3F, b"junk\3\0\0\0abc\0"), 6, FIVE_ONE),
    "wave with endless chunks": (b"RIFF\0\0\0\0WAVE" + b"junk\0\0\0\0" * 1000 + wave(1)[12:], 6, None),
    "wave cut off": (wave(1)[:25], 6, None),
    "flac of three": (flac(), 3, ("FL", "FR", "FC")),
    "flac of five": (flac(), 5, ("FL", "FR", "FC", "BL", "BR")),
    "flac with a mask": (flac(b"WAVEFORMATEXTENSIBLE_CHANNEL_MASK=0xB"), 3, ("FL", "FR", "LFE")),
    "flac with an empty mask": (flac(b"WaveFormatExtensible_channel_mask=0x0"), 6, None),
    "anything else": (b"FORM\0\0\0\0AIFF", 6, None),
    "nothing": (b"", 6, None),
}


@pytest.mark.parametrize("name", STATED)
def test_headers_are_read(tmp_path: Path, name: str) -> None:
    data, channels, layout = STATED[name]
    path = tmp_path / "file"
    path.write_bytes(data)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        assert stated_layout(descriptor, channels) == layout
        assert os.lseek(descriptor, 0, os.SEEK_CUR) == 0
    finally:
        os.close(descriptor)
