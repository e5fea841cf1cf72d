"""Playlists over HTTP: what is told of them, in how many calls, by id, by link, and in lists."""

import base64
from typing import Any

import pytest

from museed.social.v1 import accounts_pb2, engagement_pb2, exchange_pb2, feed_pb2, people_pb2, playlists_pb2
from services.gateway.schema.paging import cursor
from tests.fakes.upstreams import new_id, timestamp
from tests.integration.gateway.conftest import Gateway, serving_gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVERYTHING = """query($id: ID!) { playlist(id: $id) {
  shareSlug shareUrl likeCount saveCount commentCount listedAt isHidden isLiked
  copiedFromId copiedFrom { title } exportUrl(format: XSPF) entries { nodes { addedById addedBy { username } } } } }"""
LIST = """query($first: Int!) { myPlaylists(first: 100) { nodes {
  title owner { username } copiedFrom { title }
  entries(first: $first) { pageInfo { hasNextPage } nodes { track { title } addedBy { username } } }
  comments(first: 5) { nodes { text author { username } } }
  likers(first: 5) { edges { likedAt node { username } } } } } }"""


async def test_everything_social_tells_of_a_playlist_is_told(gateway: Gateway) -> None:
    helper = gateway.social.add_user("helper")
    source = gateway.social.add_playlist([])
    playlist = gateway.social.add_playlist(gateway.social.add_tracks(2))
    playlist.MergeFrom(
        playlists_pb2.Playlist(
            share_slug="a-slug",
            copied_from=source.playlist_id,
            like_count=3,
            save_count=2,
            comment_count=1,
            listed_at=timestamp(),
            is_liked=True,
        )
    )
    gateway.social.playlists[playlist.playlist_id].playlist.CopyFrom(playlist)
    gateway.social.playlists[playlist.playlist_id].entries[1].added_by = helper.user_id
    found = (await gateway.data(EVERYTHING, {"id": playlist.playlist_id}))["playlist"]
    assert found == {
        "shareSlug": "a-slug",
        "shareUrl": "/p/a-slug",
        "likeCount": 3,
        "saveCount": 2,
        "commentCount": 1,
        "listedAt": "2026-01-02T03:04:05+00:00",
        "isHidden": False,
        "isLiked": True,
        "copiedFromId": source.playlist_id,
        "copiedFrom": {"title": "Like Track 000"},
        "exportUrl": f"/playlists/{playlist.playlist_id}/export.xspf",
        "entries": {
            "nodes": [
                {"addedById": None, "addedBy": None},
                {"addedById": helper.user_id, "addedBy": {"username": "helper"}},
            ]
        },
    }
    assert gateway.behind.spent() == {"GetPlaylist": 1, "BatchGetPlaylists": 1, "BatchGetUsers": 1}


async def test_what_social_does_not_tell_of_a_playlist_is_null(gateway: Gateway) -> None:
    playlist = gateway.social.add_playlist([])
    found = (await gateway.data(EVERYTHING, {"id": playlist.playlist_id}))["playlist"]
    left_out = ("shareSlug", "shareUrl", "listedAt", "isLiked", "copiedFromId", "copiedFrom")
    assert [found[name] for name in left_out] == [None] * 6
    gone = gateway.social.add_playlist([])
    gone.copied_from = new_id()
    gateway.social.playlists[gone.playlist_id].playlist.CopyFrom(gone)
    found = (await gateway.data(EVERYTHING, {"id": gone.playlist_id}))["playlist"]
    assert (found["copiedFromId"], found["copiedFrom"]) == (gone.copied_from, None)


