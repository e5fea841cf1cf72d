"""The figures of a person, and what they and the caller are to each other."""

from typing import Self

import strawberry
from strawberry import field

from museed.social.v1 import people_pb2
from services.gateway.schema.badge import EarnedBadge
from services.gateway.schema.listening import GenreShare
from services.gateway.schema.scalars import BigInt


@strawberry.type(description="What a person and the caller are to each other.")
class Relation:
    """Seen by the caller."""

    is_following: bool = field(description="Whether the caller follows them.")
    is_follower: bool = field(description="Whether they follow the caller.")
    is_blocked: bool = field(description="Whether the caller blocks them.")

    @classmethod
    def from_message(cls, message: people_pb2.Relation) -> Self:
        """Translate social's message."""
        return cls(is_following=message.is_following, is_follower=message.is_follower, is_blocked=message.is_blocked)


@strawberry.type(description="A person's figures, at most a second behind.")
class Profile:
    """Counts, taste and badges."""

    playlist_count: int = field(description="Public playlists; the person themselves sees all of theirs counted.")
    liked_playlist_count: int = field(description="Playlists that they like.")
    follower_count: int = field(description="Who follows them.")
    following_count: int = field(description="Whom they follow.")
    likes_received: BigInt = field(description="Likes of their playlists.")
    saves_received: BigInt = field(description="Copies that others made of their playlists.")
    play_count: BigInt = field(description="Plays that count; 0 to others where they are not listed.")
    top_genre: str | None = field(
        description="What they listen to most; null before the first play, and to others where they are not listed."
    )
    listened: list[GenreShare] = field(
        description="Genres of all their plays, most first; none to others where they are not listed."
    )
    badges: list[EarnedBadge] = field(description="Badges earned, the highest step of each, newest first.")
    is_listed: bool = field(description="Whether they let their taste be seen and be recommended to others.")

    @classmethod
    def from_message(cls, message: people_pb2.Profile) -> Self:
        """Translate social's message."""
        return cls(
            playlist_count=message.playlist_count,
            liked_playlist_count=message.liked_playlist_count,
            follower_count=message.follower_count,
            following_count=message.following_count,
            likes_received=BigInt(message.likes_received),
            saves_received=BigInt(message.saves_received),
            play_count=BigInt(message.play_count),
            top_genre=message.top_genre or None,
            listened=[GenreShare.from_message(share) for share in message.listened],
            badges=[EarnedBadge.from_message(badge) for badge in message.badges],
            is_listed=message.is_listed,
        )
