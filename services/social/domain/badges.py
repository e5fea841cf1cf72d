"""The badges: what each is given for, and how far one must come for each of its tiers."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Metric(StrEnum):
    """What badges count of a person."""

    PLAYLISTS = "playlists"
    EDITED_PLAYLISTS = "edited_playlists"
    PUBLIC_PLAYLISTS = "public_playlists"
    LIKES_RECEIVED = "likes_received"
    SAVES_RECEIVED = "saves_received"
    LIKES_GIVEN = "likes_given"
    SAVES_GIVEN = "saves_given"
    COMMENTS = "comments"
    FOLLOWERS = "followers"
    FOLLOWING = "following"
    PLAYS = "plays"
    MOST_PLAYS_OF_A_TRACK = "most_plays_of_a_track"
    MOST_PLAYS_OF_A_DAY = "most_plays_of_a_day"
    GENRES = "genres"
    ARTISTS = "artists"
    ACTIVE_DAYS = "active_days"
    UPLOADS = "uploads"


# What somebody who is not listed shows to nobody.
_LISTENING = {
    Metric.PLAYS,
    Metric.MOST_PLAYS_OF_A_TRACK,
    Metric.MOST_PLAYS_OF_A_DAY,
    Metric.GENRES,
    Metric.ARTISTS,
    Metric.ACTIVE_DAYS,
}


@dataclass(frozen=True, slots=True)
class Badge:
    """A badge.

    Attributes:
        name: As it is stored; never given to another badge.
        rule: A sentence for people.
        metric: What is counted.
        thresholds: From how many on a tier is earned, lowest tier first.
    """

    name: str
    rule: str
    metric: Metric
    thresholds: tuple[int, ...]


BADGES = (
    Badge("seed_planter", "Made playlists.", Metric.PLAYLISTS, (1, 10, 50)),
    Badge("gardener", "Changed playlists after they were made.", Metric.EDITED_PLAYLISTS, (1, 10, 50)),
    Badge("sharer", "Made playlists public.", Metric.PUBLIC_PLAYLISTS, (1, 5, 25)),
    Badge("curator", "Others like their playlists.", Metric.LIKES_RECEIVED, (1, 25, 250)),
    Badge("muse", "Others keep copies of their playlists.", Metric.SAVES_RECEIVED, (1, 10, 100)),
    Badge("admirer", "Likes playlists of others.", Metric.LIKES_GIVEN, (1, 25, 250)),
    Badge("collector", "Keeps copies of others' playlists.", Metric.SAVES_GIVEN, (1, 10, 100)),
    Badge("critic", "Comments on playlists.", Metric.COMMENTS, (1, 25, 250)),
    Badge("beloved", "Is followed by others.", Metric.FOLLOWERS, (1, 25, 500)),
    Badge("connector", "Follows others.", Metric.FOLLOWING, (1, 25, 250)),
    Badge("listener", "Hears music.", Metric.PLAYS, (1, 100, 1_000, 10_000)),
    Badge("devotee", "Comes back to a track.", Metric.MOST_PLAYS_OF_A_TRACK, (10, 50, 100)),
    Badge("marathon", "Hears much in a day.", Metric.MOST_PLAYS_OF_A_DAY, (25, 50, 100)),
    Badge("well_read", "Hears many genres.", Metric.GENRES, (4, 8, 16)),
    Badge("explorer", "Hears many artists.", Metric.ARTISTS, (10, 100, 1_000)),
    Badge("loyal", "Hears music on many days.", Metric.ACTIVE_DAYS, (7, 30, 365)),
    Badge("demo_tape", "Lent sounds of their own as seeds.", Metric.UPLOADS, (1, 10, 50)),
)


_OF_LISTENING = {badge.name for badge in BADGES if badge.metric in _LISTENING}


def tells_of_listening(name: str) -> bool:
    """Say whether a badge tells what its owner hears."""
    return name in _OF_LISTENING


def earned(progress: Mapping[Metric, int]) -> list[tuple[str, int]]:
    """Return every tier that somebody has come far enough for: name and tier, from 1, lowest first."""
    return [
        (badge.name, tier)
        for badge in BADGES
        for tier, threshold in enumerate(badge.thresholds, start=1)
        if progress.get(badge.metric, 0) >= threshold
    ]
