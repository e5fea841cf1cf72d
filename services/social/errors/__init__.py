"""What social refuses and why: a module for each noun; what is new is imported from its module.

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

from services.social.errors.accounts import (
    BadCredentials,
    NameTaken,
    PasswordQueueFull,
    RefreshRefused,
    TooManyAttempts,
)
from services.social.errors.catalog import RootNotFound, TrackFailed, TrackNotFound, TrackNotReady
from services.social.errors.database import DatabaseUnavailable
from services.social.errors.encoders import (
    AlreadyServing,
    EncoderAway,
    EncoderNotRunning,
    NoEncoder,
    NoPreviousEncoder,
    SwitchUnderWay,
)
from services.social.errors.input import IdempotencyKeyReused, Malformed, Missing, OutOfRange
from services.social.errors.jobs import JobNotFound, NoCandidates, NotIndexedYet, TooManyOpenJobs
from services.social.errors.playlists import PlaylistNotFound, VersionConflict
from services.social.errors.uploads import UploadNotFound, UploadQuotaReached

__all__ = [
    "AlreadyServing",
    "BadCredentials",
    "DatabaseUnavailable",
    "EncoderAway",
    "EncoderNotRunning",
    "IdempotencyKeyReused",
    "JobNotFound",
    "Malformed",
    "Missing",
    "NameTaken",
    "NoCandidates",
    "NoEncoder",
    "NoPreviousEncoder",
    "NotIndexedYet",
    "OutOfRange",
    "PasswordQueueFull",
    "PlaylistNotFound",
    "RefreshRefused",
    "RootNotFound",
    "SwitchUnderWay",
    "TooManyAttempts",
    "TooManyOpenJobs",
    "TrackFailed",
    "TrackNotFound",
    "TrackNotReady",
    "UploadNotFound",
    "UploadQuotaReached",
    "VersionConflict",
]
