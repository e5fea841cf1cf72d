"""Settings of following, feeds and notifications."""

from pydantic import Field

from services.chassis.settings import Settings


class PeopleSettings(Settings):
    """How feeds and trends are made, and how long they remember."""

    # After so long half of what lifted a playlist is gone.
    trending_half_life_hours: float = Field(48.0, ge=1, le=8760)
    trending_interval_s: float = Field(30.0, ge=1, le=3600)
    activity_life_days: int = Field(90, ge=1, le=3650)
    notification_life_days: int = Field(90, ge=1, le=3650)
