"""Refusals about playlists as files and about stream tokens."""

from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound, PermissionDenied, ResourceExhausted


class PlaylistFileUnreadable(InvalidArgument):
    """A file is not of its format."""

    default_reason = "PLAYLIST_FILE_UNREADABLE"

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}", field="content", value=f"line {line}", limit=problem)


class NoRowMatched(FailedPrecondition):
    """The library has no recording of a file's rows."""

    default_reason = "NO_ROW_MATCHED"

    def __init__(self, count: int) -> None:
        super().__init__(f"the library has none of the file's {count} rows", field="content", value=count)


class TooManyStreamTokens(ResourceExhausted):
    """A playlist has as many living tokens as one may have."""

    default_reason = "TOO_MANY_STREAM_TOKENS"

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(f"the playlist has {count} tokens, limit is {limit}: revoke one", value=count, limit=limit)


class StreamTokenNotFound(NotFound):
    """There is no such token, or it is somebody else's."""

    default_reason = "STREAM_TOKEN_NOT_FOUND"

    def __init__(self, token_id: str) -> None:
        super().__init__("there is no such token of yours", field="token_id", value=token_id)


class StreamTokenRefused(PermissionDenied):
    """A secret opens nothing, or not this; never says which."""

    default_reason = "STREAM_TOKEN_REFUSED"

    def __init__(self) -> None:
        super().__init__("this token does not play this", field="stream_secret")
