"""What is kept of people: each column that names a person, and what becomes of it when they ask for it or leave."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

EXPORT_LIFE = timedelta(days=7)
EXPORT_PAUSE = timedelta(days=1)


class Fate(StrEnum):
    """What becomes of a row when the person that it names leaves."""

    DELETED = "DELETED"
    # The row stays and names nobody.
    ANONYMISED = "ANONYMISED"
    KEPT = "KEPT"


@dataclass(frozen=True, slots=True)
class Named:
    """A column that names a person.

    Attributes:
        is_exported: Whether the person gets these rows when they ask for what is kept of them.
        fate: What becomes of them when the person leaves.
        reason: Why they are kept, or not exported.
    """

    fate: Fate
    is_exported: bool = False
    reason: str = ""


_GONE, _TAKEN = Named(Fate.DELETED, is_exported=True), Fate.DELETED
_OTHERS = "what others did; it names an id that nobody has any more"
_DERIVED = "follows from other rows, which are exported"

NAMED: dict[str, Named] = {
    "users.user_id": Named(Fate.ANONYMISED, is_exported=True),
    "mesh.founder_id": Named(Fate.KEPT, reason="that the mesh has a founder, so that nobody else becomes one"),
    "sessions.user_id": Named(
        Fate.ANONYMISED, is_exported=True, reason="revoked ones are told to all services until their tokens expire"
    ),
    "mail_tokens.user_id": Named(_TAKEN, reason="secrets"),
    "mails.user_id": _GONE,
    "api_tokens.user_id": _GONE,
    "uploads.user_id": _GONE,
    "playlists.owner_id": _GONE,
    "playlist_entries.added_by": Named(Fate.KEPT, reason="own lists are deleted, and " + _OTHERS),
    "likes.user_id": _GONE,
    "saves.user_id": _GONE,
    "comments.user_id": Named(Fate.ANONYMISED, is_exported=True),
    "stream_tokens.user_id": _GONE,
    "schedules.user_id": _GONE,
    "jobs.user_id": Named(
        _TAKEN, is_exported=True, reason="but the job that deletes; a switch of encoders under way names nobody"
    ),
    "idempotency_keys.user_id": Named(_TAKEN, reason="forgotten within a day"),
    "sign_up_keys.user_id": Named(_TAKEN, reason="forgotten within a day"),
    "blocked_tracks.user_id": _GONE,
    "blocked_artists.user_id": _GONE,
    "follows.follower_id": _GONE,
    "follows.followee_id": Named(_TAKEN, reason="what others did"),
    "user_blocks.blocker_id": _GONE,
    "user_blocks.blocked_id": Named(_TAKEN, reason="what others did, and not for them to know"),
    "activities.actor_id": _GONE,
    "activities.user_id": Named(Fate.KEPT, reason=_OTHERS + "; feeds leave it out"),
    "notifications.user_id": _GONE,
    "notifications.actor_id": Named(Fate.KEPT, reason=_OTHERS),
    "plays.user_id": _GONE,
    "listening.user_id": Named(_TAKEN, reason=_DERIVED),
    "daily_listening.user_id": Named(_TAKEN, reason=_DERIVED),
    "daily_tracks_of.user_id": Named(_TAKEN, reason=_DERIVED),
    "tastes.user_id": Named(_TAKEN, reason=_DERIVED),
    "mixes.user_id": Named(_TAKEN, reason=_DERIVED),
    "badges.user_id": _GONE,
    "person_counts.user_id": Named(_TAKEN, reason=_DERIVED),
    "touched_people.user_id": Named(_TAKEN, reason="a note to look at somebody, gone within seconds"),
    "signals.user_id": Named(Fate.KEPT, reason="counted and gone within seconds"),
    "signals.actor_id": Named(Fate.KEPT, reason="counted and gone within seconds"),
    "data_exports.user_id": Named(_TAKEN, reason="an export of exports"),
    "reports.reporter_id": Named(
        Fate.KEPT, is_exported=True, reason="what others did stays to be decided about; the reporter is an id"
    ),
    "reports.decided_by": Named(Fate.KEPT, reason="who decided about others answers for it"),
    "audit_log.actor_id": Named(Fate.KEPT, reason="what admins did stays known; they are ids"),
}
