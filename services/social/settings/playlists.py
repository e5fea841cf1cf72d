"""Settings of playlists."""

from pydantic import Field

from services.chassis.settings import Settings


class PlaylistSettings(Settings):
    """What people may do with playlists."""

    comments_per_user_and_hour: int = Field(60, ge=1, le=10_000)
