"""Settings of following, feeds and notifications."""

from pydantic import Field

from services.chassis.settings import Settings


class PeopleSettings(Settings):
    """How feeds and trends are made, and how long they remember."""

    trending_interval_s: float = Field(30.0, ge=1, le=3600)
    activity_life_days: int = Field(90, ge=1, le=3650)
    notification_life_days: int = Field(90, ge=1, le=3650)