async def test_list_of_playlists_costs_the_same_calls_whatever_its_length(gateway: Gateway) -> None:
    spent = []
    for count in (3, 30):
        gateway.behind.reset()
        owner = gateway.social.add_user("owner")
        tracks = gateway.social.add_tracks(7)
        source = gateway.social.add_playlist([], "somebody-else")
        for number in range(count):
            made = gateway.social.add_playlist(tracks[: number % 7], owner.user_id)
            made.copied_from = source.playlist_id
            gateway.social.playlists[made.playlist_id].playlist.CopyFrom(made)
        nodes = (await gateway.data(LIST, {"first": 3}, gateway.bearer(sub=owner.user_id)))["myPlaylists"]["nodes"]
        for number, node in enumerate(nodes):
            titles = [entry["track"]["title"] for entry in node["entries"]["nodes"]]
            assert titles == [track.title for track in tracks[: min(number % 7, 3)]]
            assert node["entries"]["pageInfo"]["hasNextPage"] is (number % 7 > 3)
            assert node["owner"] == {"username": "owner"}
            assert node["copiedFrom"] == {"title": "Like Track 000"}
            assert len(node["comments"]["nodes"]) == len(node["likers"]["edges"]) == 2
        assert len(nodes) == count
        spent.append(gateway.behind.spent())
    once = {
        "ListMyPlaylists": 1,
        "BatchGetPlaylists": 1,
        "BatchListEntries": 1,
        "BatchGetTracks": 1,
        "BatchListComments": 1,
        "BatchListLikers": 1,
    }
    assert [{name: count for name, count in each.items() if name != "BatchGetUsers"} for each in spent] == [once] * 2
    # Owners, and authors of comments: known at two times.
    assert spent[0]["BatchGetUsers"] == spent[1]["BatchGetUsers"] == 2


async def test_entries_below_a_list_go_on_behind_any_cursor(gateway: Gateway) -> None:
    tracks = gateway.social.add_tracks(5)
    gateway.social.add_playlist(tracks)
    document = """query($first: Int!, $after: String) { myPlaylists { nodes { entries(first: $first, after: $after) {
      pageInfo { hasNextPage hasPreviousPage endCursor } edges { cursor node { position } } } } } }"""

    async def page(first: int, after: str | None) -> dict[str, Any]:
        found = await gateway.data(document, {"first": first, "after": after}, gateway.bearer())
        entries: dict[str, Any] = found["myPlaylists"]["nodes"][0]["entries"]
        return entries

    first = await page(3, None)
    assert [edge["node"]["position"] for edge in first["edges"]] == [0, 1, 2]
    assert (first["pageInfo"]["hasNextPage"], first["pageInfo"]["hasPreviousPage"]) == (True, False)
    second = await page(2, first["edges"][1]["cursor"])
    assert [edge["node"]["position"] for edge in second["edges"]] == [2, 3]
    last = await page(3, second["pageInfo"]["endCursor"])
    assert [edge["node"]["position"] for edge in last["edges"]] == [4]
    assert (last["pageInfo"]["hasNextPage"], last["pageInfo"]["hasPreviousPage"]) == (False, True)
    assert (await page(3, cursor("999999", 0)))["edges"] == []
    body = await gateway.run(document, {"first": 101, "after": None}, gateway.bearer())
    assert body["errors"][0]["extensions"]["reason"] == "PAGE_SIZE_OUT_OF_RANGE"
    # The cursors are those of the list that comes whole: a client may go on there.
    (playlist_id,) = gateway.social.playlists
    whole = """query($id: ID!, $after: String) { playlist(id: $id) { entries(first: 3, after: $after) {
      nodes { position } } } }"""
    found = await gateway.data(whole, {"id": playlist_id, "after": first["edges"][1]["cursor"]}, gateway.bearer())
    assert [node["position"] for node in found["playlist"]["entries"]["nodes"]] == [2, 3, 4]


async def test_first_pages_of_many_comments_are_asked_for_in_parts_that_social_takes(gateway: Gateway) -> None:
    asked: list[int] = []

    def answer(request: engagement_pb2.BatchListCommentsRequest) -> engagement_pb2.BatchListCommentsResponse:
        asked.append(len(request.playlist_ids))
        return engagement_pb2.BatchListCommentsResponse()

    gateway.social.answers["BatchListComments"] = answer
    for _ in range(30):
        gateway.social.add_playlist([])
    document = "{ myPlaylists(first: 30) { nodes { comments(first: 100) { nodes { text } } } } }"
    found = await gateway.data(document, headers=gateway.bearer())
    assert asked == [10, 10, 10]
    assert [node["comments"]["nodes"] for node in found["myPlaylists"]["nodes"]] == [[]] * 30


