"""What can go wrong between a file and its vector; the chassis says how each travels.

InvalidArgument
├── AudioError                the file, not the service, is the cause: never retried
│   ├── NotAudio              nothing here decodes as sound
│   ├── AudioEmpty            no bytes, or no samples
│   ├── AudioTruncated        the file ends long before its header says
│   ├── AudioCorrupt          the decoder gave up, or gave numbers that are no sound
│   ├── AudioSilent           no window is loud enough to vote
│   ├── AudioTooShort         fewer seconds than asked for
│   ├── AudioTooLong          more seconds than allowed
│   ├── AudioTooLarge         more bytes than allowed
│   └── DecodeLimit           decoding took more memory or CPU time than allowed
├── UploadMalformed           the stream of an upload breaks its contract
├── TextInvalid               no text, too much of it, or characters that are none
└── WordsUnknown              Korean that no table translates
FailedPrecondition
├── MediaChanged              a file of the library is not, or not any more, the one that was registered
├── EncoderMismatch           another encoder is served than the caller expects
├── ArtifactInvalid           a model folder is not what its manifest says; the process does not start
├── EncoderUnavailable        what the chosen encoder needs is not installed; the process does not start
└── PrecisionRefused          a precision moves vectors too far, or cannot be had; the process does not start
ResourceExhausted
└── EmbedderBusy              a queue is full; retry later
DeadlineExceeded
└── UploadStalled             a caller holds a stream open: sends nothing, too slowly, or takes no answer
Unavailable
├── DecoderLost               a decoding process was killed from outside; retry
│   ├── DecodeStalled         a file was waited for too long: the machine is busy; retry
│   └── DecoderNotStarted     there is none, and none starts; retry
└── SpoolUnavailable          the disk takes no upload now; retry
Internal
├── DecoderKilled             every process that decodes one file is killed from outside
├── EncodingFailed            the model failed on one window
└── ModelBroken               the model fails on every sound; the process ends, and work stays where it is
"""

import math
from typing import Self

from services.chassis.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
)

RETRY_AFTER_MS = 1000  # where nothing tells when another try will work


class AudioError(InvalidArgument):
    """The audio itself cannot be embedded; the same bytes fail the same way everywhere."""

    default_reason = "AUDIO_INVALID"


class NotAudio(AudioError):
    """Nothing in the file decodes as sound."""

    default_reason = "NOT_AUDIO"


class AudioEmpty(AudioError):
    """The file has no bytes, or decodes to no samples."""

    default_reason = "AUDIO_EMPTY"


class AudioTruncated(AudioError):
    """The file ends long before the length that its header states."""

    default_reason = "AUDIO_TRUNCATED"

    @classmethod
    def after(cls, delivered: float, promised: float, unit: str, tolerated_share: float) -> Self:
        """Build the error from what came and what was promised, both in `unit`."""
        return cls(
            f"the file holds {delivered:.6g} of the {promised:.6g} {unit} that its header states,"
            f" at least {tolerated_share:.0%} are needed",
            field="audio",
            value=f"{delivered / promised:.3f}",
            limit=tolerated_share,
        )


class AudioCorrupt(AudioError):
    """The decoder gave up on the file, or gave numbers that are no sound."""

    default_reason = "AUDIO_CORRUPT"


class AudioSilent(AudioError):
    """No window is loud enough to vote."""

    default_reason = "AUDIO_SILENT"


class AudioTooShort(AudioError):
    """The audio has fewer seconds than asked for."""

    default_reason = "AUDIO_TOO_SHORT"

    @classmethod
    def of(cls, seconds: float, limit_s: float) -> Self:
        """Build the error from the audio's length and the shortest allowed one, in seconds."""
        return cls(
            # Rounded down: 2.99 s must not read as the 3 s that are needed.
            f"the audio is {math.floor(100 * seconds) / 100:g} s long, at least {limit_s:g} s are needed",
            field="audio",
            value=f"{seconds:.3f}",
            limit=f"{limit_s:g}",
        )


class AudioTooLong(AudioError):
    """The audio has more seconds than allowed."""

    default_reason = "AUDIO_TOO_LONG"

    @classmethod
    def of(cls, seconds: float, limit_s: float) -> Self:
        """Build the error from the seconds that are stated or were decoded so far, and the limit."""
        return cls(
            f"the audio is at least {seconds:.0f} s long, limit is {limit_s:g} s",
            field="audio",
            value=f"{seconds:.3f}",
            limit=f"{limit_s:g}",
        )


class AudioTooLarge(AudioError):
    """The file has more bytes than allowed."""

    default_reason = "AUDIO_TOO_LARGE"

    @classmethod
    def of(cls, size_bytes: int, limit_bytes: int) -> Self:
        """Build the error from the file's size and the limit, in bytes."""
        return cls(
            f"the file has {size_bytes} bytes, limit is {limit_bytes}",
            field="audio",
            value=size_bytes,
            limit=limit_bytes,
        )


class DecodeLimit(AudioError):
    """Decoding took more memory or CPU seconds than allowed."""

    default_reason = "DECODE_LIMIT"

    @classmethod
    def of(cls, what: str, limit: str) -> Self:
        """Build the error from the name of the limit, for example "CPU time", and its value with unit."""
        return cls(f"decoding takes more {what} than {limit}", field="audio", value=f"over {limit}", limit=limit)


