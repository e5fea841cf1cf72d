"""Refusals about playlists."""

from services.chassis.errors import Aborted, FailedPrecondition, NotFound, ResourceExhausted


class PlaylistNotFound(NotFound):
    """There is no such playlist, or it is not for this caller."""

    default_reason = "PLAYLIST_NOT_FOUND"

    def __init__(self, playlist_id: str, field: str = "playlist_id") -> None:
        super().__init__("there is no such playlist", field=field, value=playlist_id)


class EntryNotFound(NotFound):
    """There is no such entry in this playlist."""

    default_reason = "ENTRY_NOT_FOUND"

    def __init__(self, entry_id: str) -> None:
        super().__init__("there is no such entry in this playlist", field="entry_id", value=entry_id)


class PlaylistFull(FailedPrecondition):
    """A playlist would have more entries than one may have."""

    default_reason = "PLAYLIST_FULL"

    def __init__(self, count: int, limit: int, field: str) -> None:
        super().__init__(
            f"the playlist would have {count} entries, limit is {limit}", field=field, value=count, limit=limit
        )


class TooManyPlaylists(ResourceExhausted):
    """A person has as many playlists as one may have."""

    default_reason = "TOO_MANY_PLAYLISTS"

    def __init__(self, limit: int) -> None:
        super().__init__(f"you have {limit} playlists, which is the limit: delete one", value=limit, limit=limit)


class PlaylistHidden(FailedPrecondition):
    """Moderation took the playlist out of sight: its owner cannot show it."""

    default_reason = "PLAYLIST_HIDDEN"

    def __init__(self, playlist_id: str) -> None:
        super().__init__("this playlist was hidden by moderation", field="visibility", value=playlist_id)


class VersionConflict(Aborted):
    """Somebody edited in between: read again."""

    default_reason = "VERSION_CONFLICT"

    def __init__(self, seen: int, current: int) -> None:
        super().__init__(f"version is {current}, you saw {seen}", field="version", value=seen, limit=current)
