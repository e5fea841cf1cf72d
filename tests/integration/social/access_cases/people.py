"""Following, feeds and notifications."""

from museed.social.v1 import feed_pb2, people_pb2
from tests.integration.social.access_cases import (
    BLOCKED,
    EVERYBODY,
    LOGGED_IN,
    Case,
    Cases,
    World,
)

# The owner blocks one person, who finds nobody there.
_NOT_BLOCKED = EVERYBODY - {BLOCKED}


async def _profile(world: World) -> people_pb2.GetProfileRequest:
    return people_pb2.GetProfileRequest(user_id=world.owner.user_id)


async def _suspended_profile(world: World) -> people_pb2.GetProfileRequest:
    name = f"suspended{len(world.made)}"
    person = await world.client.sign_up(name)
    world.made[name] = person.user_id
    await world.sql.execute("UPDATE users SET suspended_at = now() WHERE user_id = $1", person.user_id)
    return people_pb2.GetProfileRequest(username=name)


async def _followers(world: World) -> people_pb2.ListFollowersRequest:
    return people_pb2.ListFollowersRequest(user_id=world.owner.user_id)


async def _following(world: World) -> people_pb2.ListFollowingRequest:
    return people_pb2.ListFollowingRequest(user_id=world.owner.user_id)


async def _follow(world: World) -> people_pb2.FollowRequest:
    # Whom everybody but one who is blocked may follow, the owner too.
    other = await world.client.sign_up(f"star{len(world.made)}")
    world.made[other.username] = other.user_id
    await world.sql.execute(
        "INSERT INTO user_blocks (blocker_id, blocked_id, at) VALUES ($1, $2, now())",
        other.user_id,
        world.people[BLOCKED].user_id,
    )
    return people_pb2.FollowRequest(user_id=other.user_id)


async def _unfollow(world: World) -> people_pb2.UnfollowRequest:
    return people_pb2.UnfollowRequest(user_id=(await _follow(world)).user_id)


async def _block(world: World) -> people_pb2.BlockUserRequest:
    return people_pb2.BlockUserRequest(user_id=(await _follow(world)).user_id)


async def _unblock(world: World) -> people_pb2.UnblockUserRequest:
    return people_pb2.UnblockUserRequest(user_id=(await _follow(world)).user_id)


async def _playlists(world: World) -> feed_pb2.ListPlaylistsOfUserRequest:
    return feed_pb2.ListPlaylistsOfUserRequest(user_id=world.owner.user_id)


async def _liked(world: World) -> feed_pb2.ListLikedPlaylistsRequest:
    return feed_pb2.ListLikedPlaylistsRequest(user_id=world.owner.user_id)


CASES: Cases = {
    "PeopleService/GetProfile": Case(_profile, _NOT_BLOCKED),
    "PeopleService/GetProfile, suspended": Case(_suspended_profile, frozenset()),
    "PeopleService/BatchGetProfiles": "leaves out whom the caller may not see; test_public_profiles.py",
    "PeopleService/BatchGetFollowers": "leaves out whom the caller may not see; test_batches.py",
    "PeopleService/BatchGetFollowing": "leaves out whom the caller may not see; test_batches.py",
    "PeopleService/SearchPeople": "leaves out whom the caller may not see; test_people_search.py",
    "PeopleService/ListFollowers": Case(_followers, _NOT_BLOCKED),
    "PeopleService/ListFollowing": Case(_following, _NOT_BLOCKED),
    "PeopleService/Follow": Case(_follow, LOGGED_IN - {BLOCKED}),
    "PeopleService/Unfollow": Case(_unfollow, LOGGED_IN - {BLOCKED}),
    "PeopleService/BlockUser": Case(_block, LOGGED_IN),
    "PeopleService/UnblockUser": Case(_unblock, LOGGED_IN),
    "PeopleService/ListBlockedUsers": "lists the caller's own",
    "FeedService/ListFeed": "gathers the caller's own",
    "FeedService/ListFollowedIds": "lists the caller's own",
    "FeedService/ListTrending": "leaves out what the caller may not see; test_trending.py",
    "FeedService/SearchPlaylists": "leaves out what the caller may not see; test_playlist_search.py",
    "FeedService/ListLatest": "leaves out what the caller may not see; test_public_profiles.py",
    "FeedService/ListPlaylistsOfUser": Case(_playlists, _NOT_BLOCKED),
    "FeedService/BatchListPlaylistsOfUsers": "leaves out whom the caller does not see: test_first_pages",
    "FeedService/BatchListLikedPlaylists": "leaves out whom the caller does not see: test_keys_and_waits",
    "FeedService/ListLikedPlaylists": Case(_liked, _NOT_BLOCKED),
    "NotificationService/ListNotifications": "lists the caller's own",
    "NotificationService/CountUnread": "counts the caller's own",
    "NotificationService/MarkRead": "marks the caller's own, others stay as they are; test_notifications.py",
}
