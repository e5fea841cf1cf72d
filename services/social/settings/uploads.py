"""Settings of uploads."""

from pydantic import Field

from services.chassis.settings import Settings


class UploadSettings(Settings):
    """Where uploads lie, how many, and for how long."""

    # Empty leaves the audio of expired uploads where it is.
    blob_store_url: str = ""
    uploads_per_user_and_day: int = Field(100, ge=1, le=100_000)
    upload_bytes_per_user_and_day: int = Field(4 * 1024**3, ge=1, le=2**50)
    upload_life_days: int = Field(7, ge=1, le=365)