async def test_playlist_by_its_link(gateway: Gateway) -> None:
    tracks = gateway.social.add_tracks(2)
    playlist = gateway.social.add_playlist(tracks, visibility=playlists_pb2.VISIBILITY_UNLISTED)
    gateway.social.playlists[playlist.playlist_id].playlist.share_slug = "a-slug"
    document = """query($slug: String!) { playlistByShareSlug(shareSlug: $slug) {
      playlistId entries { nodes { track { title } } } } }"""
    found = await gateway.data(document, {"slug": "a-slug"})
    assert found["playlistByShareSlug"]["playlistId"] == playlist.playlist_id
    assert [node["track"]["title"] for node in found["playlistByShareSlug"]["entries"]["nodes"]] == [
        "Track 000",
        "Track 001",
    ]
    assert gateway.behind.spent() == {"GetPlaylistBySlug": 1, "BatchGetTracks": 1}
    body = await gateway.run(document, {"slug": "another"})
    assert body["data"] == {"playlistByShareSlug": None}
    assert body["errors"][0]["extensions"] == {
        "code": "NOT_FOUND",
        "reason": "PLAYLIST_NOT_FOUND",
        "field": "shareSlug",
        "value": "another",
    }


async def test_addresses_begin_with_the_public_url(tmp_path: Any) -> None:
    async with serving_gateway(tmp_path, public_url="https://music.example.org") as gateway:
        playlist = gateway.social.add_playlist([])
        gateway.social.playlists[playlist.playlist_id].playlist.share_slug = "a-slug"
        found = (await gateway.data(EVERYTHING, {"id": playlist.playlist_id}))["playlist"]
    assert found["shareUrl"] == "https://music.example.org/p/a-slug"
    assert found["exportUrl"] == f"https://music.example.org/playlists/{playlist.playlist_id}/export.xspf"


COMMENTS = """query($id: ID!, $after: String) { playlist(id: $id) { comments(first: 2, after: $after) {
  pageInfo { hasNextPage endCursor } nodes { id commentId text createdAt editedAt isHidden authorId author { username }
    playlist { title } } } } }"""


async def test_comments_are_paged_and_may_have_no_author(gateway: Gateway) -> None:
    playlist = gateway.social.add_playlist([])
    author = gateway.social.add_user("author")
    said = [
        engagement_pb2.Comment(
            comment_id=new_id(),
            playlist_id=playlist.playlist_id,
            author_id=author.user_id if number else "",
            text=f"text {number}",
            created_at=timestamp(),
            edited_at=timestamp() if number else None,
        )
        for number in range(3)
    ]
    gateway.social.answers["BatchListComments"] = engagement_pb2.BatchListCommentsResponse(
        playlists=[
            engagement_pb2.CommentsOfPlaylist(
                playlist_id=playlist.playlist_id, comments=said[:2], next_page_token="a token"
            )
        ]
    )
    gateway.social.answers["ListComments"] = engagement_pb2.ListCommentsResponse(comments=said[2:])
    first = (await gateway.data(COMMENTS, {"id": playlist.playlist_id}))["playlist"]["comments"]
    assert first["nodes"] == [
        {
            "id": base64.b64encode(f"Comment:{said[0].comment_id}".encode()).decode(),
            "commentId": said[0].comment_id,
            "text": "text 0",
            "createdAt": "2026-01-02T03:04:05+00:00",
            "editedAt": None,
            "isHidden": False,
            "authorId": None,
            "author": None,
            "playlist": {"title": "Like Track 000"},
        },
        {
            "id": base64.b64encode(f"Comment:{said[1].comment_id}".encode()).decode(),
            "commentId": said[1].comment_id,
            "text": "text 1",
            "createdAt": "2026-01-02T03:04:05+00:00",
            "editedAt": "2026-01-02T03:04:05+00:00",
            "isHidden": False,
            "authorId": author.user_id,
            "author": {"username": "author"},
            "playlist": {"title": "Like Track 000"},
        },
    ]
    assert first["pageInfo"]["hasNextPage"] is True
    variables = {"id": playlist.playlist_id, "after": first["pageInfo"]["endCursor"]}
    second = (await gateway.data(COMMENTS, variables))["playlist"]["comments"]
    assert [node["text"] for node in second["nodes"]] == ["text 2"]
    assert second["pageInfo"]["hasNextPage"] is False
    assert gateway.social.requests["ListComments"] == engagement_pb2.ListCommentsRequest(
        playlist_id=playlist.playlist_id, page_size=2, page_token="a token"
    )


