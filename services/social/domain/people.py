"""People as others see them, and what two of them are to each other."""

from dataclasses import dataclass
from datetime import datetime

from services.social.domain.ids import UserId

MOST_FOLLOWED = 5_000
MOST_BLOCKED = 10_000


@dataclass(frozen=True, slots=True)
class Member:
    """What everybody may see of an account."""

    user_id: UserId
    username: str
    nickname: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Edge:
    """Somebody whom another follows, is followed by or blocks, and since when."""

    member: Member
    at: datetime


@dataclass(frozen=True, slots=True)
class Relation:
    """What a person and the viewer are to each other; `is_blocked` by the viewer."""

    is_following: bool
    is_follower: bool
    is_blocked: bool


@dataclass(frozen=True, slots=True)
class GenreCount:
    """How many plays or tracks are of a genre."""

    genre: str
    count: int


@dataclass(frozen=True, slots=True)
class EarnedBadge:
    """The highest tier of a badge, and when it was earned."""

    badge: str
    tier: int
    earned_at: datetime


@dataclass(frozen=True, slots=True)
class Counts:
    """The figures of a person."""

    playlists: int = 0
    public_playlists: int = 0
    followers: int = 0
    following: int = 0
    likes_received: int = 0
    saves_received: int = 0
    likes_given: int = 0
    plays: int = 0


@dataclass(frozen=True, slots=True)
class Profile:
    """A person with their figures.

    Attributes:
        member: Who.
        is_listed: Whether they let their taste be seen.
        counts: As stored, or with what is not counted yet.
        listened: Plays by genre, most first.
        made: Tracks of their own playlists by genre, most first.
        badges: Newest first.
        relation: To the viewer; None for guests and for oneself.
    """

    member: Member
    is_listed: bool
    counts: Counts
    listened: tuple[GenreCount, ...] = ()
    made: tuple[GenreCount, ...] = ()
    badges: tuple[EarnedBadge, ...] = ()
    relation: Relation | None = None
