"""People among themselves through a real mesh: found by name, followed, told of, heard, blocked, and left alone."""

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
from uuid_utils.compat import uuid7

from clients.python.operations import JobStatus, SeedInput, Visibility
from deploy.local.client import ClientError, GatewayClient
from deploy.local.playlists import make_playlist, search_tracks
from tests.e2e.conftest import RunningMesh
from tests.e2e.waiting import eventually

ERROR = "... on UserError { code message field value limit }"
PROFILE = """query P($name: String!) { user(username: $name) { userId
  profile { followerCount followingCount playlistCount playCount topGenre isListed badges { name tier } }
  relation { isFollowing isFollower isBlocked }
  followers { nodes { username profile { followingCount } } } avatar { svg } } }"""
FEED = "{ feed { nodes { kind actor { username } playlist { title } user { username } } } }"


def ignore(job: JobStatus) -> None:
    """A playlist's progress that nobody watches."""


def change(client: GatewayClient, name: str, **input: Any) -> dict[str, Any]:
    """Run a mutation between two people and return what they are to each other."""
    title = name[0].upper() + name[1:]
    document = f"""mutation M($input: {title}Input!) {{ {name}(input: $input) {{ __typename
      ... on {title}Success {{ relation {{ isFollowing isFollower isBlocked }} user {{ username
        profile {{ followerCount }} }} }} {ERROR} }} }}"""
    return client.mutate(document, input)


def record(client: GatewayClient, *plays: dict[str, Any]) -> list[str]:
    document = f"""mutation M($input: RecordPlaysInput!) {{ recordPlays(input: $input) {{ __typename
      ... on RecordPlaysSuccess {{ plays {{ outcome }} }} {ERROR} }} }}"""
    return [play["outcome"] for play in client.mutate(document, {"plays": list(plays)})["plays"]]


def test_following_is_seen_by_both_and_told(mesh: RunningMesh) -> None:
    with mesh.person("pia") as pia, mesh.person("quin") as quin:
        quins = quin.query("{ me { user { userId } } }")["me"]["user"]["userId"]
        found = change(pia, "followUser", userId=quins)
        # The answer that made it counts it.
        assert found["relation"] == {"isFollowing": True, "isFollower": False, "isBlocked": False}
        assert found["user"] == {"username": "quin", "profile": {"followerCount": 1}}
        seen = pia.query(PROFILE, name="QUIN")["user"]
        assert seen["relation"] == {"isFollowing": True, "isFollower": False, "isBlocked": False}
        assert [node["username"] for node in seen["followers"]["nodes"]] == ["pia"]
        assert ElementTree.fromstring(seen["avatar"]["svg"]).tag == "{http://www.w3.org/2000/svg}svg"
        own = quin.query(PROFILE, name="quin")["user"]
        assert (own["relation"], own["profile"]["followerCount"]) == (None, 1)
        told = quin.query(
            "{ unreadNotificationCount notifications { nodes { notificationId kind actor { username } } } }"
        )
        assert told["unreadNotificationCount"] == 1
        note = told["notifications"]["nodes"][0]
        assert (note["kind"], note["actor"]["username"]) == ("FOLLOWED", "pia")
        mark = f"""mutation M($input: MarkNotificationsReadInput!) {{ markNotificationsRead(input: $input) {{
          __typename ... on MarkNotificationsReadSuccess {{ unreadCount }} {ERROR} }} }}"""
        assert quin.mutate(mark, {"upToId": note["notificationId"]})["unreadCount"] == 0
        assert quin.query("{ notifications(unreadOnly: true) { nodes { kind } } }")["notifications"]["nodes"] == []
        with pytest.raises(ClientError) as caught:
            change(quin, "followUser", userId=quins)
        assert caught.value.code == "OWN_ACCOUNT"


def named(client: GatewayClient, query: str) -> list[str]:
    document = "query($query: String!) { searchPlaylists(query: $query) { nodes { playlistId } } }"
    return [one["playlistId"] for one in client.query(document, query=query)["searchPlaylists"]["nodes"]]


