"""People over HTTP: who they are, their figures, who follows whom; and what lists of them cost upstream."""

import base64
from typing import Any

import pytest

from museed.social.v1 import accounts_pb2, badges_pb2, listening_pb2, people_pb2
from services.chassis.errors import FailedPrecondition, NotFound, PermissionDenied
from tests.fakes.answers import NOW, made_up_id
from tests.fakes.upstreams import new_id, timestamp
from tests.integration.gateway.conftest import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

WHEN = "2026-01-02T03:04:05+00:00"
ERROR = "... on UserError { code message field value limit }"


def profile_of(user: accounts_pb2.User, **more: Any) -> people_pb2.Profile:
    fields: dict[str, Any] = {
        "user": user,
        "playlist_count": 3,
        "follower_count": 12,
        "following_count": 5,
        "likes_received": 2**33,
        "saves_received": 2,
        "play_count": 40,
        "top_genre": "Jazz",
        "listened": [listening_pb2.GenreShare(genre="Jazz", count=40, share=1.0)],
        "badges": [badges_pb2.EarnedBadge(name="seed_planter", tier=2, earned_at=timestamp())],
        "relation": people_pb2.Relation(is_following=True, is_follower=False, is_blocked=False),
        "is_listed": True,
        "liked_playlist_count": 7,
    }
    return people_pb2.Profile(**(fields | more))


async def test_a_profile_page_is_one_document_and_a_call_a_field(gateway: Gateway) -> None:
    user = gateway.social.add_user("mina")
    gateway.social.answers["GetProfile"] = people_pb2.GetProfileResponse(profile=profile_of(user))
    document = """query($name: String!) { user(username: $name) {
      id userId username nickname createdAt avatarUrl
      profile { playlistCount likedPlaylistCount followerCount followingCount likesReceived savesReceived playCount
        topGenre listened { genre count share } badges { name tier earnedAt } isListed }
      relation { isFollowing isFollower isBlocked }
    } }"""
    found = (await gateway.data(document, {"name": "MINA"}, gateway.bearer()))["user"]
    assert found == {
        "id": base64.b64encode(f"User:{user.user_id}".encode()).decode(),
        "userId": user.user_id,
        "username": "mina",
        "nickname": "Mina",
        "createdAt": WHEN,
        "avatarUrl": f"/users/{user.user_id}/avatar.svg",
        "profile": {
            "playlistCount": 3,
            "likedPlaylistCount": 7,
            "followerCount": 12,
            "followingCount": 5,
            "likesReceived": 8589934592,
            "savesReceived": 2,
            "playCount": 40,
            "topGenre": "Jazz",
            "listened": [{"genre": "Jazz", "count": 40, "share": 1.0}],
            "badges": [{"name": "seed_planter", "tier": 2, "earnedAt": WHEN}],
            "isListed": True,
        },
        "relation": {"isFollowing": True, "isFollower": False, "isBlocked": False},
    }
    assert gateway.behind.spent() == {"GetProfile": 1}
    assert gateway.social.requests["GetProfile"] == people_pb2.GetProfileRequest(username="MINA")


