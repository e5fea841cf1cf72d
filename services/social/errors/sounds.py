"""Refusals about words as seeds, and about previews."""

from services.chassis.errors import FailedPrecondition, ResourceExhausted


class WordsNotHeard(FailedPrecondition):
    """The encoder that is served knows sounds alone."""

    default_reason = "WORDS_NOT_HEARD"

    def __init__(self, encoder_id: str, field: str = "words") -> None:
        super().__init__(
            "the encoder that is served hears no words: start from a track or an upload, or let the operator serve "
            "MuQ-MuLan",
            field=field,
            value=encoder_id,
        )


class TooManyPreviews(ResourceExhausted):
    """A person has as many previews under way as one may."""

    default_reason = "TOO_MANY_PREVIEWS"

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} previews of yours are under way", value=limit, limit=limit, retry_after_ms=500)
