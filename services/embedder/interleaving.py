"""Makes blocks of numbers of the frames that FFmpeg decodes, whatever their format and length."""

from collections.abc import Iterator

import numpy as np
from av import AudioFifo, AudioFrame
from av.filter import Graph
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]


def interleaved(frames: Iterator[AudioFrame], block_frames: int) -> Iterator[Float32Array]:
    """Join frames, which are as short as 120 samples, to blocks: all that follows costs by the call.

    FFmpeg joins and interleaves, so that frames of eight planes and more work too: PyAV hands those to numpy wrongly.

    Args:
        frames: Of one rate, layout and format.
        block_frames: Length of every block but the last.

    Yields:
        Shape (block_frames, channels), float32.

    Raises:
        ValueError: Rate, layout or format change; what came before has been handed on then. Also what `frames` raises.
    """
    joined = AudioFifo()
    to_numbers: _Interleaver | None = None
    failure: Exception | None = None
    try:
        for frame in frames:
            to_numbers = to_numbers or _Interleaver(frame)
            frame.pts = None  # a gap between packets is no sound
            joined.write(frame)
            while joined.samples >= block_frames:
                yield to_numbers(joined.read(block_frames))
    except Exception as error:
        failure = error
    if to_numbers is not None and joined.samples:
        yield to_numbers(joined.read(0, True))
    if failure is not None:
        raise failure


class _Interleaver:
    """Makes arrays of shape (samples, channels), float32, of frames of one kind."""

    def __init__(self, kind: AudioFrame) -> None:
        self._channels = len(kind.layout.channels)
        self._graph = Graph()
        self._graph.threads = 1  # each would take address space
        source = self._graph.add_abuffer(sample_rate=kind.sample_rate, format=kind.format.name, layout=kind.layout.name)
        interleaver = self._graph.add("aformat", "sample_fmts=flt")
        self._graph.link_nodes(source, interleaver, self._graph.add("abuffersink")).configure()

    def __call__(self, frame: AudioFrame | None) -> Float32Array:
        self._graph.push(frame)
        packed = self._graph.pull()
        if not isinstance(packed, AudioFrame):
            raise ValueError("FFmpeg gave no sound")
        return packed.to_ndarray().reshape(-1, self._channels).astype(np.float32, copy=False)