async def test_a_person_by_id_has_lists_badges_picture_and_listening(gateway: Gateway) -> None:
    user_id = new_id()
    document = """query($id: ID!) { user(id: $id) {
      userId
      followers(first: 3) { edges { cursor followedAt node { userId } } nodes { userId } pageInfo { hasNextPage } }
      following(first: 2) { nodes { userId } }
      badges { name rule progress tiers { tier threshold earnedAt } }
      avatar { svg etag }
      listening(range: MONTH, topCount: 7) { playCount heardSeconds topGenre listened { genre count share }
        made { genre } topTracks { trackId playCount } topArtists { artistId name playCount artist { trackCount } } }
    } }"""
    answers = gateway.social.answers
    answers["GetProfile"] = people_pb2.GetProfileResponse(
        profile=profile_of(accounts_pb2.User(user_id=user_id, username="mina", created_at=timestamp()))
    )
    answers["GetAvatar"] = badges_pb2.GetAvatarResponse(svg="<svg>음악</svg>".encode(), etag="abc")
    answers["ListBadges"] = badges_pb2.ListBadgesResponse(
        badges=[
            badges_pb2.Badge(
                name="seed_planter",
                rule="Made playlists.",
                tiers=[
                    badges_pb2.BadgeTier(tier=1, threshold=1, earned_at=timestamp()),
                    badges_pb2.BadgeTier(tier=2, threshold=10),
                ],
                progress=4,
            )
        ]
    )
    global_id = base64.b64encode(f"User:{user_id}".encode()).decode()
    found = (await gateway.data(document, {"id": global_id}))["user"]
    followers = [made_up_id("user_id", number) for number in range(3)]
    assert [edge["node"]["userId"] for edge in found["followers"]["edges"]] == followers
    assert [edge["followedAt"] for edge in found["followers"]["edges"]] == [WHEN] * 3
    assert [node["userId"] for node in found["following"]["nodes"]] == followers
    assert found["badges"] == [
        {
            "name": "seed_planter",
            "rule": "Made playlists.",
            "progress": 4,
            "tiers": [
                {"tier": 1, "threshold": 1, "earnedAt": WHEN},
                {"tier": 2, "threshold": 10, "earnedAt": None},
            ],
        }
    ]
    assert found["avatar"] == {"svg": "<svg>음악</svg>", "etag": "abc"}
    assert found["listening"]["topTracks"][1] == {"trackId": made_up_id("track_id", 1), "playCount": 2}
    assert found["listening"]["topArtists"][0] == {
        "artistId": made_up_id("artist_id"),
        "name": "name 0",
        "playCount": 1,
        "artist": {"trackCount": 1},
    }
    assert found["listening"]["heardSeconds"] == 0.5
    asked = gateway.social.requests
    assert asked["ListFollowers"] == people_pb2.ListFollowersRequest(user_id=user_id, page_size=3)
    assert asked["GetListening"] == listening_pb2.GetListeningRequest(
        user_id=user_id, range=listening_pb2.LISTENING_RANGE_MONTH, top_count=7
    )
    assert gateway.behind.spent() == {
        "GetProfile": 1,
        "ListFollowers": 1,
        "ListFollowing": 1,
        "ListBadges": 1,
        "GetAvatar": 1,
        "GetListening": 1,
        "BatchGetArtists": 1,
    }


async def test_lists_of_people_cost_the_same_whatever_their_length(gateway: Gateway) -> None:
    document = """query($id: ID!, $first: Int!) { user(id: $id) { followers(first: $first) { nodes {
      username profile { followerCount } relation { isFollowing } badges { name } avatar { etag }
      followers(first: 2) { nodes { username } } following(first: 2) { nodes { username } }
    } } } }"""
    spent = []
    for size in (3, 30):
        gateway.social.list_size = size
        found = await gateway.data(document, {"id": new_id(), "first": size}, gateway.bearer())
        nodes = found["user"]["followers"]["nodes"]
        assert len(nodes) == size
        assert all(node["profile"] and node["badges"] and node["avatar"] and node["relation"] for node in nodes)
        assert all(len(node["followers"]["nodes"]) == len(node["following"]["nodes"]) == 2 for node in nodes)
        spent.append(gateway.behind.spent())
    assert (
        spent
        == [
            {
                "GetProfile": 1,
                "ListFollowers": 1,
                "BatchGetProfiles": 1,
                "BatchGetBadges": 1,
                "BatchGetAvatars": 1,
                "BatchGetFollowers": 1,
                "BatchGetFollowing": 1,
            }
        ]
        * 2
    )


async def test_listening_of_a_list_is_one_call_and_bounded(gateway: Gateway) -> None:
    document = """query($id: ID!) { user(id: $id) { followers(first: 100) { nodes {
      username listening(range: WEEK) { topGenre } } } } }"""
    gateway.social.list_size = 20
    found = await gateway.data(document, {"id": new_id()})
    nodes = found["user"]["followers"]["nodes"]
    assert [node["listening"] for node in nodes] == [{"topGenre": f"top_genre {number}"} for number in range(20)]
    assert gateway.behind.spent() == {"GetProfile": 1, "ListFollowers": 1, "BatchGetListening": 1}
    gateway.social.list_size = 21
    body = await gateway.run(document, {"id": new_id()})
    assert body["data"]["user"]["followers"]["nodes"][20] == {"username": "username 20", "listening": None}
    assert body["errors"][0]["extensions"] == {
        "code": "RESOURCE_EXHAUSTED",
        "reason": "TOO_MANY_PEOPLE",
        "field": "listening",
        "value": "21",
        "limit": "20",
    }
    assert gateway.behind.spent() == {"GetProfile": 1, "ListFollowers": 1}


