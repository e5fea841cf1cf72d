"""Artists, albums, genres and details of tracks: what comes out, and that no list costs a call an item."""

import base64
from typing import Any

import pytest

from museed.social.v1 import ingest_pb2, library_pb2
from services.chassis.errors import NotFound, Unavailable
from tests.fakes.upstreams import make_track, new_id, timestamp
from tests.integration.gateway.conftest import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

ARTIST_ID, ALBUM_ID, RECORDING_ID = new_id(), new_id(), new_id()


def global_id(kind: str, uuid: str) -> str:
    return base64.b64encode(f"{kind}:{uuid}".encode()).decode()


def put_details(gateway: Gateway, *found: library_pb2.TrackDetails) -> None:
    def answer(request: library_pb2.BatchGetTrackDetailsRequest) -> library_pb2.BatchGetTrackDetailsResponse:
        wanted = [one for one in found if one.track_id in request.track_ids]
        return library_pb2.BatchGetTrackDetailsResponse(tracks=wanted)

    gateway.social.answers["BatchGetTrackDetails"] = answer


def put_artists(gateway: Gateway, *found: library_pb2.Artist) -> None:
    def answer(request: library_pb2.BatchGetArtistsRequest) -> library_pb2.BatchGetArtistsResponse:
        return library_pb2.BatchGetArtistsResponse(
            artists=[one for one in found if one.artist_id in request.artist_ids]
        )

    gateway.social.answers["BatchGetArtists"] = answer


def put_albums(gateway: Gateway, *found: library_pb2.Album) -> None:
    def answer(request: library_pb2.BatchGetAlbumsRequest) -> library_pb2.BatchGetAlbumsResponse:
        return library_pb2.BatchGetAlbumsResponse(albums=[one for one in found if one.album_id in request.album_ids])

    gateway.social.answers["BatchGetAlbums"] = answer


ARTIST = library_pb2.Artist(artist_id=ARTIST_ID, name="Kim", musicbrainz_artist_id=RECORDING_ID, track_count=2)
ALBUM = library_pb2.Album(album_id=ALBUM_ID, title="First", artist_id=ARTIST_ID, year=1999)


async def test_details_tell_all_that_is_known_and_null_where_nothing_is(gateway: Gateway) -> None:
    full, bare, unknown = gateway.social.add_tracks(3)
    put_details(
        gateway,
        library_pb2.TrackDetails(
            track_id=full.track_id,
            artist_id=ARTIST_ID,
            album_id=ALBUM_ID,
            is_genre_known=True,
            sub_genres=["Punk"],
            source_tags=["loud"],
            isrc="KRA301200001",
            musicbrainz_recording_id=RECORDING_ID,
            licence="CC-BY",
            source="fma",
            missing_since=timestamp(),
        ),
        library_pb2.TrackDetails(track_id=bare.track_id),
    )
    put_artists(gateway, ARTIST)
    put_albums(gateway, ALBUM)
    document = """query($a: ID!, $b: ID!, $c: ID!) {
      a: track(id: $a) { ...f } b: track(id: $b) { ...f } c: track(id: $c) { ...f } }
      fragment f on Track { coverUrl details { artistId albumId isGenreKnown subGenres sourceTags isrc
        musicbrainzRecordingId licence source missingSince
        artist { id name musicbrainzArtistId trackCount } album { id title year artistId coverUrl } } }"""
    ids = {"a": full.track_id, "b": bare.track_id, "c": unknown.track_id}
    found = await gateway.data(document, ids)
    assert found["a"] == {
        "coverUrl": f"/tracks/{full.track_id}/cover",
        "details": {
            "artistId": ARTIST_ID,
            "albumId": ALBUM_ID,
            "isGenreKnown": True,
            "subGenres": ["Punk"],
            "sourceTags": ["loud"],
            "isrc": "KRA301200001",
            "musicbrainzRecordingId": RECORDING_ID,
            "licence": "CC-BY",
            "source": "fma",
            "missingSince": "2026-01-02T03:04:05+00:00",
            "artist": {
                "id": global_id("Artist", ARTIST_ID),
                "name": "Kim",
                "musicbrainzArtistId": RECORDING_ID,
                "trackCount": 2,
            },
            "album": {
                "id": global_id("Album", ALBUM_ID),
                "title": "First",
                "year": 1999,
                "artistId": ARTIST_ID,
                "coverUrl": f"/albums/{ALBUM_ID}/cover",
            },
        },
    }
    assert found["b"]["details"] == {
        "artistId": None,
        "albumId": None,
        "isGenreKnown": False,
        "subGenres": [],
        "sourceTags": [],
        "isrc": None,
        "musicbrainzRecordingId": None,
        "licence": None,
        "source": None,
        "missingSince": None,
        "artist": None,
        "album": None,
    }
    assert found["c"]["details"] is None
    for has_cover, urls in (
        (True, [f"/tracks/{full.track_id}/cover", f"/albums/{ALBUM_ID}/cover"]),
        (False, [None] * 2),
    ):
        full.has_cover = has_cover
        put_albums(gateway, library_pb2.Album(album_id=ALBUM_ID, title="First", has_cover=has_cover))
        found = await gateway.data(document, ids)
        assert [found["a"]["coverUrl"], found["a"]["details"]["album"]["coverUrl"]] == urls


