"""Translates people to messages."""

from collections.abc import Sequence

from museed.social.v1 import accounts_pb2, badges_pb2, listening_pb2, people_pb2
from services.social.domain.badges import tells_of_listening
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
        liked_playlist_count=counts.likes_given,
    )


def genre_shares(counts: Sequence[GenreCount]) -> list[listening_pb2.GenreShare]:
    """Return counts with their parts of the whole."""
    whole = sum(each.count for each in counts)
    return [listening_pb2.GenreShare(genre=each.genre, count=each.count, share=each.count / whole) for each in counts]
