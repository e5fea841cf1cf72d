"""Turns what happened into messages for the outbox: a module for each noun; what is new is imported from its module."""

from services.social.events.accounts import session_revoked
from services.social.events.event import Event
from services.social.events.jobs import job_progressed
from services.social.events.playlists import playlist_created
from services.social.events.profiles import MOST_PROFILE_TRACKS, profile_deleted, profile_weights

__all__ = [
    "MOST_PROFILE_TRACKS",
    "Event",
    "job_progressed",
    "playlist_created",
    "profile_deleted",
    "profile_weights",
    "session_revoked",
]