async def test_details_of_a_playlist_take_one_call_a_kind_whatever_its_length(gateway: Gateway) -> None:
    document = """query($id: ID!) { playlist(id: $id) { entries { nodes { track { title details {
      isrc artist { name } album { title artist { name } } } } } } } }"""
    spent = []
    for count in (3, 30):
        playlist = gateway.social.add_playlist(gateway.social.add_tracks(count))
        found = await gateway.data(document, {"id": playlist.playlist_id})
        names = {node["track"]["details"]["artist"]["name"] for node in found["playlist"]["entries"]["nodes"]}
        assert None not in names
        spent.append(gateway.behind.spent())
    assert spent[0] == spent[1]
    assert set(spent[0]) == {
        "GetPlaylist", "BatchGetTracks", "BatchGetTrackDetails", "BatchGetArtists", "BatchGetAlbums",
    }  # fmt: skip
    assert {name: count for name, count in spent[0].items() if name != "BatchGetArtists"} == {
        "GetPlaylist": 1, "BatchGetTracks": 1, "BatchGetTrackDetails": 1, "BatchGetAlbums": 1,
    }  # fmt: skip
    assert spent[0]["BatchGetArtists"] <= 2


async def test_lists_of_artists_with_their_tracks_and_albums_cost_the_same_for_three_and_thirty(
    gateway: Gateway,
) -> None:
    gateway.social.tracks = _AnyTrack()
    document = """query($first: Int!) { searchArtists(first: $first) { nodes {
      name tracks(first: 2) { nodes { title } }
      albums(first: 2) { nodes { title tracks(first: 2) { nodes { title } } } } } } }"""
    spent = []
    for count in (3, 30):
        gateway.social.list_size = count
        found = (await gateway.data(document, {"first": count}))["searchArtists"]["nodes"]
        assert len(found) == count
        assert all(len(node["tracks"]["nodes"]) == 2 for node in found)
        assert all(len(album["tracks"]["nodes"]) == 2 for node in found for album in node["albums"]["nodes"])
        spent.append(gateway.behind.spent())
    assert spent[0] == spent[1]
    assert spent[0] == {
        "SearchArtists": 1,
        "BatchListTracksOfArtists": 1,
        "BatchListAlbums": 1,
        "BatchListTracksOfAlbums": 1,
        "BatchGetTracks": 1,  # the made-up lists name the same tracks
    }


