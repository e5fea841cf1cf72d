"""Opens a file with libsndfile, or with FFmpeg where that does not know it. Checks no length and mixes nothing."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

import av
import av.error
import numpy as np
import soundfile
from numpy.typing import NDArray

from services.embedder import container
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
        stated_frames: How many frames the header states; None where that is unknown or an estimate.
        blocks: Shape (frames, channels), float32, in order; raises DecoderStopped where the decoder gives up.
    """

    codec: str
    rate_hz: int
    channels: int
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
    try:
        return _open_with_libsndfile(descriptor)
    except soundfile.LibsndfileError as error:
        _raise_lack_of_memory(error)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return _open_with_ffmpeg(descriptor)


def _raise_lack_of_memory(error: Exception) -> None:
    if "malloc" in str(error) or "allocate" in str(error):
        raise MemoryError(str(error)) from error


def _open_with_libsndfile(descriptor: int) -> Source:
    file = soundfile.SoundFile(descriptor, closefd=False)
    frames = max(1, min(_BLOCK_FRAMES, _BLOCK_NUMBERS // file.channels))

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
    return Source(codec, file.samplerate, file.channels, file.frames if is_stated else None, blocks())


def _open_with_ffmpeg(descriptor: int) -> Source:
    file = os.fdopen(descriptor, "rb", closefd=False)
    try:
        # An empty whitelist of protocols: only what we hand over is read, whatever the file refers to.
        opened = av.open(
            file, options={"format_whitelist": _AV_FORMATS, "protocol_whitelist": ""}, metadata_errors="ignore"
        )
    except (av.error.FFmpegError, ValueError) as error:
        raise NotAudio("the file is in no audio format that we know", field="audio") from error
    if not opened.streams.audio:
        raise NotAudio(f"the file ({opened.format.name}) has no audio stream", field="audio")
    stream = opened.streams.audio[0]
    if not isinstance(opened, av.container.InputContainer):
        raise AssertionError("a file that is read opened for writing")
    packets = _decoded(opened, stream)
    first = next(packets, None)
    if first is None:
        if opened.format.name in _AV_RAW_FORMATS:
            raise NotAudio("the file is in no audio format that we know", field="audio")
        raise AudioCorrupt(f"no sample of the file ({opened.format.name}) decodes", field="audio")
    rate_hz = stream.codec_context.sample_rate
    stated = None
    if stream.duration and stream.time_base:
        stated = round(float(stream.duration * stream.time_base) * rate_hz)

    def blocks() -> Iterator[Float32Array]:
        with opened:
            yield first
            yield from packets

    return Source(stream.codec_context.name, rate_hz, first.shape[1], stated, blocks())


def _decoded(opened: av.container.InputContainer, stream: av.audio.stream.AudioStream) -> Iterator[Float32Array]:
    """Decode packet by packet; a bad one is left out, as players do, and tells in the length that came."""
    to_planes = av.AudioResampler(format="fltp")
    try:
        for packet in opened.demux(stream):
            try:
                frames = packet.decode()
            except MemoryError:
                raise
            except av.error.FFmpegError:
                continue
            for frame in frames:
                for plain in to_planes.resample(frame):
                    yield np.ascontiguousarray(plain.to_ndarray().T, dtype=np.float32)
    except (av.error.FFmpegError, ValueError) as error:
        raise DecoderStopped(str(error)) from error
