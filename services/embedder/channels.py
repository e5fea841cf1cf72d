"""Says which channel of a file is which, and how much each counts in mono. Decodes nothing.

Formats differ: WAVE names its channels by a mask, FLAC fixes them by their number and may carry the same mask as a
comment, AIFF says nothing. A WAVE file without mask says nothing either, but six channels are 5.1 and eight are 7.1
wherever one meets them. FFmpeg tells the channels of everything that it decodes.
"""

import os
import re
import struct

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
Layout = tuple[str, ...]

_SIDE_LEVEL = 0.5**0.5
# How much of a channel reaches the left and the right of a stereo mix, both together and halved. ITU-R BS.775-4,
# annex 4, table 2 (3/2 to 2/0): the front centre and the surround channels count 0.7071 in the side or sides where they
# are heard, and the low-frequency channel is left out. The standard ends at five channels; for those behind and beside
# them, what FFmpeg takes (libswresample, rematrix.c): a back centre is a surround channel on both sides.
_MONO_WEIGHTS = {
    "FL": 0.5,
    "FR": 0.5,
    "FC": _SIDE_LEVEL,
    "LFE": 0.0,
    "BL": 0.5 * _SIDE_LEVEL,
    "BR": 0.5 * _SIDE_LEVEL,
    "FLC": 0.5,
    "FRC": 0.5,
    "BC": 0.5,
    "SL": 0.5 * _SIDE_LEVEL,
    "SR": 0.5 * _SIDE_LEVEL,
}
# In the order of the bits of a WAVE mask, lowest first; higher bits are speakers above the head.
_MASK_BITS = tuple(_MONO_WEIGHTS)
_5_1: Layout = ("FL", "FR", "FC", "LFE", "BL", "BR")
_7_1: Layout = (*_5_1, "SL", "SR")
# RFC 9639, section 9.1.3.
_FLAC: dict[int, Layout] = {
    3: ("FL", "FR", "FC"),
    4: ("FL", "FR", "BL", "BR"),
    5: ("FL", "FR", "FC", "BL", "BR"),
    6: _5_1,
    7: ("FL", "FR", "FC", "LFE", "BC", "SL", "SR"),
    8: _7_1,
}
_PLAIN_WAVE: dict[int, Layout] = {6: _5_1, 8: _7_1}
_EXTENSIBLE = 0xFFFE
_FLAC_COMMENT = re.compile(rb"WAVEFORMATEXTENSIBLE_CHANNEL_MASK=0x([0-9A-Fa-f]{1,8})", re.IGNORECASE)
# Comments lie at the beginning; what lies behind a large picture is not worth reading for.
_HEAD_BYTES = 65_536
_MAX_CHUNKS = 64


def mono_weights(layout: Layout | None, channels: int) -> Float32Array:
    """Return what each channel counts in mono, shape (channels,), float32.

    Two channels make their mean, whatever they are. More make the mean of the two channels of their stereo mix, without
    gain: a file of six channels of which only the front ones sound gives what its stereo twin gives. Channels whose
    places are not known make the plain mean of all.

    Args:
        layout: Names in the order of the channels, as FFmpeg writes them; None where they are not known.
        channels: How many there are.
    """
    if channels > 2 and layout is not None and len(layout) == channels and set(layout) <= _MONO_WEIGHTS.keys():
        weights = np.array([_MONO_WEIGHTS[name] for name in layout], np.float32)
        if weights.any():  # a file of low-frequency channels alone is heard as it is
            return weights
    return np.full(channels, 1 / channels, np.float32)


def stated_layout(descriptor: int, channels: int) -> Layout | None:
    """Read the layout that a WAVE or FLAC file states; None for other files, and where nothing is stated.

    Leaves the position of the descriptor alone.
    """
    head = os.pread(descriptor, 4, 0)
    if head in (b"RIFF", b"RF64"):
        return _wave_layout(descriptor, channels)
    if head == b"fLaC":
        stated = _FLAC_COMMENT.search(os.pread(descriptor, _HEAD_BYTES, 0))
        return of_mask(int(stated[1], 16), channels) if stated else _FLAC.get(channels)
    return None


def of_mask(mask: int, channels: int) -> Layout | None:
    """Name the channels of a WAVE mask in their order; None where it has another number of them, or unknown ones."""
    names = tuple(name for bit, name in enumerate(_MASK_BITS) if mask >> bit & 1)
    return names if len(names) == channels and mask >> len(_MASK_BITS) == 0 else None


def _wave_layout(descriptor: int, channels: int) -> Layout | None:
    position = 12
    for _ in range(_MAX_CHUNKS):
        chunk = os.pread(descriptor, 8 + 40, position)
        if len(chunk) < 8 + 16:
            return None
        if chunk[:4] == b"fmt ":
            (kind,) = struct.unpack_from("<H", chunk, 8)
            if kind == _EXTENSIBLE and len(chunk) >= 8 + 24:
                return of_mask(struct.unpack_from("<I", chunk, 8 + 20)[0], channels)
            return _PLAIN_WAVE.get(channels)
        (length,) = struct.unpack_from("<I", chunk, 4)
        position += 8 + length + length % 2
    return None
