"""Decodes a file to mono blocks at a wanted rate, as a stream. Made for a process that may die: see `decode_child`.

Limits of length and the wholeness of the sound are checked here; the file is opened by `sources`.
"""

import os
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from services.embedder import container
from services.embedder.channels import mono_weights
from services.embedder.errors import (
    AudioCorrupt,
    AudioEmpty,
    AudioTooLong,
    AudioTooShort,
    AudioTruncated,
)
from services.embedder.sources import DecoderStopped, Source, open_source

Float32Array = NDArray[np.float32]
Listen = Callable[[Float32Array, int], None]

_RATES_HZ = (2_000, 768_000)
# Far beyond any scale that a tool writes floats in; larger ones overflow in a spectrogram.
LARGEST_SAMPLE = 1e6
# 18 dB above full scale: no encoder was ever given that, and a flipped bit of a gain makes it.
_LARGEST_ENCODED = 8.0
# A float file above that may be on the scale of integers; then its peaks are not 40 dB above its mean.
_LARGEST_CREST = 100.0
_FLOATS = ("/float", "/double", "pcm_f32le", "pcm_f32be", "pcm_f64le", "pcm_f64be")


@dataclass(frozen=True, slots=True)
class DecodeSpec:
    """What a caller wants of a file.

    Attributes:
        sample_rate_hz: Rate of the blocks.
        block_samples: Length of every block but the last.
        min_seconds: Shorter files are refused.
        max_seconds: Longer files are refused, by their header where that tells.
    """

    sample_rate_hz: int
    block_samples: int
    min_seconds: float
    max_seconds: float


@dataclass(frozen=True, slots=True)
class AudioSummary:
    """What was found: length in seconds, and format, rate and channels of the file."""

    seconds: float
    codec: str
    source_rate_hz: int
    channels: int


def decode(
    descriptor: int, spec: DecodeSpec, listen: Listen | None = None
) -> Generator[Float32Array, None, AudioSummary]:
    """Decode, mix to mono and resample, holding one block at a time.

    Args:
        descriptor: A regular file, opened for reading, at its beginning.
        spec: Rate, block length and limits.
        listen: Gets every block of the file's own channels, shape (frames, channels), and the file's rate in Hz.

    Yields:
        Blocks of shape (spec.block_samples,), float32; the last may be shorter.

    Returns:
        Length and format.

    Raises:
        AudioError: Any of its kinds but AudioSilent, AudioTooLarge and DecodeLimit; also after blocks were yielded.
        MemoryError: The process may not have as much as the decoder wants.
    """
    size_bytes = os.fstat(descriptor).st_size
    if size_bytes == 0:
        raise AudioEmpty("the file has no bytes", field="audio", value=0, limit=1)
    container.check_complete(descriptor, size_bytes)
    source = open_source(descriptor)
    _check_header(source, spec)
    resampled = _resample(_mono(source, spec, descriptor, size_bytes, listen), source.rate_hz, spec.sample_rate_hz)
    seconds = yield from _cut(resampled, spec)
    return AudioSummary(seconds, source.codec, source.rate_hz, source.channels)


def _check_header(source: Source, spec: DecodeSpec) -> None:
    low, high = _RATES_HZ
    if not low <= source.rate_hz <= high:
        raise AudioCorrupt(
            f"the sample rate is {source.rate_hz} Hz, {low} to {high} Hz are decoded",
            field="audio",
            value=source.rate_hz,
            limit=f"{low}..{high}",
        )
    stated_s = (source.stated_frames or 0) / source.rate_hz
    if stated_s > spec.max_seconds:
        raise AudioTooLong.of(stated_s, spec.max_seconds)


