"""Refusals about artists, albums and blocklists."""

from services.chassis.errors import NotFound, ResourceExhausted


class ArtistNotFound(NotFound):
    """There is no such artist."""

    default_reason = "ARTIST_NOT_FOUND"

    def __init__(self, artist_id: str) -> None:
        super().__init__("there is no such artist", field="artist_id", value=artist_id)


class AlbumNotFound(NotFound):
    """There is no such album."""

    default_reason = "ALBUM_NOT_FOUND"

    def __init__(self, album_id: str) -> None:
        super().__init__("there is no such album", field="album_id", value=album_id)


class BlocklistFull(ResourceExhausted):
    """A person blocks as much as they may."""

    default_reason = "BLOCKLIST_FULL"

    def __init__(self, field: str, most: int) -> None:
        super().__init__(f"you block {most} already, which is the most", field=field, limit=most)