async def test_whom_a_batch_leaves_out_is_null_and_a_failing_group_spoils_no_other(gateway: Gateway) -> None:
    document = """query($id: ID!) { user(id: $id) { followers(first: 3) { nodes {
      username profile { followerCount } relation { isFollowing } badges { name } avatar { svg }
      few: followers(first: 2) { nodes { username } } bad: followers(first: 2, after: "MDp4") { nodes { username } }
      listening { topGenre } } } } }"""
    answers = gateway.social.answers
    answers["BatchGetProfiles"] = people_pb2.BatchGetProfilesResponse()
    answers["BatchGetBadges"] = badges_pb2.BatchGetBadgesResponse()
    answers["BatchGetAvatars"] = badges_pb2.BatchGetAvatarsResponse()
    answers["BatchGetListening"] = listening_pb2.BatchGetListeningResponse()

    def followers(request: people_pb2.ListFollowersRequest) -> people_pb2.ListFollowersResponse:
        if request.page_token:
            raise PermissionDenied("not yours", reason="NOT_YOURS", field="page_token")
        return people_pb2.ListFollowersResponse(
            followers=[
                people_pb2.FollowEdge(
                    user=accounts_pb2.User(user_id=new_id(), username=name, created_at=timestamp()),
                    followed_at=timestamp(),
                )
                for name in ("ann", "bob", "cid")
            ]
        )

    answers["ListFollowers"] = followers
    body = await gateway.run(document, {"id": new_id()}, gateway.bearer())
    assert body["data"]["user"]["followers"]["nodes"][0] == {
        "username": "ann",
        "profile": None,
        "relation": None,
        "badges": None,
        "avatar": None,
        "few": {"nodes": [{"username": "username 0"}, {"username": "username 1"}]},
        "bad": None,
        "listening": None,
    }
    refused = [(error["path"][-1], error["extensions"]["reason"]) for error in body["errors"]]
    assert refused == [("bad", "NOT_YOURS")] * 3
    assert body["errors"][0]["extensions"]["field"] == "after"


async def test_one_who_keeps_listening_to_themselves_has_none(gateway: Gateway) -> None:
    gateway.social.faults["GetListening"] = NotFound("there is no such user", reason="USER_NOT_FOUND", field="user_id")
    found = await gateway.data("query($id: ID!) { user(id: $id) { listening { topGenre } } }", {"id": new_id()})
    assert found == {"user": {"listening": None}}


async def test_what_social_leaves_out_of_a_profile_is_null(gateway: Gateway) -> None:
    user = accounts_pb2.User(user_id=new_id(), username="shy", nickname="Shy", created_at=timestamp())
    gateway.social.answers["GetProfile"] = people_pb2.GetProfileResponse(profile=people_pb2.Profile(user=user))
    document = "query($id: ID!) { user(id: $id) { profile { topGenre isListed } relation { isBlocked } } }"
    found = await gateway.data(document, {"id": user.user_id})
    assert found == {"user": {"profile": {"topGenre": None, "isListed": False}, "relation": None}}


@pytest.mark.parametrize(
    ("document", "reason", "field"),
    [
        ("{ user { username } }", "USER_AMBIGUOUS", "id"),
        ('{ user(id: "x", username: "y") { username } }', "USER_AMBIGUOUS", "id"),
        ('{ user(id: "x") { username } }', "ID_INVALID", "id"),
        ('{ user(id: "VHJhY2s6MDE5MGEwMDAtMDAwMC03MDAwLTgwMDAtMDAwMDAwMDAwMDAw") { username } }',
         "ID_OF_ANOTHER_TYPE", "id"),
        ('{ user(username: "a") { followers(first: 101) { nodes { id } } } }', "PAGE_SIZE_OUT_OF_RANGE", "first"),
        ('{ user(username: "a") { following(after: "?") { nodes { id } } } }', "CURSOR_INVALID", "after"),
        ('{ user(username: "a") { listening(topCount: 0) { playCount } } }', "OUT_OF_RANGE", "topCount"),
        ('{ user(username: "a") { listening(topCount: 51) { playCount } } }', "OUT_OF_RANGE", "topCount"),
    ],
)  # fmt: skip
async def test_bad_input_is_named(gateway: Gateway, document: str, reason: str, field: str) -> None:
    error = (await gateway.run(document))["errors"][0]["extensions"]
    assert (error["code"], error["reason"], error["field"]) == ("INVALID_ARGUMENT", reason, field)


