"""Audio files of every kind for the tests, good and hostile, made on the spot."""

from pathlib import Path

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

RATE = 44_100
Float32Array = NDArray[np.float32]


def music(seconds: float, seed: int = 0, rate: int = RATE) -> Float32Array:
    """Return stereo chords with noise bursts, shape (frames, 2)."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    chord = sum(np.sin(2 * np.pi * hz * time) for hz in random.uniform(80, 2000, 4))
    bursts = random.standard_normal(len(time)) * np.exp(-8 * (time % random.uniform(0.3, 0.8)))
    left = 0.08 * chord + 0.1 * bursts
    return np.stack([left, 0.7 * left], axis=1).astype(np.float32)


def write(path: Path, sound: Float32Array, rate: int = RATE, **options: str) -> Path:
    """Write sound in the format that the suffix names, or that `format` and `subtype` do."""
    if path.suffix in (".m4a", ".aac"):
        return _write_aac(path, sound, rate)
    if path.suffix == ".opus":
        options, rate = {"format": "OGG", "subtype": "OPUS"}, 48_000
    # In pieces: libsndfile's Vorbis encoder overflows the stack on minutes at once.
    with soundfile.SoundFile(path, "w", samplerate=rate, channels=sound.shape[1], **options) as file:
        for start in range(0, len(sound), rate):
            file.write(sound[start : start + rate])
    return path


def _write_aac(path: Path, sound: Float32Array, rate: int) -> Path:
    with av.open(str(path), "w", format="mp4" if path.suffix == ".m4a" else "adts") as file:
        layout = ("mono", "stereo")[sound.shape[1] - 1]
        stream = file.add_stream("aac", rate=rate, layout=layout)
        for start in range(0, len(sound), 1024):
            planes = np.ascontiguousarray(sound[start : start + 1024].T)
            frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = rate, start
            for packet in stream.encode(frame):
                file.mux(packet)
        for packet in stream.encode(None):
            file.mux(packet)
    return path


def cut(path: Path, share: float) -> Path:
    """Write the first part of a file beside it."""
    data = path.read_bytes()
    out = path.with_name(f"cut-{path.name}")
    out.write_bytes(data[: int(len(data) * share)])
    return out


def lengthen(path: Path, out: Path, times: int) -> Path:
    """Write a coded file that plays another so many times: its packets again and again, without coding anew."""
    if path.suffix == ".mp3":
        frames = path.read_bytes()
        frames = frames[frames.index(frames[:2], 4) :]  # behind the frame that states the length
        with out.open("wb") as file:
            for _ in range(times):
                file.write(frames)
        return out
    with (
        av.open(str(path)) as source,
        av.open(str(out), "w", format="mp4" if path.suffix == ".m4a" else "ogg") as target,
    ):
        stream = source.streams.audio[0]
        copy = target.add_stream_from_template(stream)
        packets = [(bytes(each), each.dts or 0, each.duration or 0) for each in source.demux(stream) if each.size]
        length = packets[-1][1] + packets[-1][2] - packets[0][1]
        for repeat in range(times):
            for data, at, duration in packets:
                packet = av.Packet(data)
                packet.stream = copy
                if stream.time_base is not None:
                    packet.time_base = stream.time_base
                packet.pts = packet.dts = at - packets[0][1] + repeat * length
                packet.duration = duration
                target.mux(packet)
    return out
