"""Opens a file with libsndfile or with FFmpeg. Checks no length and mixes nothing.

Ogg goes to FFmpeg, whose Vorbis decoder gives the sound of libvorbis to the last bits (135 dB) in half the time, and
its Opus decoder that of libopus (42 dB and better) in less than half; the rest goes to libsndfile, and what that does
not know to FFmpeg again.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import av
import av.error
import numpy as np
import soundfile
from av.filter import Graph
from numpy.typing import NDArray

from services.embedder import container
from services.embedder.channels import Layout, stated_layout
from services.embedder.errors import AudioCorrupt, NotAudio

Float32Array = NDArray[np.float32]

_BLOCK_FRAMES = 16_384
# A block of a thousand channels is shortened, so that it takes no more memory than others.
_BLOCK_NUMBERS = 1 << 20
_UNKNOWN_FRAMES = 1 << 62
# Formats that carry sound in themselves: nothing that refers to other files or addresses.
_AV_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,mp3,flac,ogg,wav,w64,aiff,asf,ape,wv,tta,mpc,mpc8,caf,ac3,eac3,amr,dsf"
)
# FFmpeg takes any noise for one of these, which have no header.
_AV_RAW_FORMATS = {"mp3", "aac", "ac3", "eac3", "amr"}


class DecoderStopped(Exception):
    """The decoder gave up before the end of the file."""


@dataclass(slots=True)
class Source:
    """An opened file.

    Attributes:
        codec: Format and coding, lower case.
        rate_hz: Rate of the file.
        channels: Its channels.
        layout: Names of the channels in their order, as FFmpeg writes them; None where they are not known.
        stated_frames: How many frames the header states; None where that is unknown or an estimate.
        blocks: Shape (frames, channels), float32, in order; raises DecoderStopped where the decoder gives up.
    """

    codec: str
    rate_hz: int
    channels: int
    layout: Layout | None
    stated_frames: int | None
    blocks: Iterator[Float32Array]


def open_source(descriptor: int) -> Source:
    """Open a file by its content.

    Args:
        descriptor: A regular file, opened for reading, at its beginning; it stays open.

    Raises:
        NotAudio: Neither library knows the format, or there is no sound in it.
        AudioCorrupt: The format is known and nothing decodes.
        MemoryError: The process may not have as much as the decoder wants.
    """
    if os.pread(descriptor, 4, 0) != b"OggS":
        try:
            return _open_with_libsndfile(descriptor)
        except soundfile.LibsndfileError as error:
            _raise_lack_of_memory(error)
        os.lseek(descriptor, 0, os.SEEK_SET)
    return _open_with_ffmpeg(descriptor)


def _raise_lack_of_memory(error: Exception) -> None:
    if "malloc" in str(error) or "allocate" in str(error):
        raise MemoryError(str(error)) from error


def _block_frames(channels: int) -> int:
    return max(1, min(_BLOCK_FRAMES, _BLOCK_NUMBERS // channels))


def _open_with_libsndfile(descriptor: int) -> Source:
    file = soundfile.SoundFile(descriptor, closefd=False)
    frames = _block_frames(file.channels)

    def blocks() -> Iterator[Float32Array]:
        with file:
            while True:
                try:
                    block = file.read(frames, dtype="float32", always_2d=True)
                except soundfile.LibsndfileError as error:
                    _raise_lack_of_memory(error)
                    raise DecoderStopped(str(error)) from error
                if not len(block):
                    return
                yield block

    is_stated = 0 < file.frames < _UNKNOWN_FRAMES
    if file.format == "MP3":
        is_stated = is_stated and container.states_samples(descriptor)
    codec = f"{file.format}/{file.subtype}".lower()
    layout = stated_layout(descriptor, file.channels)
    return Source(codec, file.samplerate, file.channels, layout, file.frames if is_stated else None, blocks())


def _open_with_ffmpeg(descriptor: int) -> Source:
    file = os.fdopen(descriptor, "rb", closefd=False)
    try:
        # An empty whitelist of protocols: only what we hand over is read, whatever the file refers to.
        opened = av.open(
            file, options={"format_whitelist": _AV_FORMATS, "protocol_whitelist": ""}, metadata_errors="ignore"
        )
    except MemoryError:
        raise
    except (av.error.FFmpegError, ValueError) as error:
        raise NotAudio("the file is in no audio format that we know", field="audio") from error
    if not opened.streams.audio:
        raise NotAudio(f"the file ({opened.format.name}) has no audio stream", field="audio")
    stream = opened.streams.audio[0]
    if not isinstance(opened, av.container.InputContainer):
        raise AssertionError("a file that is read opened for writing")
    decoded = _decoded(opened, stream)
    try:
        first = next(decoded, None)
    except DecoderStopped as stopped:
        raise AudioCorrupt(
            f"no sample of the file ({opened.format.name}) decodes: {stopped}", field="audio"
        ) from stopped
    if first is None:
        if opened.format.name in _AV_RAW_FORMATS:
            raise NotAudio("the file is in no audio format that we know", field="audio")
        raise AudioCorrupt(f"no sample of the file ({opened.format.name}) decodes", field="audio")
    channels = len(first.layout.channels)
    stated = None
    if stream.duration and stream.time_base:
        stated = round(float(stream.duration * stream.time_base) * first.sample_rate)

    def blocks() -> Iterator[Float32Array]:
        with opened:
            yield from _joined(first, decoded, _block_frames(channels))

    codec = stream.codec_context.name
    return Source(
        codec=f"ogg/{codec}" if opened.format.name == "ogg" else codec,
        rate_hz=first.sample_rate,
        channels=channels,
        layout=tuple(channel.name for channel in first.layout.channels),
        stated_frames=stated,
        blocks=blocks(),
    )


def _decoded(opened: av.container.InputContainer, stream: av.audio.stream.AudioStream) -> Iterator[av.AudioFrame]:
    """Decode packet by packet; a bad one is left out, as players do, and tells in the length that came."""
    stream.codec_context.thread_count = 1  # each would take address space
    try:
        for packet in opened.demux(stream):
            try:
                frames = packet.decode()
            except MemoryError:
                raise
            except av.error.FFmpegError:
                continue
            yield from frames
    except MemoryError:
        raise
    except (av.error.FFmpegError, ValueError) as error:
        raise DecoderStopped(str(error)) from error


def _joined(first: av.AudioFrame, rest: Iterator[av.AudioFrame], block_frames: int) -> Iterator[Float32Array]:
    """Join frames, which are as short as 120 samples, to blocks: all that follows costs by the call.

    FFmpeg does the work, on frames of eight planes and more too, which PyAV hands to numpy wrongly.
    """
    joined = av.AudioFifo()
    to_numbers = _Interleaver(first)

    def join(frame: av.AudioFrame) -> None:
        frame.pts = None  # gaps between packets are no sound
        try:
            joined.write(frame)
        except ValueError as error:
            raise DecoderStopped("rate or channels change within the file") from error

    join(first)
    failure: DecoderStopped | None = None
    try:
        for frame in rest:
            join(frame)
            while joined.samples >= block_frames:
                yield to_numbers(joined.read(block_frames))
    except DecoderStopped as stopped:
        failure = stopped
    if joined.samples:
        yield to_numbers(joined.read(0, True))
    if failure is not None:
        raise failure


class _Interleaver:
    """Makes arrays of shape (samples, channels), float32, of frames of one kind."""

    def __init__(self, kind: av.AudioFrame) -> None:
        self._channels = len(kind.layout.channels)
        self._graph = Graph()
        self._graph.threads = 1
        source = self._graph.add_abuffer(sample_rate=kind.sample_rate, format=kind.format.name, layout=kind.layout.name)
        format_ = self._graph.add("aformat", "sample_fmts=flt")
        self._graph.link_nodes(source, format_, self._graph.add("abuffersink")).configure()

    def __call__(self, frame: av.AudioFrame | None) -> Float32Array:
        self._graph.push(frame)
        plain = self._graph.pull()
        return plain.to_ndarray().reshape(-1, self._channels)
