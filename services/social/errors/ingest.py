"""Refusals of what an ingest client asks for."""

from services.chassis.errors import NotFound


class EncoderNotFound(NotFound):
    """No embedder has ever served such an encoder here."""

    default_reason = "ENCODER_NOT_FOUND"

    def __init__(self, encoder_id: str) -> None:
        super().__init__("there is no such encoder", field="encoder_id", value=encoder_id)
