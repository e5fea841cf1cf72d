"""Every stream of the mesh in one table, and the subjects that are made from ids."""

from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig

EMBED_WORK = "EMBED_WORK"
EMBEDDER_EVENTS = "EMBEDDER_EVENTS"
SOCIAL_EVENTS = "SOCIAL_EVENTS"
PEOPLE_EVENTS = "PEOPLE_EVENTS"
VECTORS = "VECTORS"
PROFILES = "PROFILES"
DEAD_LETTERS = "DEAD_LETTERS"

_DAY_S = 24 * 3600.0
_GIB = 1024**3
# Publishers retry for at most this long with the same id, so a message is stored once.
_DUPLICATE_WINDOW_S = 120.0


def embed_track_subject(encoder_id: str) -> str:
    """Return the subject of embedding work for one encoder."""
    return f"museed.social.v1.embed_track.{encoder_id}"


def vector_subject(encoder_id: str, track_id: str) -> str:
    """Return the subject that holds one track's state on the VECTORS log; `>` as track_id is all of an encoder's."""
    return f"museed.vectors.{encoder_id}.{track_id}"


def profile_subject(profile_id: str) -> str:
    """Return the subject that holds one profile's state on the PROFILES log; `*` as profile_id is all of them."""
    return f"museed.profiles.{profile_id}"


def _stream(name: str, subjects: list[str], retention: RetentionPolicy, **more: object) -> StreamConfig:
    config = StreamConfig(
        name=name,
        subjects=subjects,
        retention=retention,
        storage=StorageType.FILE,
        duplicate_window=_DUPLICATE_WINDOW_S,
        discard=DiscardPolicy.OLD,
        allow_direct=True,
    )
    return config.evolve(**more)


# Every stream is bounded. What a bound pushes out is still in PostgreSQL, and social's reconciler sends it again.
STREAMS: dict[str, StreamConfig] = {
    config.name: config
    for config in (
        # A full work queue refuses new work, which stays in the outbox meanwhile.
        _stream(
            EMBED_WORK,
            ["museed.social.v1.embed_track.*"],
            RetentionPolicy.WORK_QUEUE,
            discard=DiscardPolicy.NEW,
            max_msgs=1_000_000,
        ),
        _stream(
            EMBEDDER_EVENTS,
            ["museed.embedder.v1.track_embedded", "museed.embedder.v1.track_embedding_failed"],
            RetentionPolicy.LIMITS,
            max_age=7 * _DAY_S,
            max_bytes=8 * _GIB,
        ),
        _stream(
            SOCIAL_EVENTS,
            [
                "museed.social.v1.job_progressed",
                "museed.social.v1.playlist_created",
                "museed.social.v1.session_revoked",
            ],
            RetentionPolicy.LIMITS,
            max_age=7 * _DAY_S,
            max_bytes=_GIB,
        ),
        # Not in SOCIAL_EVENTS: an older social beside a newer one sets that one's subjects back to those it knows.
        _stream(
            PEOPLE_EVENTS,
            [
                "museed.social.v1.activity_recorded",
                "museed.social.v1.badge_earned",
                "museed.social.v1.comment_added",
                "museed.social.v1.comment_changed",
                "museed.social.v1.comment_removed",
                "museed.social.v1.history_deleted",
                "museed.social.v1.notification_added",
                "museed.social.v1.playlist_changed",
                "museed.social.v1.playlist_deleted",
                "museed.social.v1.playlist_liked",
                "museed.social.v1.playlist_saved",
                "museed.social.v1.playlist_unliked",
                "museed.social.v1.report_decided",
                "museed.social.v1.report_filed",
                "museed.social.v1.schedule_ran",
                "museed.social.v1.track_played",
                "museed.social.v1.upload_deleted",
                "museed.social.v1.user_changed",
                "museed.social.v1.user_deleted",
                "museed.social.v1.user_followed",
                "museed.social.v1.user_reinstated",
                "museed.social.v1.user_signed_up",
                "museed.social.v1.user_suspended",
                "museed.social.v1.user_unfollowed",
            ],
            RetentionPolicy.LIMITS,
            max_age=7 * _DAY_S,
            max_bytes=_GIB,
        ),
        # Compacted logs: the last message of each subject is kept.
        _stream(VECTORS, ["museed.vectors.*.*"], RetentionPolicy.LIMITS, max_msgs_per_subject=1),
        _stream(PROFILES, ["museed.profiles.*"], RetentionPolicy.LIMITS, max_msgs_per_subject=1),
        _stream(DEAD_LETTERS, ["museed.dead_letters.*"], RetentionPolicy.LIMITS, max_age=90 * _DAY_S, max_bytes=_GIB),
    )
    if config.name is not None
}

_PREFIXES = {subject.partition("*")[0]: name for name, config in STREAMS.items() for subject in config.subjects or ()}


def stream_of(subject: str) -> str:
    """Return the stream that takes a subject, "other" where none does."""
    return next((name for prefix, name in _PREFIXES.items() if subject.startswith(prefix)), "other")
