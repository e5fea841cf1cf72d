"""Settings of moderation and of people's own data."""

from pydantic import Field

from services.chassis.settings import Settings


class CareSettings(Settings):
    """Reports."""

    reports_per_user_and_day: int = Field(20, ge=1, le=1_000)
