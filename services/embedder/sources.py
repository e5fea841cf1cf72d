"""Opens a file with libsndfile or with FFmpeg. Checks no length and mixes nothing.

Ogg goes to FFmpeg, whose Vorbis decoder gives the sound of libvorbis to the last bits (135 dB) in half the time, and
its Opus decoder that of libopus (42 dB and better) in less than half. So does an MP3 that does not state its length,
which libsndfile would guess. The rest goes to libsndfile, and what that does not know to FFmpeg again.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import av
import av.error
import numpy as np
import soundfile
from numpy.typing import NDArray

from services.embedder import container
from services.embedder.channels import Layout, stated_layout
from services.embedder.errors import AudioCorrupt, AudioError, NotAudio
from services.embedder.interleaving import interleaved

Float32Array = NDArray[np.float32]

_BLOCK_FRAMES = 32_768
# A block of a thousand channels is shortened, so that it takes no more memory than others.
_BLOCK_NUMBERS = 1 << 20
_UNKNOWN_FRAMES = 1 << 62
# Formats that carry sound in themselves: nothing that refers to other files or addresses.
_AV_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,mp3,flac,ogg,wav,w64,aiff,asf,ape,wv,tta,mpc,mpc8,caf,ac3,eac3,amr,dsf"
)
# They have no header, so that FFmpeg takes any noise for one of them, and guesses their length.
_AV_RAW_FORMATS = {"mp3", "aac", "ac3", "eac3", "amr"}
# How files begin that can be nothing but sound.
_OWN_MARKS = (b"OggS", b"fLaC")


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
    if os.pread(descriptor, 4, 0) == b"OggS":
        try:
            return _open_with_ffmpeg(descriptor)
        except AudioError:  # it wants more of a comment than libvorbis does
            os.lseek(descriptor, 0, os.SEEK_SET)
            source = _open_with_libsndfile(descriptor)
            if source is None:
                raise
            return source
    return _open_with_libsndfile(descriptor) or _open_with_ffmpeg(descriptor)


def _raise_lack_of_memory(error: Exception) -> None:
    if "malloc" in str(error) or "allocate" in str(error):
        raise MemoryError(str(error)) from error


def _block_frames(channels: int) -> int:
    return max(1, min(_BLOCK_FRAMES, _BLOCK_NUMBERS // channels))


def _open_with_libsndfile(descriptor: int) -> Source | None:
    try:
        file = soundfile.SoundFile(descriptor, closefd=False)
    except soundfile.LibsndfileError as error:
        _raise_lack_of_memory(error)
        os.lseek(descriptor, 0, os.SEEK_SET)
        return None
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

    if file.format == "MP3" and not container.states_samples(descriptor):
        file.close()  # it estimates the length by the first frame, and would stop there
        os.lseek(descriptor, 0, os.SEEK_SET)
        return None
    is_stated = 0 < file.frames < _UNKNOWN_FRAMES
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
        if os.pread(descriptor, 4, 0) in _OWN_MARKS:
            raise AudioCorrupt(f"the headers of the file are damaged: {_told(error)}", field="audio") from error
        raise NotAudio("the file is in no audio format that we know", field="audio") from error
    if not opened.streams.audio:
        raise NotAudio(f"the file ({opened.format.name}) has no audio stream", field="audio")
    stream = opened.streams.audio[0]
    if stream.codec_context is None:
        raise NotAudio(f"the sound of the file ({opened.format.name}) is coded in no way that we know", field="audio")
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

    def blocks() -> Iterator[Float32Array]:
        with opened:
            try:
                yield from interleaved(chain([first], decoded), _block_frames(channels))
            except ValueError as error:
                raise DecoderStopped("rate or channels change within the file") from error

    codec = stream.codec_context.name
    return Source(
        codec=f"ogg/{codec}" if opened.format.name == "ogg" else codec,
        rate_hz=first.sample_rate,
        channels=channels,
        layout=tuple(channel.name for channel in first.layout.channels),
        stated_frames=_stated_frames(opened, stream, first.sample_rate, descriptor),
        blocks=blocks(),
    )


def _stated_frames(
    opened: av.container.InputContainer, stream: av.audio.stream.AudioStream, rate_hz: int, descriptor: int
) -> int | None:
    stated = stream.duration
    if opened.format.name in _AV_RAW_FORMATS:  # an estimate by the rate of bits, but for an MP3 that says so itself
        stated = stated if opened.format.name == "mp3" and container.states_samples(descriptor) else None
    if opened.format.name == "ogg":  # FFmpeg goes by the first and the last page that it finds whole
        span = container.ogg_span(descriptor, os.fstat(descriptor).st_size)
        stated = None if span is None else max(stated or 0, span[1] - min(span[0], stream.start_time or 0))
    if not stated or not stream.time_base:
        return None
    return round(float(stated * stream.time_base) * rate_hz)


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
        raise DecoderStopped(_told(error)) from error


def _told(error: Exception) -> str:
    """Return what FFmpeg says, without the number of our descriptor."""
    return str(getattr(error, "strerror", None) or error)