async def test_an_unknown_person_is_a_coded_error(gateway: Gateway) -> None:
    gateway.social.faults["GetProfile"] = NotFound(
        "there is no such user", reason="USER_NOT_FOUND", field="username", value="nobody"
    )
    for arguments, field in (('username: "nobody"', "username"), (f'id: "{new_id()}"', "id")):
        body = await gateway.run(f"{{ user({arguments}) {{ username }} }}")
        extensions = body["errors"][0]["extensions"]
        assert body["data"] == {"user": None}
        assert (extensions["code"], extensions["reason"], extensions["field"]) == ("NOT_FOUND", "USER_NOT_FOUND", field)


@pytest.mark.parametrize(
    ("name", "rpc"),
    [
        ("followUser", "Follow"),
        ("unfollowUser", "Unfollow"),
        ("blockUser", "BlockUser"),
        ("unblockUser", "UnblockUser"),
    ],
)
async def test_changes_between_people_return_them_as_they_are_now(gateway: Gateway, name: str, rpc: str) -> None:
    user = gateway.social.add_user("mina")
    title = name[0].upper() + name[1:]
    document = f"""mutation($input: {title}Input!) {{ {name}(input: $input) {{ __typename
      ... on {title}Success {{ userId relation {{ isFollowing isFollower isBlocked }}
        user {{ username profile {{ followerCount }} }} }} {ERROR} }} }}"""
    gateway.social.answers["GetProfile"] = people_pb2.GetProfileResponse(profile=profile_of(user))
    found = (await gateway.data(document, {"input": {"userId": user.user_id}}, gateway.bearer()))[name]
    assert found == {
        "__typename": f"{title}Success",
        "userId": user.user_id,
        "relation": {"isFollowing": True, "isFollower": True, "isBlocked": True},
        "user": {"username": "mina", "profile": {"followerCount": 12}},
    }
    assert gateway.social.requests[rpc].user_id == user.user_id
    assert gateway.behind.spent() == {rpc: 1, "BatchGetUsers": 1, "GetProfile": 1}
    gateway.social.faults[rpc] = FailedPrecondition(
        "this is your own account", reason="OWN_ACCOUNT", field="user_id", value=user.user_id
    )
    refused = (await gateway.data(document, {"input": {"userId": user.user_id}}, gateway.bearer()))[name]
    assert refused == {
        "__typename": "ConflictError",
        "code": "OWN_ACCOUNT",
        "message": "this is your own account",
        "field": "userId",
        "value": user.user_id,
        "limit": None,
    }
    guest = (await gateway.data(document, {"input": {"userId": user.user_id}}))[name]
    assert guest["__typename"] == "UnauthenticatedError"


async def test_one_may_block_who_is_not_to_be_seen(gateway: Gateway) -> None:
    user_id = new_id()
    document = """mutation($input: BlockUserInput!) { blockUser(input: $input) {
      ... on BlockUserSuccess { userId user { username } relation { isBlocked } } } }"""
    found = (await gateway.data(document, {"input": {"userId": user_id}}, gateway.bearer()))["blockUser"]
    assert found == {"userId": user_id, "user": None, "relation": {"isBlocked": True}}


