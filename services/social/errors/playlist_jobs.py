"""Refusals about work on playlists that are there already."""

from services.chassis.errors import FailedPrecondition, NotFound, ResourceExhausted


class PlaylistEmpty(FailedPrecondition):
    """There is nothing in a playlist that others could be like."""

    default_reason = "PLAYLIST_EMPTY"

    def __init__(self, playlist_id: str) -> None:
        super().__init__("the playlist has no track that can be searched by", field="playlist_id", value=playlist_id)


class NoRecipe(FailedPrecondition):
    """A person put a playlist together: it cannot be made again."""

    default_reason = "NO_RECIPE"

    def __init__(self, playlist_id: str) -> None:
        super().__init__("the playlist was not made from a recipe", field="playlist_id", value=playlist_id)


class UploadGone(FailedPrecondition):
    """The upload that a recipe names is gone, and nothing is known of its sound."""

    default_reason = "UPLOAD_GONE"

    def __init__(self, upload_id: str) -> None:
        super().__init__("an upload that the playlist was made from is gone", field="upload_id", value=upload_id)


class PlaylistChanged(FailedPrecondition):
    """A playlist was edited whenever it should have been replaced."""

    default_reason = "PLAYLIST_CHANGED"

    def __init__(self, playlist_id: str, times: int) -> None:
        super().__init__(
            f"the playlist was edited meanwhile, {times} times", field="playlist_id", value=playlist_id, limit=times
        )


class SuggestionNotFound(NotFound):
    """A track was never suggested for a playlist."""

    default_reason = "SUGGESTION_NOT_FOUND"

    def __init__(self, track_id: str, field: str) -> None:
        super().__init__("this track was not suggested for the playlist", field=field, value=track_id)


class TooManySchedules(ResourceExhausted):
    """A person has as many playlists that are made again and again as one may have."""

    default_reason = "TOO_MANY_SCHEDULES"

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(f"{count} playlists have schedules, limit is {limit}", value=count, limit=limit)
