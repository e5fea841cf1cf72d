"""What social refuses and why.

DomainError
├── InvalidArgument
│   ├── Missing               a field that is needed is empty
│   ├── Malformed             a field that cannot be read
│   ├── OutOfRange            a number, a length or a count beyond its limit
│   └── IdempotencyKeyReused  the same key with another request
├── NotFound                  each also where it is there, and not for this caller
│   ├── TrackNotFound
│   ├── RootNotFound
│   ├── UploadNotFound
│   ├── PlaylistNotFound
│   └── JobNotFound
├── AlreadyExists
│   └── NameTaken             username or e-mail address
├── FailedPrecondition
│   ├── TrackNotReady         the track's embedding is under way
│   ├── TrackFailed           the track cannot be embedded
│   ├── NoCandidates          nothing is left to fill a playlist with
│   ├── AlreadyServing        a switch to the encoder that is served
│   ├── SwitchUnderWay        another encoder is on its way
│   ├── EncoderNotRunning     no embedder serves the encoder that is wanted
│   └── NoPreviousEncoder     there is none to go back to
├── Aborted
│   └── VersionConflict       somebody edited in between
├── Unauthenticated
│   ├── BadCredentials        unknown person or wrong password, and never which
│   └── RefreshRefused        unknown, expired, revoked or used before
├── ResourceExhausted
│   ├── TooManyAttempts       failed log-ins of one login
│   ├── PasswordQueueFull
│   ├── TooManyOpenJobs
│   └── UploadQuotaReached
└── Unavailable
    ├── DatabaseUnavailable
    ├── NoEncoder             no encoder is known yet
    ├── EncoderAway           nobody serves the encoder that a job began with
    └── NotIndexedYet         the index is on its way to what a job needs
"""

from services.chassis.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)


class Missing(InvalidArgument):
    """A field that is needed is empty."""

    default_reason = "REQUIRED"

    def __init__(self, field: str) -> None:
        super().__init__(f"{field} is empty", field=field, value="")


class Malformed(InvalidArgument):
    """A field cannot be read."""

    default_reason = "MALFORMED"

    def __init__(self, field: str, value: object, wanted: str) -> None:
        super().__init__(f"{field} must be {wanted}", field=field, value=value, limit=wanted)


class OutOfRange(InvalidArgument):
    """A number, a length or a count is beyond its limit."""

    default_reason = "OUT_OF_RANGE"

    def __init__(self, field: str, value: object, limit: object, unit: str = "") -> None:
        spaced = f" {unit}" if unit else ""
        super().__init__(f"{field} is {value}{spaced}, limit is {limit}{spaced}", field=field, value=value, limit=limit)


class IdempotencyKeyReused(InvalidArgument):
    """The same key came with another request before."""

    default_reason = "IDEMPOTENCY_KEY_REUSED"

    def __init__(self, key: str) -> None:
        super().__init__(
            "this idempotency key was used for another request in the last 24 hours",
            field="idempotency_key",
            value=key,
        )


class TrackNotFound(NotFound):
    """There is no such track."""

    default_reason = "TRACK_NOT_FOUND"

    def __init__(self, track_id: str, field: str = "track_id") -> None:
        super().__init__("there is no such track", field=field, value=track_id)


class RootNotFound(NotFound):
    """There is no such media root."""

    default_reason = "ROOT_NOT_FOUND"

    def __init__(self, root_id: str) -> None:
        super().__init__("there is no such root", field="root_id", value=root_id)


class UploadNotFound(NotFound):
    """There is no such upload, it is somebody else's, or its time is over."""

    default_reason = "UPLOAD_NOT_FOUND"

    def __init__(self, upload_id: str, field: str = "upload_id") -> None:
        super().__init__("there is no such upload of yours", field=field, value=upload_id)


class PlaylistNotFound(NotFound):
    """There is no such playlist, or it is not for this caller."""

    default_reason = "PLAYLIST_NOT_FOUND"

    def __init__(self, playlist_id: str) -> None:
        super().__init__("there is no such playlist", field="playlist_id", value=playlist_id)


class JobNotFound(NotFound):
    """There is no such job, or it is somebody else's."""

    default_reason = "JOB_NOT_FOUND"

    def __init__(self, job_id: str) -> None:
        super().__init__("there is no such job of yours", field="job_id", value=job_id)


class NameTaken(AlreadyExists):
    """Somebody else has this username or e-mail address."""

    def __init__(self, field: str, value: str) -> None:
        super().__init__(f"this {field} is taken", reason=f"{field.upper()}_TAKEN", field=field, value=value)


class TrackNotReady(FailedPrecondition):
    """The track's embedding is under way."""

    default_reason = "TRACK_NOT_READY"

    def __init__(self, track_id: str, field: str) -> None:
        super().__init__("this track has not been embedded yet", field=field, value=track_id, retry_after_ms=5_000)


class TrackFailed(FailedPrecondition):
    """The track's audio cannot be embedded."""

    default_reason = "TRACK_FAILED"

    def __init__(self, track_id: str, field: str, why: str) -> None:
        super().__init__(f"this track cannot be embedded: {why}", field=field, value=track_id)


