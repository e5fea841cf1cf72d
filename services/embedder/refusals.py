"""Carries the refusal of a file over the socket of a decoding process."""

from services.chassis.errors import DomainError
from services.embedder.errors import (
    AudioCorrupt,
    AudioEmpty,
    AudioError,
    AudioSilent,
    AudioTooLarge,
    AudioTooLong,
    AudioTooShort,
    AudioTruncated,
    DecodeLimit,
    NotAudio,
)

_AUDIO_ERRORS: dict[str, type[AudioError]] = {
    kind.default_reason: kind
    for kind in (
        NotAudio,
        AudioEmpty,
        AudioTruncated,
        AudioCorrupt,
        AudioSilent,
        AudioTooShort,
        AudioTooLong,
        AudioTooLarge,
        DecodeLimit,
    )
}


def to_fields(error: DomainError) -> dict[str, str]:
    """Describe an error for the pipe of a decoding process."""
    return {"reason": error.reason, "message": error.message, **error.metadata}


def audio_error(fields: dict[str, str]) -> AudioError:
    """Build the error that a decoding process described with `to_fields`."""
    kind = _AUDIO_ERRORS.get(fields["reason"], AudioCorrupt)
    return kind(fields["message"], field=fields.get("field"), value=fields.get("value"), limit=fields.get("limit"))
