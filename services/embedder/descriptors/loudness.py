"""Measures loudness and peak of a file's own channels, at its own rate, as its blocks come."""

import av.error
import numpy as np
from av import AudioFrame
from av.filter import Graph
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]

# Below it the K-weighting, whose shelf begins at 1.7 kHz, is not what the standard means.
_MIN_RATE_HZ = 8_000
# The filter keeps three seconds of doubles for each channel: at 655,350 Hz and 8 channels hundreds of MB.
_MAX_RATE_HZ = 192_000
# Files with more are no music; measuring every channel of a thousand would only take time.
_MAX_CHANNELS = 8
# Samples times channels handed over at a time: the filter copies them.
_PIECE_NUMBERS = 32_768
_LAYOUTS = {1: "mono", 2: "stereo"}
_KEY = "lavfi.r128.I"
# What the filter says where no block passed its gate.
_NOTHING_LUFS = -70.0
# Where its histogram ends; what counts twice, as mono does, comes out above.
_LOUDEST_LUFS = 10.0


class LoudnessMeter:
    """Integrated loudness in LUFS by EBU R 128 (ITU-R BS.1770-4), measured by FFmpeg's filter `ebur128`.

    Blocks of 400 ms that overlap by 75 % are K-weighted; those under −70 LUFS and then those more than 10 LU under the
    mean of the rest are left out. The filter keeps histograms in steps of 0.01 LU, so its memory does not grow.
    A mono file counts as two equal channels, because that is how it is played. More than two channels are taken
    to come in the order of WAVE files: the surround channels weigh 1.41 and the low-frequency channel nothing.

    Range −70 to 10; unknown for silence, for less than 400 ms, below 8 kHz, above 192 kHz and above 8 channels.
    """

    def __init__(self) -> None:
        self._graph: Graph | None = None
        self._is_unknown = False
        self._layout = ""
        self._frames = 0
        self._last: AudioFrame | None = None

    def push(self, block: Float32Array, rate_hz: int) -> None:
        """Take the next samples, shape (frames, channels), float32; rate and channels never change."""
        channels = block.shape[1]
        if self._is_unknown or not len(block):
            return
        if not _MIN_RATE_HZ <= rate_hz <= _MAX_RATE_HZ or channels > _MAX_CHANNELS:
            self._is_unknown = True
            return
        try:
            if self._graph is None:
                self._layout = _LAYOUTS.get(channels, f"{channels}c")
                self._graph = _measuring_graph(self._layout, rate_hz)
            step = _PIECE_NUMBERS // channels
            for start in range(0, len(block), step):
                self._measure(self._graph, block[start : start + step], rate_hz)
        except (av.error.FFmpegError, ValueError):  # a file may be odd; its track is worth more than its loudness
            self._is_unknown = True

    def integrated_lufs(self) -> float | None:
        """Return the loudness of everything so far that fills steps of 100 ms, None where there is none."""
        if self._is_unknown or self._last is None:
            return None
        found = float(self._last.metadata.get(_KEY, _NOTHING_LUFS))
        return None if found <= _NOTHING_LUFS else min(found, _LOUDEST_LUFS)

    def _measure(self, graph: Graph, piece: Float32Array, rate_hz: int) -> None:
        frame = AudioFrame.from_ndarray(
            np.ascontiguousarray(piece, dtype=np.float64).reshape(1, -1), format="dbl", layout=self._layout
        )
        frame.sample_rate, frame.pts = rate_hz, self._frames
        self._frames += len(piece)
        graph.push(frame)
        while True:
            try:
                measured = graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            if isinstance(measured, AudioFrame):
                self._last = measured  # only the last one's figures matter, and reading them costs a quarter of all


class PeakMeter:
    """Sample peak in dBFS: the largest magnitude of any channel, in decibels below full scale.

    It is measured before mixing and resampling. The wave between the samples may go higher, mostly by less than 1 dB.
    Range up to 120 (float files may clip); unknown for digital silence.
    """

    def __init__(self) -> None:
        self._peak = 0.0

    def push(self, block: Float32Array) -> None:
        """Take the next samples, shape (frames, channels), float32."""
        if block.size:
            self._peak = max(self._peak, float(block.max()), -float(block.min()))

    def dbfs(self) -> float | None:
        """Return the peak of everything so far."""
        return 20 * float(np.log10(self._peak)) if self._peak > 0 else None


def _measuring_graph(layout: str, rate_hz: int) -> Graph:
    graph = Graph()
    graph.threads = 1  # each would take address space
    source = graph.add_abuffer(sample_rate=rate_hz, format="dbl", layout=layout)
    meter = graph.add("ebur128", "metadata=1:framelog=quiet:dualmono=1:peak=none")
    sink = graph.add("abuffersink")
    graph.link_nodes(source, meter, sink).configure()
    return graph
