"""Settings of playlists."""

from pydantic import Field

from services.chassis.settings import Settings


class PlaylistSettings(Settings):
    """What people may do with playlists."""

    playlists_per_user: int = Field(5_000, ge=1, le=100_000)
    comments_per_user_and_hour: int = Field(60, ge=1, le=10_000)