async def test_comment_is_a_node(gateway: Gateway) -> None:
    comment = engagement_pb2.Comment(comment_id=new_id(), text="Hm", created_at=timestamp())
    gateway.social.answers["BatchGetComments"] = engagement_pb2.BatchGetCommentsResponse(comments=[comment])
    document = "query($id: ID!) { node(id: $id) { __typename ... on Comment { text } } }"
    global_id = base64.b64encode(f"Comment:{comment.comment_id}".encode()).decode()
    assert await gateway.data(document, {"id": global_id}) == {"node": {"__typename": "Comment", "text": "Hm"}}
    other = base64.b64encode(f"Comment:{new_id()}".encode()).decode()
    body = await gateway.run(document, {"id": other})
    assert [error["extensions"]["reason"] for error in body["errors"]] == ["COMMENT_NOT_FOUND"]


async def test_likers_tell_since_when(gateway: Gateway) -> None:
    playlist = gateway.social.add_playlist([])
    fan = accounts_pb2.User(user_id=new_id(), username="fan", nickname="Fan", created_at=timestamp())
    gateway.social.answers["BatchListLikers"] = engagement_pb2.BatchListLikersResponse(
        playlists=[
            engagement_pb2.LikersOfPlaylist(
                playlist_id=playlist.playlist_id,
                likers=[engagement_pb2.Liker(user=fan, liked_at=timestamp())],
                next_page_token="a token",
            )
        ]
    )
    gateway.social.answers["ListLikers"] = engagement_pb2.ListLikersResponse()
    document = """query($id: ID!, $after: String) { playlist(id: $id) { likers(after: $after) {
      pageInfo { hasNextPage endCursor } nodes { nickname } edges { likedAt node { username } } } } }"""
    found = (await gateway.data(document, {"id": playlist.playlist_id}))["playlist"]["likers"]
    assert (found["nodes"], found["edges"]) == (
        [{"nickname": "Fan"}],
        [{"likedAt": "2026-01-02T03:04:05+00:00", "node": {"username": "fan"}}],
    )
    variables = {"id": playlist.playlist_id, "after": found["pageInfo"]["endCursor"]}
    assert (await gateway.data(document, variables))["playlist"]["likers"]["edges"] == []
    assert gateway.social.requests["ListLikers"].page_token == "a token"


LIKED = """query($user: ID, $after: String) { likedPlaylists(userId: $user, first: 1, after: $after) {
  pageInfo { hasNextPage endCursor } nodes { title } edges { likedAt node { title } } } }"""


