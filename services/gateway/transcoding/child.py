"""The process that transcodes one file: limited, and free to die. Started by `process`.

It reads one open file and writes another one; it opens no path and no address. It ends with 0 when the file is made;
otherwise it may say why, as JSON.
"""

import errno
import json
import os
import sys
from collections.abc import Iterator

import av
import av.error

from services.chassis import confinement

_NICENESS = 10
# Reasons that it tells.
BROKEN, TOO_LONG, TOO_LARGE, NO_MEMORY, NO_ROOM = "BROKEN", "TOO_LONG", "TOO_LARGE", "NO_MEMORY", "NO_ROOM"

# Formats that carry sound in themselves: nothing that refers to other files or addresses.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,mp3,flac,ogg,wav,w64,aiff,asf,ape,wv,tta,mpc,mpc8,caf,ac3,eac3,amr,dsf"
)
_ENCODERS = {"mp3": ("libmp3lame", "mp3"), "ogg": ("libopus", "ogg"), "flac": ("flac", "flac")}
# Rates that every player takes.
_RATES_HZ = {"mp3": (32_000, 44_100, 48_000), "ogg": (48_000,), "flac": (44_100, 48_000, 88_200, 96_000)}
_USUAL_RATE_HZ = {"mp3": 44_100, "ogg": 48_000, "flac": 48_000}


class RefusedError(Exception):
    """The file is not transcoded; the text is one of the reasons."""


def main(
    source: int, sink: int, report: int, parent_pid: int, kind: str, kbps: int, max_bytes: int, max_seconds: int,
    memory_mib: int, cpu_s: int,
) -> int:  # fmt: skip
    """Transcode.

    Args:
        source: Descriptor of the file that is read.
        sink: Descriptor of the file that is written.
        report: Descriptor of a pipe.
        parent_pid: Process that started this one.
        kind: "mp3", "ogg" or "flac".
        kbps: Of a kind that loses something.
        max_bytes: Of what is written.
        max_seconds: Of what is read.
        memory_mib: Address space beyond that of the idle process.
        cpu_s: CPU seconds.

    Returns:
        Status of the process.
    """
    confinement.enter(parent_pid, _NICENESS, memory_mib, max_bytes, cpu_s)
    try:
        _transcode(source, sink, kind, kbps, max_seconds)
        return 0
    except RefusedError as error:
        reason = str(error)
    except MemoryError:
        reason = NO_MEMORY
    except Exception as error:  # the border of this process: a file must not be able to end it with a traceback
        reason = _reason_of(error, os.fstat(sink).st_size >= max_bytes)
    os.write(report, json.dumps({"reason": reason}).encode())
    return 1


def _reason_of(error: Exception, is_full: bool) -> str:
    if is_full or (isinstance(error, OSError) and error.errno == errno.EFBIG):
        return TOO_LARGE
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return NO_ROOM
    return NO_MEMORY if "allocate" in str(error) else BROKEN


def _transcode(source: int, sink: int, kind: str, kbps: int, max_seconds: int) -> None:
    codec, container = _ENCODERS[kind]
    with os.fdopen(source, "rb", closefd=False) as file, os.fdopen(sink, "wb", closefd=False) as made:
        # An empty whitelist of protocols: only what is handed over is read, whatever the file refers to.
        options = {"format_whitelist": _FORMATS, "protocol_whitelist": ""}
        with av.open(file, "r", options=options, metadata_errors="ignore") as opened:
            if not opened.streams.audio:
                raise RefusedError(BROKEN)
            frames = _frames(opened, opened.streams.audio[0], max_seconds)
            first = next(frames, None)
            if first is None:
                raise RefusedError(BROKEN)
            rate = first.sample_rate
            chosen = rate if rate in _RATES_HZ[kind] else _USUAL_RATE_HZ[kind]
            layout = "mono" if len(first.layout.channels) == 1 else "stereo"
            # Nothing of what the file says of itself goes along.
            # The same bytes each time, everywhere: ranges of one ETag may come from copies of many processes.
            with av.open(made, "w", format=container, options={"fflags": "+bitexact"}) as output:
                stream = output.add_stream(codec, rate=chosen, layout=layout)
                if not isinstance(stream, av.AudioStream):
                    raise AssertionError("a codec of sound made another stream")
                if kbps:
                    stream.bit_rate = kbps * 1000
                output.mux(stream.encode(first))
                for frame in frames:
                    output.mux(stream.encode(frame))
                output.mux(stream.encode(None))


def _frames(
    opened: av.container.InputContainer, stream: av.audio.stream.AudioStream, max_seconds: int
) -> Iterator[av.AudioFrame]:
    """Yield what decodes; damaged packets are left out, as players do."""
    stream.codec_context.thread_count = 1  # each would take address space
    seconds = 0.0
    for packet in opened.demux(stream):
        try:
            decoded = packet.decode()
        except MemoryError:
            raise
        except av.error.FFmpegError:
            continue
        for frame in decoded:
            seconds += frame.samples / frame.sample_rate
            if seconds > max_seconds:
                raise RefusedError(TOO_LONG)
            frame.pts = None  # gaps and jumps of damaged files would be encoded as such
            yield frame


if __name__ == "__main__":
    first, second = [int(text) for text in sys.argv[1:5]], [int(text) for text in sys.argv[6:]]
    sys.exit(main(first[0], first[1], first[2], first[3], sys.argv[5], *second))
