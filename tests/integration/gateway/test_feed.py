"""What goes on: the feed, what is popular, what is new, and what the caller is told of."""

from typing import Any

import pytest

from museed.social.v1 import editing_pb2, engagement_pb2, feed_pb2, jobs_pb2, jobwork_pb2, notifications_pb2
from services.chassis.errors import FailedPrecondition, InvalidArgument
from tests.fakes.answers import NOW
from tests.fakes.upstreams import new_id, timestamp
from tests.integration.gateway.conftest import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

WHEN = "2026-01-02T03:04:05+00:00"
ERROR = "... on UserError { code message field value limit }"
FEED = """query($first: Int! = 20, $after: String) { feed(first: $first, after: $after) {
  pageInfo { hasNextPage endCursor }
  nodes { activityId kind at actorId playlistId userId commentId
    actor { username } playlist { title } user { username } comment { text author { username } } }
} }"""


def activity(kind: str, **more: str) -> feed_pb2.Activity:
    value = feed_pb2.ActivityKind.Value(f"ACTIVITY_KIND_{kind}")
    return feed_pb2.Activity(activity_id=new_id(), kind=value, at=timestamp(), **more)


async def test_feed_shows_who_did_what_to_what_in_four_calls(gateway: Gateway) -> None:
    mina, joon = gateway.social.add_user("mina"), gateway.social.add_user("joon")
    playlist = gateway.social.add_playlist([], mina.user_id)
    gateway.social.answers["BatchGetPlaylists"] = lambda request: batch_of(gateway, request)
    did = [
        activity("CREATED", actor_id=mina.user_id, playlist_id=playlist.playlist_id),
        activity("FOLLOWED", actor_id=mina.user_id, user_id=joon.user_id),
        activity("COMMENTED", actor_id=joon.user_id, playlist_id=new_id(), comment_id=new_id()),
    ]
    gateway.social.answers["ListFeed"] = feed_pb2.ListFeedResponse(activities=did)
    said = engagement_pb2.Comment(
        comment_id=did[2].comment_id, text="좋다", author_id=joon.user_id, created_at=timestamp()
    )
    gateway.social.answers["BatchGetComments"] = engagement_pb2.BatchGetCommentsResponse(comments=[said])
    nodes = (await gateway.data(FEED, headers=gateway.bearer()))["feed"]["nodes"]
    nothing = {"playlistId": None, "userId": None, "commentId": None, "playlist": None, "user": None, "comment": None}
    assert nodes == [
        nothing
        | {
            "activityId": did[0].activity_id,
            "kind": "CREATED",
            "at": WHEN,
            "actorId": mina.user_id,
            "actor": {"username": "mina"},
            "playlistId": playlist.playlist_id,
            "playlist": {"title": "Like Track 000"},
        },
        nothing
        | {
            "activityId": did[1].activity_id,
            "kind": "FOLLOWED",
            "at": WHEN,
            "actorId": mina.user_id,
            "actor": {"username": "mina"},
            "userId": joon.user_id,
            "user": {"username": "joon"},
        },
        nothing
        | {
            "activityId": did[2].activity_id,
            "kind": "COMMENTED",
            "at": WHEN,
            "actorId": joon.user_id,
            "actor": {"username": "joon"},
            "playlistId": did[2].playlist_id,
            "commentId": did[2].comment_id,
            "comment": {"text": "좋다", "author": {"username": "joon"}},
        },
    ]
    assert gateway.behind.spent() == {"ListFeed": 1, "BatchGetUsers": 1, "BatchGetPlaylists": 1, "BatchGetComments": 1}
    assert (await gateway.run(FEED))["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


def batch_of(gateway: Gateway, request: Any) -> Any:
    known = gateway.social.playlists
    found = [known[one].playlist for one in request.playlist_ids if one in known]
    return editing_pb2.BatchGetPlaylistsResponse(playlists=found)


async def test_a_page_of_the_feed_may_be_empty_and_go_on(gateway: Gateway) -> None:
    pages = {
        "": feed_pb2.ListFeedResponse(next_page_token="far"),
        "far": feed_pb2.ListFeedResponse(activities=[activity("LIKED", actor_id=new_id(), playlist_id=new_id())]),
    }
    gateway.social.answers["ListFeed"] = lambda request: pages[request.page_token]
    first = (await gateway.data(FEED, headers=gateway.bearer()))["feed"]
    assert (first["nodes"], first["pageInfo"]["hasNextPage"]) == ([], True)
    rest = (await gateway.data(FEED, {"after": first["pageInfo"]["endCursor"]}, gateway.bearer()))["feed"]
    assert ([node["kind"] for node in rest["nodes"]], rest["pageInfo"]["hasNextPage"]) == (["LIKED"], False)


async def test_feed_costs_the_same_whatever_its_length(gateway: Gateway) -> None:
    spent = []
    for size in (3, 30):
        gateway.social.list_size = size
        found = await gateway.data(FEED, {"first": size}, gateway.bearer())
        assert len(found["feed"]["nodes"]) == size
        spent.append(gateway.behind.spent())
    # The authors of comments become known after the actors.
    assert spent == [{"ListFeed": 1, "BatchGetUsers": 2, "BatchGetPlaylists": 1, "BatchGetComments": 1}] * 2


async def test_trending_tells_ranks_and_when_they_were_made(gateway: Gateway) -> None:
    playlists = [gateway.social.add_playlist([]) for _ in range(3)]
    ranked = [
        feed_pb2.TrendingPlaylist(rank=rank, playlist=playlist)
        for rank, playlist in zip((1, 2, 4), playlists, strict=True)
    ]

    def trending(request: feed_pb2.ListTrendingRequest) -> feed_pb2.ListTrendingResponse:
        start = int(request.page_token or 0)
        end = start + request.page_size
        return feed_pb2.ListTrendingResponse(
            playlists=ranked[start:end], next_page_token=str(end) if end < 3 else "", made_at=timestamp()
        )

    gateway.social.answers["ListTrending"] = trending
    document = """query($after: String) { trendingPlaylists(first: 2, after: $after) {
      madeAt pageInfo { hasNextPage endCursor } edges { rank node { playlistId } } nodes { playlistId } } }"""
    first = (await gateway.data(document))["trendingPlaylists"]
    assert first["madeAt"] == WHEN
    assert [(edge["rank"], edge["node"]["playlistId"]) for edge in first["edges"]] == [
        (1, playlists[0].playlist_id),
        (2, playlists[1].playlist_id),
    ]
    rest = (await gateway.data(document, {"after": first["pageInfo"]["endCursor"]}))["trendingPlaylists"]
    assert [edge["rank"] for edge in rest["edges"]] == [4]
    assert rest["pageInfo"]["hasNextPage"] is False
    gateway.social.answers["ListTrending"] = feed_pb2.ListTrendingResponse()
    assert (await gateway.data(document))["trendingPlaylists"]["madeAt"] is None
    gateway.social.faults["ListTrending"] = FailedPrecondition(
        "this ranking is over", reason="PAGE_EXPIRED", field="page_token", value="x"
    )
    extensions = (await gateway.run(document))["errors"][0]["extensions"]
    assert (extensions["reason"], extensions["field"]) == ("PAGE_EXPIRED", "after")


async def test_latest_playlists_are_for_guests_too(gateway: Gateway) -> None:
    owner = gateway.social.add_user("mina")
    playlist = gateway.social.add_playlist([], owner.user_id)
    gateway.social.answers["ListLatest"] = feed_pb2.ListLatestResponse(playlists=[playlist], next_page_token="more")
    document = """{ latestPlaylists(first: 1) {
      pageInfo { hasNextPage } nodes { title visibility owner { username } } } }"""
    assert (await gateway.data(document))["latestPlaylists"] == {
        "pageInfo": {"hasNextPage": True},
        "nodes": [{"title": "Like Track 000", "visibility": "PUBLIC", "owner": {"username": "mina"}}],
    }
    assert gateway.social.requests["ListLatest"] == feed_pb2.ListLatestRequest(page_size=1)


async def test_playlists_are_searched_for_by_guests_too_page_by_page(gateway: Gateway) -> None:
    owner = gateway.social.add_user("mina")
    lists = [gateway.social.add_playlist([], owner.user_id) for _ in range(2)]
    gateway.social.answers["SearchPlaylists"] = feed_pb2.SearchPlaylistsResponse(
        playlists=lists, next_page_token="more"
    )
    document = """query($query: String!, $after: String) { searchPlaylists(query: $query, first: 2, after: $after) {
      pageInfo { hasNextPage endCursor } nodes { playlistId owner { username } } } }"""
    found = (await gateway.data(document, {"query": "night jazz"}))["searchPlaylists"]
    assert found == {
        "pageInfo": {"hasNextPage": True, "endCursor": found["pageInfo"]["endCursor"]},
        "nodes": [{"playlistId": one.playlist_id, "owner": {"username": "mina"}} for one in lists],
    }
    assert gateway.behind.spent() == {"SearchPlaylists": 1, "BatchGetUsers": 1}
    gateway.social.answers["SearchPlaylists"] = feed_pb2.SearchPlaylistsResponse()
    after = found["pageInfo"]["endCursor"]
    rest = (await gateway.data(document, {"query": "night jazz", "after": after}))["searchPlaylists"]
    assert (rest["nodes"], rest["pageInfo"]["hasNextPage"]) == ([], False)
    assert gateway.social.requests["SearchPlaylists"] == feed_pb2.SearchPlaylistsRequest(
        query="night jazz", page_size=2, page_token="more"
    )
    gateway.social.faults["SearchPlaylists"] = InvalidArgument("no", reason="REQUIRED", field="query")
    extensions = (await gateway.run(document, {"query": ""}))["errors"][0]["extensions"]
    assert (extensions["reason"], extensions["field"]) == ("REQUIRED", "query")


NOTIFICATIONS = """query($unread: Boolean! = false) { unreadNotificationCount
  notifications(unreadOnly: $unread, first: 30) { nodes { notificationId kind at readAt actorId playlistId commentId
    badge badgeTier jobId reportId actor { username } playlist { title } comment { text } job { jobId state } } } }"""


async def test_notifications_tell_what_belongs_to_their_kind(gateway: Gateway) -> None:
    mina = gateway.social.add_user("mina")
    playlist = gateway.social.add_playlist([], "user-1")
    gateway.social.answers["BatchGetPlaylists"] = lambda request: batch_of(gateway, request)
    comment_id, job_id, report_id = new_id(), new_id(), new_id()
    told = [
        notifications_pb2.Notification(
            kind=notifications_pb2.NOTIFICATION_KIND_COMMENTED,
            actor_id=mina.user_id,
            playlist_id=playlist.playlist_id,
            comment_id=comment_id,
            read_at=timestamp(),
        ),
        notifications_pb2.Notification(kind=notifications_pb2.NOTIFICATION_KIND_BADGE, badge="gardener.2"),
        notifications_pb2.Notification(kind=notifications_pb2.NOTIFICATION_KIND_JOB_ENDED, job_id=job_id),
        notifications_pb2.Notification(kind=notifications_pb2.NOTIFICATION_KIND_REPORT_DECIDED, report_id=report_id),
    ]
    for one in told:
        one.notification_id = new_id()
        one.at.CopyFrom(timestamp())
    gateway.social.answers["ListNotifications"] = notifications_pb2.ListNotificationsResponse(notifications=told)
    said = engagement_pb2.Comment(comment_id=comment_id, text="좋다", created_at=timestamp())
    gateway.social.answers["BatchGetComments"] = engagement_pb2.BatchGetCommentsResponse(comments=[said])
    gateway.social.answers["CountUnread"] = notifications_pb2.CountUnreadResponse(unread_count=3)
    ended = jobs_pb2.Job(job_id=job_id, state=jobs_pb2.JOB_STATE_FAILED, created_at=timestamp())
    gateway.social.answers["BatchGetJobs"] = jobwork_pb2.BatchGetJobsResponse(jobs=[ended])
    found = await gateway.data(NOTIFICATIONS, {"unread": True}, gateway.bearer())
    nothing = dict.fromkeys(
        "readAt actorId playlistId commentId badge badgeTier jobId reportId actor playlist comment job".split(), None
    )
    ids = [one.notification_id for one in told]
    assert found["unreadNotificationCount"] == 3
    assert found["notifications"]["nodes"] == [
        nothing
        | {
            "notificationId": ids[0],
            "kind": "COMMENTED",
            "at": WHEN,
            "readAt": WHEN,
            "actorId": mina.user_id,
            "actor": {"username": "mina"},
            "playlistId": playlist.playlist_id,
            "playlist": {"title": "Like Track 000"},
            "commentId": comment_id,
            "comment": {"text": "좋다"},
        },
        nothing | {"notificationId": ids[1], "kind": "BADGE", "at": WHEN, "badge": "gardener", "badgeTier": 2},
        nothing
        | {
            "notificationId": ids[2],
            "kind": "JOB_ENDED",
            "at": WHEN,
            "jobId": job_id,
            "job": {"jobId": job_id, "state": "FAILED"},
        },
        nothing | {"notificationId": ids[3], "kind": "REPORT_DECIDED", "at": WHEN, "reportId": report_id},
    ]
    assert gateway.social.requests["ListNotifications"] == notifications_pb2.ListNotificationsRequest(
        unread_only=True, page_size=30
    )
    assert gateway.behind.spent() == {
        "ListNotifications": 1,
        "CountUnread": 1,
        "BatchGetUsers": 1,
        "BatchGetPlaylists": 1,
        "BatchGetComments": 1,
        "BatchGetJobs": 1,
    }


async def test_notifications_are_marked_one_by_one_and_up_to_one(gateway: Gateway) -> None:
    document = f"""mutation($input: MarkNotificationsReadInput!) {{ markNotificationsRead(input: $input) {{
      ... on MarkNotificationsReadSuccess {{ unreadCount notifications {{ notificationId readAt }} }} {ERROR} }} }}"""
    ids = [new_id(), new_id()]
    read = notifications_pb2.Notification(
        notification_id=ids[0], kind=notifications_pb2.NOTIFICATION_KIND_JOB_ENDED, at=timestamp(),
        read_at=timestamp(),
    )  # fmt: skip
    gateway.social.answers["MarkRead"] = notifications_pb2.MarkReadResponse(unread_count=4, notifications=[read])
    for sent, request in (
        ({"notificationIds": ids}, notifications_pb2.MarkReadRequest(notification_ids=ids)),
        ({"upToId": ids[0]}, notifications_pb2.MarkReadRequest(up_to_id=ids[0])),
        ({"notificationIds": ids[:1], "upToId": ids[1]},
         notifications_pb2.MarkReadRequest(notification_ids=ids[:1], up_to_id=ids[1])),
    ):  # fmt: skip
        found = (await gateway.data(document, {"input": sent}, gateway.bearer()))["markNotificationsRead"]
        assert found == {
            "unreadCount": 4,
            "notifications": [{"notificationId": ids[0], "readAt": NOW.isoformat()}],
        }
        assert gateway.social.requests["MarkRead"] == request
    gateway.social.calls.clear()
    bad = {"notificationIds": [ids[0], "x"]}
    found = (await gateway.data(document, {"input": bad}, gateway.bearer()))["markNotificationsRead"]
    assert (found["code"], found["field"], found["value"]) == ("ID_INVALID", "notificationIds[1]", "x")
    assert gateway.behind.spent() == {}
    gateway.social.faults["MarkRead"] = InvalidArgument(
        "notification_ids must be set", reason="REQUIRED", field="notification_ids"
    )
    found = (await gateway.data(document, {"input": {}}, gateway.bearer()))["markNotificationsRead"]
    assert (found["code"], found["field"]) == ("REQUIRED", "notificationIds")
    assert found["message"] == "notificationIds must be set"
