"""What people do, written straight into tables where no other part of the service is meant."""

from datetime import UTC, datetime, timedelta

from museed.social.v1 import (
    access_pb2_grpc,
    feed_pb2_grpc,
    notifications_pb2_grpc,
    people_pb2,
    people_pb2_grpc,
)
from services.social.domain.ids import PlaylistId, UserId
from tests.integration.social.conftest import TIMEOUT_S, Client, Person, Sql
from tests.integration.social.test_tallier import make_person, make_playlist

__all__ = [
    "NOW",
    "block",
    "feeds",
    "follow",
    "follow_in_tables",
    "like",
    "make_person",
    "make_playlist",
    "notes",
    "people",
    "profile",
    "show",
    "views",
]

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def people(client: Client) -> "people_pb2_grpc.PeopleServiceAsyncStub":
    return people_pb2_grpc.PeopleServiceStub(client.channel)


def feeds(client: Client) -> "feed_pb2_grpc.FeedServiceAsyncStub":
    return feed_pb2_grpc.FeedServiceStub(client.channel)


def notes(client: Client) -> "notifications_pb2_grpc.NotificationServiceAsyncStub":
    return notifications_pb2_grpc.NotificationServiceStub(client.channel)


def views(client: Client) -> "access_pb2_grpc.ViewServiceAsyncStub":
    return access_pb2_grpc.ViewServiceStub(client.channel)


async def follow(client: Client, who: Person, whom: str) -> people_pb2.Relation:
    request = people_pb2.FollowRequest(user_id=whom)
    return (await people(client).Follow(request, timeout=TIMEOUT_S, metadata=who.metadata)).relation


async def block(client: Client, who: Person, whom: str) -> people_pb2.Relation:
    request = people_pb2.BlockUserRequest(user_id=whom)
    return (await people(client).BlockUser(request, timeout=TIMEOUT_S, metadata=who.metadata)).relation


async def profile(client: Client, who: Person | None, user_id: str) -> people_pb2.Profile:
    request = people_pb2.GetProfileRequest(user_id=user_id)
    metadata = None if who is None else who.metadata
    return (await people(client).GetProfile(request, timeout=TIMEOUT_S, metadata=metadata)).profile


async def follow_in_tables(sql: Sql, follower: str, followee: str, at: datetime = NOW) -> None:
    await sql.execute("INSERT INTO follows (follower_id, followee_id, at) VALUES ($1, $2, $3)", follower, followee, at)


async def like(sql: Sql, user_id: str, playlist_id: str, at: datetime = NOW) -> None:
    await sql.execute("INSERT INTO likes (user_id, playlist_id, at) VALUES ($1, $2, $3)", user_id, playlist_id, at)


async def show(sql: Sql, owner_id: str, minutes: int = 0) -> PlaylistId:
    """Make a public playlist, listed so many minutes after NOW."""
    playlist_id = await make_playlist(sql, UserId(owner_id))
    await sql.execute(
        "UPDATE playlists SET visibility = 'PUBLIC', updated_at = $2 WHERE playlist_id = $1",
        playlist_id,
        NOW + timedelta(minutes=minutes),
    )
    return playlist_id