class UploadMalformed(InvalidArgument):
    """The messages of an upload do not follow the contract: header first, then chunks, as many bytes as stated."""

    default_reason = "UPLOAD_MALFORMED"


class TextInvalid(InvalidArgument):
    """A prompt is empty, too long, or has characters that are no text."""

    default_reason = "TEXT_INVALID"


class WordsUnknown(InvalidArgument):
    """A prompt has Korean words that the table of moods does not know; the message names them and those it knows."""

    default_reason = "WORDS_UNKNOWN"


class EncoderMismatch(FailedPrecondition):
    """The caller expects another encoder than the one that is served."""

    default_reason = "ENCODER_MISMATCH"

    @classmethod
    def of(cls, wanted: str, serving: str, field: str = "encoder_id") -> Self:
        """Build the error from the encoder ids that are wanted and served."""
        return cls(f"encoder {wanted} was asked for, {serving} is served", field=field, value=wanted, limit=serving)


class MediaChanged(FailedPrecondition):
    """The file is not the one that was registered, or was written to meanwhile; registering it again mends that."""

    default_reason = "MEDIA_CHANGED"


class ArtifactInvalid(FailedPrecondition):
    """A model folder is missing a part, or is not what its manifest says."""

    default_reason = "ARTIFACT_INVALID"


class EncoderUnavailable(FailedPrecondition):
    """What the chosen encoder needs is not here; the message says what to install or set."""

    default_reason = "ENCODER_UNAVAILABLE"


class PrecisionRefused(FailedPrecondition):
    """The precision that was asked for is not served: it moves vectors too far, or nothing here computes in it."""

    default_reason = "PRECISION_REFUSED"

    @classmethod
    def of(cls, name: str, precision: str, cosine: float, limit: float) -> Self:
        """Build the error from encoder, precision, its lowest cosine to fp32 and the limit of that."""
        return cls(
            f"EMBEDDER_PRECISION is {precision}: {name} then has a cosine of {cosine:.6f} to fp32 on the probe,"
            f" at least {limit:g} is needed; set EMBEDDER_PRECISION to auto or fp32",
            field="EMBEDDER_PRECISION",
            value=f"{precision} {cosine:.6f}",
            limit=f"{limit:g}",
        )

    @classmethod
    def not_computed(cls, precision: str, where: str, offered: tuple[str, ...]) -> Self:
        """Build the error from a precision, the runtime and device that lack it, and those that they offer."""
        return cls(
            f"EMBEDDER_PRECISION is {precision}, which {where} does not compute in: use auto, {', '.join(offered)}",
            reason="PRECISION_UNAVAILABLE",
            field="EMBEDDER_PRECISION",
            value=precision,
            limit=", ".join(offered),
        )


class EmbedderBusy(ResourceExhausted):
    """A queue is full; retry after the hint."""

    default_reason = "EMBEDDER_BUSY"


class UploadStalled(DeadlineExceeded):
    """A caller holds a stream open, and sends nothing, too slowly, or takes no answer."""

    default_reason = "UPLOAD_STALLED"

    @classmethod
    def after(cls, idle_s: float, what: str = "no message came") -> Self:
        """Build the error from the longest that `what` may last, in seconds."""
        limit = f"{idle_s:g} s"
        return cls(f"{what} for {limit}", value=f"over {limit}", limit=limit, retry_after_ms=RETRY_AFTER_MS)


class DecoderLost(Unavailable):
    """A decoding process was killed from outside or would not start; the next try gets another one."""

    default_reason = "DECODER_LOST"


class DecodeStalled(DecoderLost):
    """A file was waited for too long, with CPU seconds left: the machine had no time for it."""

    default_reason = "DECODE_STALLED"

    @classmethod
    def after(cls, wait_s: float) -> Self:
        """Build the error from the longest wait, in seconds."""
        value, limit = f"over {wait_s:g} s", f"{wait_s:g} s"
        return cls(f"decoding was waited for longer than {limit}", value=value, limit=limit, retry_after_ms=10_000)


class DecoderNotStarted(DecoderLost):
    """No decoding process starts: no file has anything to do with it."""


class SpoolUnavailable(Unavailable):
    """The disk takes no upload now; retry after the hint."""

    default_reason = "SPOOL_UNAVAILABLE"

    @classmethod
    def because(cls, what: str, error: OSError) -> Self:
        """Build the error from what cannot be done, for example "no upload can be stored", and the disk's reason."""
        return cls(f"{what}: {error.strerror}", retry_after_ms=RETRY_AFTER_MS)


class DecoderKilled(Internal):
    """Every process that decoded this file was killed from outside, for example by the kernel when memory was short."""

    default_reason = "DECODER_KILLED"

    @classmethod
    def of(cls, times: int) -> Self:
        """Build the error from how often in a row it happened."""
        return cls(f"{times} processes in a row were killed from outside while they decoded this file", value=times)


class ModelBroken(Internal):
    """The model fails on sound that it took before, as a GPU does after a fault; only a new process helps."""

    default_reason = "MODEL_BROKEN"


class EncodingFailed(Internal):
    """The model failed on this window alone."""

    default_reason = "ENCODING_FAILED"