async def test_liked_playlists_are_the_callers_unless_somebody_is_named(gateway: Gateway) -> None:
    liked = feed_pb2.LikedPlaylist(
        playlist=playlists_pb2.Playlist(title="Rain", visibility=playlists_pb2.VISIBILITY_PUBLIC), liked_at=timestamp()
    )
    gateway.social.answers["ListLikedPlaylists"] = feed_pb2.ListLikedPlaylistsResponse(
        playlists=[liked], next_page_token="a token"
    )
    me, somebody = new_id(), new_id()
    found = (await gateway.data(LIKED, headers=gateway.bearer(sub=me)))["likedPlaylists"]
    assert found["edges"] == [{"likedAt": "2026-01-02T03:04:05+00:00", "node": {"title": "Rain"}}]
    assert found["nodes"] == [{"title": "Rain"}]
    assert gateway.social.requests["ListLikedPlaylists"] == feed_pb2.ListLikedPlaylistsRequest(user_id=me, page_size=1)
    after = found["pageInfo"]["endCursor"]
    await gateway.data(LIKED, {"user": somebody, "after": after})
    assert gateway.social.requests["ListLikedPlaylists"] == feed_pb2.ListLikedPlaylistsRequest(
        user_id=somebody, page_size=1, page_token="a token"
    )
    body = await gateway.run(LIKED)
    assert body["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED", "reason": "LOGIN_REQUIRED"}


async def test_what_many_people_like_costs_one_call(gateway: Gateway) -> None:
    document = """query($id: ID!) { playlist(id: $id) { likers(first: 30) { nodes {
      userId likedPlaylists(first: 2) { pageInfo { hasNextPage endCursor } edges { likedAt node { title } } } } } } }"""

    def liked(request: feed_pb2.BatchListLikedPlaylistsRequest) -> feed_pb2.BatchListLikedPlaylistsResponse:
        answer = feed_pb2.BatchListLikedPlaylistsResponse()
        for user_id in request.user_ids[1:]:  # the first one is not to be seen
            answer.users.add(
                user_id=user_id,
                playlists=[
                    feed_pb2.LikedPlaylist(
                        playlist=playlists_pb2.Playlist(
                            title=f"Of {user_id}", visibility=playlists_pb2.VISIBILITY_PUBLIC
                        ),
                        liked_at=timestamp(),
                    )
                ],
                next_page_token="a token",
            )
        return answer

    gateway.social.answers["BatchListLikedPlaylists"] = liked
    playlist = gateway.social.add_playlist([])
    people = [gateway.social.add_user(f"person{number}") for number in range(12)]
    gateway.social.answers["BatchListLikers"] = engagement_pb2.BatchListLikersResponse(
        playlists=[
            engagement_pb2.LikersOfPlaylist(
                playlist_id=playlist.playlist_id,
                likers=[engagement_pb2.Liker(user=person, liked_at=timestamp()) for person in people],
            )
        ]
    )
    found = await gateway.data(document, {"id": playlist.playlist_id})
    nodes = found["playlist"]["likers"]["nodes"]
    assert nodes[0]["likedPlaylists"]["edges"] == []
    assert [node["likedPlaylists"]["edges"] for node in nodes[1:]] == [
        [{"likedAt": "2026-01-02T03:04:05+00:00", "node": {"title": f"Of {node['userId']}"}}] for node in nodes[1:]
    ]
    assert gateway.social.requests["BatchListLikedPlaylists"].page_size == 2
    assert gateway.behind.spent() == {"GetPlaylist": 1, "BatchListLikers": 1, "BatchListLikedPlaylists": 1}
    # It goes on behind the cursor, of one person.
    gateway.social.answers["GetProfile"] = people_pb2.GetProfileResponse(profile=people_pb2.Profile(user=people[1]))
    gateway.social.answers["ListLikedPlaylists"] = feed_pb2.ListLikedPlaylistsResponse()
    more = """query($name: String!, $after: String) {
      user(username: $name) { likedPlaylists(after: $after) { nodes { title } } } }"""
    after = nodes[1]["likedPlaylists"]["pageInfo"]["endCursor"]
    await gateway.data(more, {"name": "person1", "after": after})
    assert gateway.social.requests["ListLikedPlaylists"] == feed_pb2.ListLikedPlaylistsRequest(
        user_id=people[1].user_id, page_size=20, page_token="a token"
    )