class NoCandidates(FailedPrecondition):
    """Nothing is left to fill a playlist with."""

    default_reason = "NO_CANDIDATES"

    def __init__(self) -> None:
        super().__init__("the rules leave no track")


class AlreadyServing(FailedPrecondition):
    """The encoder that is wanted is the one that is served."""

    default_reason = "ENCODER_ALREADY_SERVING"

    def __init__(self, encoder_id: str) -> None:
        super().__init__(f"{encoder_id} is served already", field="encoder_id", value=encoder_id)


class SwitchUnderWay(FailedPrecondition):
    """Another encoder hears the library already, to be served."""

    default_reason = "SWITCH_UNDER_WAY"

    def __init__(self, encoder_id: str, candidate: str) -> None:
        super().__init__(
            f"a switch to {candidate} is under way: wait for its end, or give it up by a rollback",
            field="encoder_id",
            value=encoder_id,
            limit=candidate,
        )


class EncoderNotRunning(FailedPrecondition):
    """No embedder of the mesh serves the encoder that is wanted."""

    default_reason = "ENCODER_NOT_RUNNING"

    def __init__(self, encoder_id: str, running: list[str]) -> None:
        shown = ", ".join(running) or "none"
        super().__init__(
            f"no embedder serves {encoder_id}; those that answer serve: {shown}",
            field="encoder_id",
            value=encoder_id,
            limit=shown,
        )


class NoPreviousEncoder(FailedPrecondition):
    """There is no encoder to go back to."""

    default_reason = "NO_PREVIOUS_ENCODER"

    def __init__(self, serving: str) -> None:
        super().__init__(
            f"{serving} is the first encoder of this library: there is none before it, and no switch is under way",
            value=serving,
        )


class VersionConflict(Aborted):
    """Somebody edited in between: read again."""

    default_reason = "VERSION_CONFLICT"

    def __init__(self, seen: int, current: int) -> None:
        super().__init__(f"version is {current}, you saw {seen}", field="version", value=seen, limit=current)


class BadCredentials(Unauthenticated):
    """Unknown person or wrong password, and never which."""

    default_reason = "BAD_CREDENTIALS"

    def __init__(self) -> None:
        super().__init__("login or password is wrong")


class RefreshRefused(Unauthenticated):
    """The refresh token cannot be traded: unknown, expired, revoked or used before."""


class TooManyAttempts(ResourceExhausted):
    """Too many log-ins failed for one login."""

    default_reason = "TOO_MANY_ATTEMPTS"

    def __init__(self, failures: int, limit: int, retry_after_ms: int) -> None:
        super().__init__(
            f"{failures} log-ins failed, limit is {limit}; wait {retry_after_ms // 1000} s",
            field="login",
            limit=limit,
            retry_after_ms=retry_after_ms,
        )


class PasswordQueueFull(ResourceExhausted):
    """More passwords wait to be checked than this process takes on."""

    default_reason = "OVERLOADED"

    def __init__(self, limit: int) -> None:
        super().__init__(f"{limit} passwords wait already", limit=limit, retry_after_ms=1_000)


class TooManyOpenJobs(ResourceExhausted):
    """A person has as many unfinished jobs as one may have."""

    default_reason = "TOO_MANY_OPEN_JOBS"

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(f"{count} jobs are open, limit is {limit}", value=count, limit=limit, retry_after_ms=2_000)


class UploadQuotaReached(ResourceExhausted):
    """A person has uploaded as many files in 24 hours as one may."""

    default_reason = "UPLOAD_QUOTA_REACHED"

    def __init__(self, count: int, limit: int) -> None:
        super().__init__(
            f"{count} uploads in 24 hours, limit is {limit}", value=count, limit=limit, retry_after_ms=3_600_000
        )


class DatabaseUnavailable(Unavailable):
    """PostgreSQL is away, too busy, or took too long."""

    default_reason = "DATABASE_UNAVAILABLE"

    def __init__(self, why: str) -> None:
        super().__init__(f"the database cannot be used now: {why}", retry_after_ms=500)


class NoEncoder(Unavailable):
    """No encoder is known yet: the embedder has not been seen."""

    default_reason = "NO_ENCODER"

    def __init__(self) -> None:
        super().__init__("no encoder is known yet", retry_after_ms=1_000)


class EncoderAway(Unavailable):
    """Nobody serves the encoder that a job began with: it starts again, under the one that is served then."""

    default_reason = "ENCODER_AWAY"

    def __init__(self, encoder_id: str) -> None:
        super().__init__(f"nobody serves {encoder_id} now", field="encoder_id", value=encoder_id, retry_after_ms=1_000)


class NotIndexedYet(Unavailable):
    """The index is on its way to what a job needs."""

    default_reason = "NOT_INDEXED_YET"

    def __init__(self) -> None:
        super().__init__("the index is not there yet", retry_after_ms=1_000)