class _AnyTrack(dict[str, Any]):
    """Every id is a track's."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> Any:
        return make_track("Any", track_id=key)


async def test_artists_tracks_are_walked_through_by_cursors(gateway: Gateway) -> None:
    tracks = gateway.social.add_tracks(5)
    put_artists(gateway, ARTIST)

    def first(request: library_pb2.BatchListTracksOfArtistsRequest) -> library_pb2.BatchListTracksOfArtistsResponse:
        assert (list(request.artist_ids), request.page_size) == ([ARTIST_ID], 2)
        listed = library_pb2.ArtistTracks(
            artist_id=ARTIST_ID, track_ids=[track.track_id for track in tracks[:2]], next_page_token="two"
        )
        return library_pb2.BatchListTracksOfArtistsResponse(lists=[listed])

    def more(request: library_pb2.ListTracksOfArtistRequest) -> library_pb2.ListTracksOfArtistResponse:
        assert (request.artist_id, request.page_token) == (ARTIST_ID, "two")
        return library_pb2.ListTracksOfArtistResponse(tracks=tracks[2 : 2 + request.page_size])

    gateway.social.answers["BatchListTracksOfArtists"] = first
    gateway.social.answers["ListTracksOfArtist"] = more
    document = """query($id: ID!, $after: String) { artist(id: $id) { tracks(first: 2, after: $after) {
      pageInfo { hasNextPage endCursor } nodes { title } } } }"""
    page = (await gateway.data(document, {"id": ARTIST_ID}))["artist"]["tracks"]
    assert [node["title"] for node in page["nodes"]] == ["Track 000", "Track 001"]
    assert page["pageInfo"]["hasNextPage"] is True
    page = (await gateway.data(document, {"id": ARTIST_ID, "after": page["pageInfo"]["endCursor"]}))["artist"]["tracks"]
    assert [node["title"] for node in page["nodes"]] == ["Track 002", "Track 003"]


async def test_albums_tracks_and_artists_albums_go_on_by_their_own_lists(gateway: Gateway) -> None:
    (track,) = gateway.social.add_tracks(1)
    put_artists(gateway, ARTIST)
    put_albums(gateway, ALBUM)
    gateway.social.answers["BatchListTracksOfAlbums"] = library_pb2.BatchListTracksOfAlbumsResponse(
        lists=[library_pb2.AlbumTracks(album_id=ALBUM_ID, track_ids=[track.track_id], next_page_token="more")]
    )
    gateway.social.answers["ListTracksOfAlbum"] = library_pb2.ListTracksOfAlbumResponse(tracks=[track])
    gateway.social.answers["BatchListAlbums"] = library_pb2.BatchListAlbumsResponse(
        lists=[library_pb2.AlbumList(artist_id=ARTIST_ID, albums=[ALBUM], next_page_token="others")]
    )
    gateway.social.answers["SearchAlbums"] = library_pb2.SearchAlbumsResponse(albums=[ALBUM])
    document = """query($artist: ID!, $album: ID!, $tracks: String, $albums: String) {
      album(id: $album) { tracks(after: $tracks) { pageInfo { endCursor } nodes { title } } artist { name } }
      artist(id: $artist) { albums(after: $albums) { pageInfo { endCursor } nodes { title } } } }"""
    ids = {"artist": ARTIST_ID, "album": ALBUM_ID}
    found = await gateway.data(document, ids)
    assert found["album"]["artist"] == {"name": "Kim"}
    ends = {
        "tracks": found["album"]["tracks"]["pageInfo"]["endCursor"],
        "albums": found["artist"]["albums"]["pageInfo"]["endCursor"],
    }
    await gateway.data(document, ids | ends)
    asked = gateway.social.requests
    assert (asked["ListTracksOfAlbum"].album_id, asked["ListTracksOfAlbum"].page_token) == (ALBUM_ID, "more")
    assert (asked["SearchAlbums"].artist_id, asked["SearchAlbums"].page_token, asked["SearchAlbums"].query) == (
        ARTIST_ID,
        "others",
        "",
    )


async def test_artists_albums_and_tracks_are_found_by_words(gateway: Gateway) -> None:
    gateway.social.answers["SearchArtists"] = library_pb2.SearchArtistsResponse(
        artists=[ARTIST], next_page_token="next"
    )
    gateway.social.answers["SearchAlbums"] = library_pb2.SearchAlbumsResponse(albums=[ALBUM])
    found = await gateway.data(
        """query($artist: ID!) { searchArtists(query: "kim", first: 1) { pageInfo { hasNextPage } nodes { name } }
           searchAlbums(query: "first", artistId: $artist) { nodes { title year } }
           searchTracks(query: "x", leaveOutBlocked: true) { nodes { title } } }""",
        {"artist": global_id("Artist", ARTIST_ID)},
    )
    assert found["searchArtists"] == {"pageInfo": {"hasNextPage": True}, "nodes": [{"name": "Kim"}]}
    assert found["searchAlbums"] == {"nodes": [{"title": "First", "year": 1999}]}
    asked = gateway.social.requests
    assert (asked["SearchArtists"].query, asked["SearchArtists"].page_size) == ("kim", 1)
    assert (asked["SearchAlbums"].query, asked["SearchAlbums"].artist_id) == ("first", ARTIST_ID)
    assert asked["SearchTracks"].leave_out_blocked is True


async def test_genres_are_all_told(gateway: Gateway) -> None:
    gateway.social.answers["ListGenres"] = library_pb2.ListGenresResponse(
        genres=[library_pb2.Genre(name="Rock", track_count=3, unknown_count=1), library_pb2.Genre(name="Jazz")]
    )
    found = await gateway.data("{ genres { name trackCount unknownCount } }")
    assert found["genres"] == [
        {"name": "Rock", "trackCount": 3, "unknownCount": 1},
        {"name": "Jazz", "trackCount": 0, "unknownCount": 0},
    ]


async def test_node_knows_artists_and_albums_and_unknown_ones_are_coded(gateway: Gateway) -> None:
    put_artists(gateway, ARTIST)
    put_albums(gateway, ALBUM)
    document = "query($id: ID!) { node(id: $id) { id ... on Artist { name } ... on Album { title } } }"
    for kind, uuid, fields in (("Artist", ARTIST_ID, {"name": "Kim"}), ("Album", ALBUM_ID, {"title": "First"})):
        id_ = global_id(kind, uuid)
        assert (await gateway.data(document, {"id": id_}))["node"] == {"id": id_, **fields}
    unknown = new_id()
    for field, reason in (("artist", "ARTIST_NOT_FOUND"), ("album", "ALBUM_NOT_FOUND")):
        body = await gateway.run(f'{{ {field}(id: "{unknown}") {{ id }} }}')
        assert body["data"] == {field: None}
        assert body["errors"][0]["extensions"] == {
            "code": "NOT_FOUND", "reason": reason, "field": "id", "value": unknown,
        }  # fmt: skip
        body = await gateway.run("query($id: ID!) { node(id: $id) { id } }", {"id": global_id(field.title(), unknown)})
        assert body["errors"][0]["extensions"]["reason"] == reason


async def test_roots_are_listed_for_admins(gateway: Gateway) -> None:
    root = ingest_pb2.Root(
        root_id=new_id(), location="/music", created_at=timestamp(), track_count=2**40, missing_count=1
    )
    gateway.social.answers["ListRoots"] = ingest_pb2.ListRootsResponse(roots=[root], next_page_token="next")
    document = """{ roots(first: 1) { pageInfo { hasNextPage }
      nodes { rootId location createdAt trackCount missingCount } } }"""
    found = await gateway.data(document, headers=gateway.bearer(role="admin"))
    assert found["roots"] == {
        "pageInfo": {"hasNextPage": True},
        "nodes": [
            {
                "rootId": root.root_id,
                "location": "/music",
                "createdAt": "2026-01-02T03:04:05+00:00",
                "trackCount": 2**40,
                "missingCount": 1,
            }
        ],
    }
    body = await gateway.run(document, headers=gateway.bearer())
    assert body["errors"][0]["extensions"]["reason"] == "PERMISSION_DENIED"


async def test_what_is_away_leaves_the_rest(gateway: Gateway) -> None:
    (track,) = gateway.social.add_tracks(1)
    gateway.social.faults["BatchGetTrackDetails"] = Unavailable("away")
    gateway.social.faults["BatchListTracksOfArtists"] = NotFound("odd", reason="ODD")
    put_artists(gateway, ARTIST)
    body = await gateway.run(
        """query($t: ID!, $a: ID!) { track(id: $t) { title details { isrc } }
          artist(id: $a) { name tracks { nodes { id } } } }""",
        {"t": track.track_id, "a": ARTIST_ID},
    )
    assert body["data"] == {"track": {"title": "Track 000", "details": None}, "artist": {"name": "Kim", "tracks": None}}
    assert sorted(error["extensions"]["reason"] for error in body["errors"]) == ["ODD", "UNAVAILABLE"]


async def test_nodes_come_in_their_order_in_one_call_a_type(gateway: Gateway) -> None:
    put_artists(gateway, ARTIST)
    tracks = gateway.social.add_tracks(3)
    user = gateway.social.add_user("mina")
    ids = [
        global_id("Track", tracks[2].track_id),
        global_id("User", user.user_id),
        global_id("Track", new_id()),
        global_id("Artist", ARTIST_ID),
        global_id("Track", tracks[0].track_id),
    ]
    document = """query($ids: [ID!]!) { nodes(ids: $ids) {
      id ... on Track { title } ... on User { username } ... on Artist { name } } }"""
    assert (await gateway.data(document, {"ids": ids}))["nodes"] == [
        {"id": ids[0], "title": "Track 002"},
        {"id": ids[1], "username": "mina"},
        None,
        {"id": ids[3], "name": "Kim"},
        {"id": ids[4], "title": "Track 000"},
    ]
    assert gateway.behind.spent() == {"BatchGetTracks": 1, "BatchGetUsers": 1, "BatchGetArtists": 1}
    for wanted, reason, field in (
        ([ids[0]] * 101, "TOO_MANY_IDS", "ids"),
        ([ids[0], global_id("Job", new_id())], "ID_OF_ANOTHER_TYPE", "ids[1]"),
        (["nothing"], "ID_INVALID", "ids[0]"),
    ):
        body = await gateway.run(document, {"ids": wanted})
        refused = body["errors"][0]["extensions"]
        assert (body["data"], refused["reason"], refused["field"]) == ({"nodes": None}, reason, field)
