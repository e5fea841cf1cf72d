"""Translates people, and playlists as lists show them, to messages."""

from collections.abc import Sequence

from museed.social.v1 import accounts_pb2, badges_pb2, listening_pb2, people_pb2, playlists_pb2
from services.social.domain.badges import tells_of_listening
from services.social.domain.feed import Card
from services.social.domain.people import GenreCount, Member, Profile, Relation
from services.social.wire import timestamp


def user(member: Member) -> accounts_pb2.User:
    """Return what everybody may see of an account."""
    return accounts_pb2.User(
        user_id=member.user_id,
        username=member.username,
        nickname=member.nickname,
        created_at=timestamp(member.created_at),
    )


def relation(found: Relation | None) -> people_pb2.Relation | None:
    """Return what two people are to each other, unset where nobody asks."""
    if found is None:
        return None
    return people_pb2.Relation(
        is_following=found.is_following, is_follower=found.is_follower, is_blocked=found.is_blocked
    )


def profile(found: Profile, *, is_own: bool) -> people_pb2.Profile:
    """Return a profile as its owner or as others see it."""
    is_open = is_own or found.is_listed
    counts = found.counts
    return people_pb2.Profile(
        user=user(found.member),
        playlist_count=counts.playlists if is_own else counts.public_playlists,
        follower_count=counts.followers,
        following_count=counts.following,
        likes_received=counts.likes_received,
        saves_received=counts.saves_received,
        play_count=counts.plays if is_open else 0,
        top_genre=found.listened[0].genre if found.listened else "",
        listened=genre_shares(found.listened),
        made=genre_shares(found.made),
        badges=[
            badges_pb2.EarnedBadge(name=badge.badge, tier=badge.tier, earned_at=timestamp(badge.earned_at))
            for badge in found.badges
            if is_open or not tells_of_listening(badge.badge)
        ],
        relation=relation(found.relation),
        is_listed=found.is_listed,
    )


def genre_shares(counts: Sequence[GenreCount]) -> list[listening_pb2.GenreShare]:
    """Return counts with their parts of the whole."""
    whole = sum(each.count for each in counts)
    return [listening_pb2.GenreShare(genre=each.genre, count=each.count, share=each.count / whole) for each in counts]


def playlist(card: Card, *, is_liked: bool | None) -> playlists_pb2.Playlist:
    """Return a playlist as lists show it; `is_liked` is None for a guest."""
    return playlists_pb2.Playlist(
        playlist_id=card.playlist_id,
        owner_id=card.owner_id,
        title=card.title,
        description=card.description,
        visibility=playlists_pb2.Visibility.Value(f"VISIBILITY_{card.visibility.value}"),
        entry_count=card.entry_count,
        duration_seconds=card.duration_seconds,
        encoder_id=card.encoder_id,
        version=card.version,
        created_at=timestamp(card.created_at),
        updated_at=timestamp(card.updated_at),
        share_slug=card.share_slug,
        copied_from=card.copied_from or "",
        like_count=card.like_count,
        save_count=card.save_count,
        comment_count=card.comment_count,
        listed_at=None if card.listed_at is None else timestamp(card.listed_at),
        is_hidden=card.is_hidden,
        is_liked=is_liked,
    )
