"""Settings of listening and taste."""

from pydantic import Field

from services.chassis.settings import Settings


class TasteSettings(Settings):
    """How soon what people hear becomes their taste."""

    # Of what is touched again and again meanwhile one is told.
    taste_delay_s: float = Field(10.0, ge=0, le=3_600)
