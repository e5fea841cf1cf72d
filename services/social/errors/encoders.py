"""Refusals about encoders and switches between them."""

from services.chassis.errors import FailedPrecondition, Unavailable


class AlreadyServing(FailedPrecondition):
    """The encoder that is wanted is the one that is served."""

    default_reason = "ENCODER_ALREADY_SERVING"

    def __init__(self, encoder_id: str) -> None:
        super().__init__(f"{encoder_id} is served already", field="encoder_id", value=encoder_id)


class SwitchUnderWay(FailedPrecondition):
    """Another encoder hears the library already, to be served."""

    default_reason = "SWITCH_UNDER_WAY"

    def __init__(self, encoder_id: str, candidate: str) -> None:
        super().__init__(
            f"a switch to {candidate} is under way: wait for its end, or give it up by a rollback",
            field="encoder_id",
            value=encoder_id,
            limit=candidate,
        )


class EncoderNotRunning(FailedPrecondition):
    """No embedder of the mesh serves the encoder that is wanted."""

    default_reason = "ENCODER_NOT_RUNNING"

    def __init__(self, encoder_id: str, running: list[str]) -> None:
        shown = ", ".join(running) or "none"
        super().__init__(
            f"no embedder serves {encoder_id}; those that answer serve: {shown}",
            field="encoder_id",
            value=encoder_id,
            limit=shown,
        )


class NoPreviousEncoder(FailedPrecondition):
    """There is no encoder to go back to."""

    default_reason = "NO_PREVIOUS_ENCODER"

    def __init__(self, serving: str) -> None:
        super().__init__(
            f"{serving} is the first encoder of this library: there is none before it, and no switch is under way",
            value=serving,
        )


class NoEncoder(Unavailable):
    """No encoder is known yet: the embedder has not been seen."""

    default_reason = "NO_ENCODER"

    def __init__(self) -> None:
        super().__init__("no encoder is known yet", retry_after_ms=1_000)


class EncoderAway(Unavailable):
    """Nobody serves the encoder that a job began with: it starts again, under the one that is served then."""

    default_reason = "ENCODER_AWAY"

    def __init__(self, encoder_id: str) -> None:
        super().__init__(f"nobody serves {encoder_id} now", field="encoder_id", value=encoder_id, retry_after_ms=1_000)