def test_what_followed_people_do_is_in_the_feed_until_there_is_a_block(mesh: RunningMesh) -> None:
    with mesh.person("rita") as rita, mesh.person("sol") as sol:
        sols = sol.query("{ me { user { userId } } }")["me"]["user"]["userId"]
        ritas = rita.query("{ me { user { userId } } }")["me"]["user"]["userId"]
        change(rita, "followUser", userId=sols)
        seed = search_tracks(sol, "Piece 1-0", 1)[0]
        made = make_playlist(
            sol, [SeedInput(track_id=seed.track_id)], ignore, length=3, title="Sol's own", visibility=Visibility.PUBLIC
        )
        wanted = [{"kind": "CREATED", "actor": {"username": "sol"}, "playlist": {"title": "Sol's own"}, "user": None}]
        assert rita.query(FEED)["feed"]["nodes"] == wanted
        with mesh.guest() as guest:
            latest = guest.query("{ latestPlaylists(first: 1) { nodes { playlistId owner { username } } } }")
            node = latest["latestPlaylists"]["nodes"][0]
            assert (node["playlistId"], node["owner"]["username"]) == (made.playlist_id, "sol")
            for query in ("sols own", "sol OWN"):
                assert named(guest, query) == [made.playlist_id]
            assert guest.query("{ trendingPlaylists { madeAt } }")["trendingPlaylists"] is not None
            with pytest.raises(ClientError):
                guest.query(FEED)
        assert change(sol, "blockUser", userId=ritas)["relation"]["isBlocked"] is True
        assert rita.query(FEED)["feed"]["nodes"] == []
        assert (named(rita, "sols own"), named(sol, "sols own")) == ([], [made.playlist_id])
        with pytest.raises(ClientError) as caught:
            rita.query(PROFILE, name="sol")
        assert caught.value.code == "USER_NOT_FOUND"
        blocked = sol.query("{ blockedUsers { nodes { username } } }")["blockedUsers"]
        assert blocked["nodes"] == [{"username": "rita"}]
        # Who is blocked may block, too, and is not told who it is.
        found = change(rita, "blockUser", userId=sols)
        assert (found["relation"]["isBlocked"], found["user"]) == (True, None)
        change(sol, "unblockUser", userId=ritas)
        assert sol.query("{ blockedUsers { nodes { username } } }")["blockedUsers"]["nodes"] == []