def _mono(
    source: Source, spec: DecodeSpec, descriptor: int, size_bytes: int, listen: Listen | None
) -> Iterator[Float32Array]:
    """Mix to mono and check: shape (frames,) per block, at the file's own rate."""
    weights = mono_weights(source.layout, source.channels)
    level = _Level(source.codec.endswith(_FLOATS))
    delivered = 0
    failure: DecoderStopped | None = None
    try:
        for block in source.blocks:
            if block.shape[1] != source.channels:
                raise AudioCorrupt("the number of channels changes within the file", field="audio")
            delivered += len(block)
            if delivered > spec.max_seconds * source.rate_hz:
                raise AudioTooLong.of(delivered / source.rate_hz, spec.max_seconds)
            mono = _mixed(block, weights)
            level.check(mono)
            if listen is not None:
                listen(block, source.rate_hz)
            yield mono
    except DecoderStopped as stopped:
        failure = stopped
    level.check_end()
    _check_delivered(source, delivered, failure, os.lseek(descriptor, 0, os.SEEK_CUR) >= size_bytes)
    if delivered < spec.min_seconds * source.rate_hz:
        raise AudioTooShort.of(delivered / source.rate_hz, spec.min_seconds)


class _Level:
    """Refuses samples that no recording has: they would be all that a model hears.

    Args:
        is_float: The file may have any scale.
    """

    def __init__(self, is_float: bool) -> None:
        self._is_float = is_float
        self._limit = LARGEST_SAMPLE if is_float else _LARGEST_ENCODED
        self._peak = self._energy = 0.0
        self._samples = 0

    def check(self, mono: Float32Array) -> None:
        peak = max(float(mono.max()), -float(mono.min()))
        if not peak <= self._limit:  # written so that NaN is refused too
            raise AudioCorrupt("the file holds samples that are not finite, or beyond any scale", field="audio")
        if self._is_float:
            self._peak = max(self._peak, peak)
            self._energy += float(np.dot(mono, mono))
            self._samples += len(mono)

    def check_end(self) -> None:
        if self._peak > max(_LARGEST_ENCODED, _LARGEST_CREST * (self._energy / max(1, self._samples)) ** 0.5):
            raise AudioCorrupt("single samples of the file are far beyond the scale of the others", field="audio")


def _mixed(block: Float32Array, weights: Float32Array) -> Float32Array:
    if len(weights) == 1:
        return block[:, 0]
    if len(weights) == 2:  # to the last bit what `block.mean(axis=1)` gives, in a third of the time
        mean: Float32Array = (block[:, 0] + block[:, 1]) * weights[0]
        return mean
    mixed: Float32Array = block @ weights
    return mixed


def _check_delivered(source: Source, delivered: int, failure: DecoderStopped | None, is_at_end: bool) -> None:
    """Compare what came with what the header stated.

    A decoder that stops within the file has met damage; one that comes to the end of the file too early has met a file
    that was cut. The structure of an Ogg or MP4 file was found whole, so missing sound is damage there.
    """
    stated = source.stated_frames
    if failure is None and (stated is None or delivered >= container.TOLERATED_SHARE * stated):
        if delivered == 0:
            raise AudioEmpty("the file holds no samples", field="audio", value=0, limit=1)
        return
    if failure is not None and stated is not None and delivered >= container.TOLERATED_SHARE * stated:
        return
    is_whole = not source.codec.startswith(("flac", "mp3", "wav", "aiff"))
    if stated is not None and delivered and is_at_end and not is_whole:
        seconds = (delivered / source.rate_hz, stated / source.rate_hz)
        raise AudioTruncated.after(*seconds, "seconds", container.TOLERATED_SHARE)
    raise AudioCorrupt(
        f"decoding stopped after {delivered / source.rate_hz:.1f} s: {failure or 'parts of the file are damaged'}",
        field="audio",
        value=f"{delivered / source.rate_hz:.3f}",
        limit=None if stated is None else f"{stated / source.rate_hz:.3f}",
    )


def _resample(blocks: Iterator[Float32Array], from_hz: int, to_hz: int) -> Iterator[Float32Array]:
    if from_hz == to_hz:
        yield from blocks
        return
    stream = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(block)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def _cut(blocks: Iterator[Float32Array], spec: DecodeSpec) -> Generator[Float32Array, None, float]:
    """Join and cut blocks to the wanted length; returns the seconds that went through."""
    kept: list[Float32Array] = []
    held = total = 0
    for block in blocks:
        kept.append(block)
        held += len(block)
        total += len(block)
        while held >= spec.block_samples:
            joined = np.concatenate(kept)
            yield joined[: spec.block_samples]
            kept = [joined[spec.block_samples :]]
            held -= spec.block_samples
    if held:
        yield np.concatenate(kept)
    return total / spec.sample_rate_hz
