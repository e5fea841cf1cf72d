"""The process that decodes: limited, fed one file after the other, and free to die. Started by `decoder`.

It takes requests from a socket, each with an open file, and answers with frames: a kind of one byte, a length of four,
and a payload. It opens no path and no address by itself.
"""

import json
import os
import socket
import struct
import sys
from dataclasses import asdict

import numpy as np

from services.chassis import confinement
from services.chassis.errors import DomainError
from services.embedder.audio import AudioSummary, DecodeSpec, decode
from services.embedder.descriptors import Describer, Descriptors
from services.embedder.errors import AudioCorrupt, DecodeLimit
from services.embedder.refusals import to_fields

FRAME_HEADER = struct.Struct("<cI")
REQUEST_HEADER = struct.Struct("<I")
READY, SOUND, END, REFUSED = b"R", b"S", b"E", b"X"


def main(socket_descriptor: int, parent_pid: int, memory_mib: int, niceness: int) -> None:
    """Serve requests until the socket closes.

    Args:
        socket_descriptor: Inherited end of a Unix stream socket.
        parent_pid: Process that started this one; without it there is nothing to do.
        memory_mib: Address space that decoding may take beyond what the process has when it is ready.
        niceness: How much it gives way to others, 0 to 19.
    """
    confinement.enter(parent_pid, niceness, memory_mib)
    with socket.socket(fileno=socket_descriptor) as channel:
        _send(channel, READY, b"")
        while (request := _receive(channel)) is not None:
            text, descriptor = request
            try:
                _serve(channel, json.loads(text), descriptor, memory_mib)
            finally:
                os.close(descriptor)


def _receive(channel: socket.socket) -> tuple[bytes, int] | None:
    """Return the next request and its file, None when the parent has closed."""
    data, descriptors, _, _ = socket.recv_fds(channel, 4096, 1)
    if not data:
        return None
    (length,) = REQUEST_HEADER.unpack_from(data)
    text = data[REQUEST_HEADER.size :]
    while len(text) < length:
        text += channel.recv(length - len(text))
    return text, descriptors[0]


def _send(channel: socket.socket, kind: bytes, payload: bytes | memoryview) -> None:
    channel.sendall(FRAME_HEADER.pack(kind, len(payload)))
    channel.sendall(payload)


def _serve(channel: socket.socket, request: dict[str, float], descriptor: int, memory_mib: int) -> None:
    confinement.limit_cpu(request["cpu_s"])
    spec = DecodeSpec(
        int(request["sample_rate_hz"]), int(request["block_samples"]), request["min_seconds"], request["max_seconds"]
    )
    try:
        summary, descriptors = _stream(channel, spec, descriptor)
        _send(channel, END, json.dumps({"summary": asdict(summary), "descriptors": asdict(descriptors)}).encode())
        return
    except DomainError as error:
        refusal = error
    except MemoryError:
        refusal = DecodeLimit.of("memory", f"{memory_mib} MiB")
    except (BrokenPipeError, ConnectionResetError):
        sys.exit(0)
    except Exception as error:  # the border of this process: a file must not be able to end it with a traceback
        refusal = AudioCorrupt(f"the decoder failed on the file: {type(error).__name__}: {error}", field="audio")
    _send(channel, REFUSED, json.dumps(to_fields(refusal)).encode())
    if isinstance(refusal, DecodeLimit):
        sys.exit(0)  # what is left of the address space may be in pieces


def _stream(channel: socket.socket, spec: DecodeSpec, descriptor: int) -> tuple[AudioSummary, Descriptors]:
    describer = Describer(spec.sample_rate_hz)
    blocks = decode(descriptor, spec, describer.hear_source)
    while True:
        try:
            block = next(blocks)
        except StopIteration as stop:
            summary: AudioSummary = stop.value
            return summary, describer.describe()
        describer.hear(block)
        _send(channel, SOUND, block.view(np.uint8).data)


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:5]))