def test_plays_count_once_and_become_history_figures_and_badges(mesh: RunningMesh) -> None:
    with mesh.person("tom") as tom, mesh.person("uma") as uma:
        track, other = search_tracks(tom, "Piece 2-0", 1)[0], search_tracks(tom, "Piece 2-1", 1)[0]
        now = datetime.now(UTC)
        play = {
            "playId": str(uuid7()),
            "trackId": track.track_id,
            "playedAt": (now - timedelta(minutes=2)).isoformat(),
            "heardSeconds": 31,
        }
        short = play | {"playId": str(uuid7()), "trackId": other.track_id, "heardSeconds": 1}
        ahead = play | {"playId": str(uuid7()), "playedAt": (now + timedelta(days=1)).isoformat()}
        unknown = play | {"playId": str(uuid7()), "trackId": str(uuid7())}
        assert record(tom, play, short, ahead, unknown) == ["COUNTED", "TOO_SHORT", "IN_FUTURE", "UNKNOWN_TRACK"]
        assert record(tom, play) == ["DUPLICATE"]
        entries = tom.query("{ history { nodes { playId isCounted track { title } } } }")["history"]["nodes"]
        assert {entry["playId"]: entry["isCounted"] for entry in entries} == {
            play["playId"]: True,
            short["playId"]: False,
        }
        heard = """query L($name: String!) { user(username: $name) { listening(range: WEEK) {
          playCount topGenre listened { genre count share } topTracks { playCount track { title } }
          topArtists { name playCount } } profile { playCount } } }"""
        found = uma.query(heard, name="tom")["user"]
        assert found["listening"] == {
            "playCount": 1,
            "topGenre": "Electronic",
            "listened": [{"genre": "Electronic", "count": 1, "share": 1.0}],
            "topTracks": [{"playCount": 1, "track": {"title": "Piece 2-0"}}],
            "topArtists": [{"name": "Artist 2", "playCount": 1}],
        }
        eventually(lambda: uma.query(heard, name="tom")["user"]["profile"]["playCount"], lambda count: count == 1)
        badges = "query B($name: String!) { user(username: $name) { badges { name progress tiers { earnedAt } } } }"

        def listener(client: GatewayClient) -> tuple[int, bool]:
            rows = {row["name"]: row for row in client.query(badges, name="tom")["user"]["badges"]}
            return rows["listener"]["progress"], rows["listener"]["tiers"][0]["earnedAt"] is not None

        eventually(lambda: listener(tom), lambda found: found == (1, True))
        assert listener(uma) == (0, True)  # how far somebody came is theirs
        assert uma.query("{ history { nodes { playId } } }")["history"]["nodes"] == []
        days = {datetime.now(UTC).date().isoformat()}
        mix = tom.query("{ dailyMix { day tracks { source } } recommendedTracks(first: 3) { nodes { trackId } } }")
        assert mix["dailyMix"]["day"] in days | {datetime.now(UTC).date().isoformat()}
        assert track.track_id not in {node["trackId"] for node in mix["recommendedTracks"]["nodes"]}
        forget = f"""mutation M($input: DeleteHistoryInput!) {{ deleteHistory(input: $input) {{ __typename
          ... on DeleteHistorySuccess {{ deletedPlayIds }} {ERROR} }} }}"""
        assert tom.mutate(forget, {"playIds": [play["playId"]]})["deletedPlayIds"] == [play["playId"]]
        assert len(tom.query("{ history { nodes { playId } } }")["history"]["nodes"]) == 1
        tom.mutate(forget, {"all": True})
        assert tom.query("{ history { nodes { playId } } }")["history"]["nodes"] == []
        with pytest.raises(ClientError) as caught:
            tom.mutate(forget, {})
        assert (caught.value.code, caught.value.field) == ("REQUIRED", "playIds")


def test_the_report_is_for_admins_and_holds_what_was_heard(mesh: RunningMesh) -> None:
    today = datetime.now(UTC).date().isoformat()
    with mesh.person("vic") as vic, mesh.operator() as admin:
        track = search_tracks(vic, "Piece 3-0", 1)[0]
        played_at = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()
        play = {"playId": str(uuid7()), "trackId": track.track_id, "playedAt": played_at, "heardSeconds": 31}
        assert record(vic, play) == ["COUNTED"]
        document = """query T($from: Date!, $to: Date!, $subject: String!) {
          trends(dimension: TRACK, fromDay: $from, toDay: $to, subject: $subject) {
            nodes { label playCount listenerCount } } }"""
        days = {"from": played_at[:10], "to": today, "subject": track.track_id}

        def report() -> list[dict[str, Any]]:
            nodes: list[dict[str, Any]] = admin.query(document, **days)["trends"]["nodes"]
            return nodes

        eventually(lambda: [node["playCount"] for node in report()], lambda counts: counts == [1])
        assert report()[0]["listenerCount"] == 1
        with pytest.raises(ClientError) as caught:
            vic.query(document, **days)
        assert caught.value.code == "PERMISSION_DENIED"
        query = {"dimension": "TRACK", "fromDay": days["from"], "toDay": today, "subject": track.track_id}
        with contextlib.closing(httpx.Client(base_url=mesh.url)) as http:
            assert http.get("/trends.csv", params=query).status_code == 401
            token = {"Authorization": f"Bearer {vic.token}"}
            assert http.get("/trends.csv", params=query, headers=token).status_code == 403
            token = {"Authorization": f"Bearer {admin.token}"}
            file = http.get("/trends.csv", params=query, headers=token)
        header, row = file.text.removesuffix("\r\n").split("\r\n")
        assert header == "day,subject,label,plays,listeners,likes,saves"
        assert row == f"{played_at[:10]},{track.track_id},{report()[0]['label']},1,1,0,0"