async def test_playlists_of_a_person(gateway: Gateway) -> None:
    gateway.social.answers["ListPlaylistsOfUser"] = feed_pb2.ListPlaylistsOfUserResponse(
        playlists=[playlists_pb2.Playlist(title="Rain", visibility=playlists_pb2.VISIBILITY_PUBLIC)],
        next_page_token="a token",
    )
    document = """query($user: ID!) { playlistsOfUser(userId: $user) {
      pageInfo { hasNextPage } nodes { title visibility } } }"""
    user_id = new_id()
    found = await gateway.data(document, {"user": base64.b64encode(f"User:{user_id}".encode()).decode()})
    assert found["playlistsOfUser"] == {
        "pageInfo": {"hasNextPage": True},
        "nodes": [{"title": "Rain", "visibility": "PUBLIC"}],
    }
    assert gateway.social.requests["ListPlaylistsOfUser"].user_id == user_id
    body = await gateway.run(document, {"user": "nobody"})
    assert body["errors"][0]["extensions"]["reason"] == "ID_INVALID"


async def test_playlists_of_many_people_cost_one_call(gateway: Gateway) -> None:
    document = """query($id: ID!, $first: Int!) { playlist(id: $id) { likers(first: $first) { nodes {
      userId playlists(first: 2) { pageInfo { hasNextPage } nodes { title } } } } } }"""
    for count in (3, 30):
        gateway.behind.reset()
        playlist = gateway.social.add_playlist([])
        fans = [accounts_pb2.User(user_id=new_id(), username="fan", created_at=timestamp()) for _ in range(count)]
        gateway.social.answers["BatchListLikers"] = engagement_pb2.BatchListLikersResponse(
            playlists=[
                engagement_pb2.LikersOfPlaylist(
                    playlist_id=playlist.playlist_id,
                    likers=[engagement_pb2.Liker(user=fan, liked_at=timestamp()) for fan in fans],
                )
            ]
        )
        rain = playlists_pb2.Playlist(title="Rain", visibility=playlists_pb2.VISIBILITY_PUBLIC)
        gateway.social.answers["BatchListPlaylistsOfUsers"] = feed_pb2.BatchListPlaylistsOfUsersResponse(
            users=[feed_pb2.PlaylistsOfUser(user_id=fans[0].user_id, playlists=[rain], next_page_token="a token")]
        )
        nodes = (await gateway.data(document, {"id": playlist.playlist_id, "first": count}))["playlist"]["likers"][
            "nodes"
        ]
        assert [node["userId"] for node in nodes] == [fan.user_id for fan in fans]
        assert nodes[0]["playlists"] == {"pageInfo": {"hasNextPage": True}, "nodes": [{"title": "Rain"}]}
        assert [node["playlists"]["nodes"] for node in nodes[1:]] == [[]] * (count - 1)
        assert gateway.behind.spent() == {"GetPlaylist": 1, "BatchListLikers": 1, "BatchListPlaylistsOfUsers": 1}
        asked = gateway.social.requests["BatchListPlaylistsOfUsers"]
        assert (list(asked.user_ids), asked.page_size) == ([fan.user_id for fan in fans], 2)


async def test_stream_tokens_are_listed_without_secrets(gateway: Gateway) -> None:
    token = exchange_pb2.StreamToken(
        token_id=new_id(), playlist_id=new_id(), created_at=timestamp(), expires_at=timestamp()
    )
    gateway.social.answers["ListStreamTokens"] = exchange_pb2.ListStreamTokensResponse(tokens=[token])
    document = """query($id: ID!) { streamTokens(playlistId: $id) {
      nodes { tokenId playlistId createdAt expiresAt } } }"""
    found = await gateway.data(document, {"id": token.playlist_id}, gateway.bearer())
    assert found["streamTokens"]["nodes"] == [
        {
            "tokenId": token.token_id,
            "playlistId": token.playlist_id,
            "createdAt": "2026-01-02T03:04:05+00:00",
            "expiresAt": "2026-01-02T03:04:05+00:00",
        }
    ]
    body = await gateway.run(document, {"id": token.playlist_id})
    assert body["errors"][0]["extensions"]["reason"] == "LOGIN_REQUIRED"