async def test_blocked_people_are_listed_with_their_time(gateway: Gateway) -> None:
    people = [gateway.social.add_user(name) for name in ("ann", "bob", "cid")]

    def blocked(request: people_pb2.ListBlockedUsersRequest) -> people_pb2.ListBlockedUsersResponse:
        start = int(request.page_token or 0)
        end = start + request.page_size
        return people_pb2.ListBlockedUsersResponse(
            blocked=[people_pb2.BlockedUser(user=one, blocked_at=timestamp(NOW)) for one in people[start:end]],
            next_page_token=str(end) if end < len(people) else "",
        )

    gateway.social.answers["ListBlockedUsers"] = blocked
    document = """query($after: String) { blockedUsers(first: 2, after: $after) {
      pageInfo { hasNextPage endCursor } edges { cursor blockedAt node { username } } nodes { username } } }"""
    first = (await gateway.data(document, headers=gateway.bearer()))["blockedUsers"]
    assert first["nodes"] == [{"username": "ann"}, {"username": "bob"}]
    assert first["edges"][0]["blockedAt"] == WHEN
    rest = (await gateway.data(document, {"after": first["pageInfo"]["endCursor"]}, gateway.bearer()))["blockedUsers"]
    assert (rest["nodes"], rest["pageInfo"]["hasNextPage"]) == ([{"username": "cid"}], False)
    behind = (await gateway.data(document, {"after": first["edges"][0]["cursor"]}, gateway.bearer()))["blockedUsers"]
    assert behind["nodes"] == [{"username": "bob"}, {"username": "cid"}]
    assert (await gateway.run(document))["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_user_by_global_id_is_a_node_with_all_of_that(gateway: Gateway) -> None:
    user = gateway.social.add_user("mina")
    gateway.social.answers["GetProfile"] = people_pb2.GetProfileResponse(profile=profile_of(user))
    id_ = base64.b64encode(f"User:{user.user_id}".encode()).decode()
    document = "query($id: ID!) { node(id: $id) { ... on User { username profile { followerCount } } } }"
    found = await gateway.data(document, {"id": id_})
    assert found == {"node": {"username": "mina", "profile": {"followerCount": 12}}}


async def test_what_one_mutation_showed_is_read_anew_for_the_next(gateway: Gateway) -> None:
    user = gateway.social.add_user("mina")
    counts = iter((1, 0))

    def profile(request: people_pb2.GetProfileRequest) -> people_pb2.GetProfileResponse:
        return people_pb2.GetProfileResponse(profile=profile_of(user, follower_count=next(counts)))

    gateway.social.answers["GetProfile"] = profile
    document = """mutation($id: ID!) {
      followUser(input: {userId: $id}) { ... on FollowUserSuccess { user { profile { followerCount } } } }
      unfollowUser(input: {userId: $id}) { ... on UnfollowUserSuccess { user { profile { followerCount } } } }
    }"""
    assert await gateway.data(document, {"id": user.user_id}, gateway.bearer()) == {
        "followUser": {"user": {"profile": {"followerCount": 1}}},
        "unfollowUser": {"user": {"profile": {"followerCount": 0}}},
    }
    assert gateway.behind.spent() == {"Follow": 1, "Unfollow": 1, "BatchGetUsers": 2, "GetProfile": 2}


async def test_people_are_found_by_name_in_one_call(gateway: Gateway) -> None:
    users = [accounts_pb2.User(user_id=new_id(), username=name, created_at=timestamp()) for name in ("mina", "minho")]
    gateway.social.answers["SearchPeople"] = people_pb2.SearchPeopleResponse(users=users, next_page_token="more")
    document = """query($after: String) { searchUsers(query: "min", first: 2, after: $after) {
      nodes { username } pageInfo { hasNextPage endCursor } } }"""
    found = (await gateway.data(document))["searchUsers"]
    assert found["nodes"] == [{"username": "mina"}, {"username": "minho"}]
    assert found["pageInfo"]["hasNextPage"] is True
    await gateway.data(document, {"after": found["pageInfo"]["endCursor"]})
    assert gateway.social.requests["SearchPeople"] == people_pb2.SearchPeopleRequest(
        query="min", page_size=2, page_token="more"
    )
    assert gateway.behind.spent() == {"SearchPeople": 2}


async def test_own_account_has_an_id_by_which_it_is_found(gateway: Gateway) -> None:
    headers = gateway.bearer(sub=new_id())
    viewer = (await gateway.data("{ me { id email user { userId } } }", headers=headers))["me"]
    assert base64.b64decode(viewer["id"]).decode() == f"Viewer:{viewer['user']['userId']}"
    document = "query($id: ID!) { node(id: $id) { id ... on Viewer { email } } }"
    found = await gateway.data(document, {"id": viewer["id"]}, headers)
    assert found["node"] == {"id": viewer["id"], "email": viewer["email"]}
    for who, reason in ((gateway.bearer(sub=new_id()), "USER_NOT_FOUND"), ({}, "LOGIN_REQUIRED")):
        body = await gateway.run(document, {"id": viewer["id"]}, who)
        assert (body["data"], body["errors"][0]["extensions"]["reason"]) == ({"node": None}, reason)
