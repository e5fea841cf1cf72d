"""Artists, albums, genres: made of the names in files, found as people type them, listed page by page."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest

from museed.social.v1 import catalog_pb2, library_pb2, library_pb2_grpc
from services.chassis.errors import InvalidArgument, NotFound
from services.social.domain.ids import new_id
from services.social.store.database import Database
from services.social.workers.refining import Refiner
from tests.integration.social.conftest import TIMEOUT_S, Client, Person, Sql, registration, until

# path, title, artist, album, year
FILES = [
    ("IU/Real/01.ogg", "좋은 날", "아이유", "Real", 2010),
    ("IU/Real/02.ogg", "이게 아닌데", "아이유", "REAL", 0),
    ("IU/Palette/04.ogg", "팔레트", "아이유", "Palette", 2017),
    ("a/1.ogg", "Hoppípolla", "Sigur Rós", "Takk...", 0),
    ("a/2.ogg", "Glósóli", "SIGUR RÓS", "Takk", 2005),
    ("mix/x.ogg", "One", "", "Greatest Hits", 1999),
    ("mix/y.ogg", "Two", "", "Greatest Hits", 1999),
    ("other/z.ogg", "Three", "", "Greatest Hits", 2001),
    ("loose.ogg", "Four", "Takako", "", 0),
]


class Shelf:
    """The library of a running service."""

    def __init__(self, social: Client, admin: Person, root_id: str) -> None:
        self.social = social
        self.admin = admin
        self.root_id = root_id
        self.stub: library_pb2_grpc.LibraryServiceAsyncStub = social.stub(library_pb2_grpc.LibraryServiceStub)

    async def artists(self, query: str = "", **more: object) -> list[library_pb2.Artist]:
        request = library_pb2.SearchArtistsRequest(query=query, **more)  # type: ignore[arg-type]  # any field
        return list((await self.stub.SearchArtists(request, timeout=TIMEOUT_S)).artists)

    async def albums(self, query: str = "", **more: object) -> list[library_pb2.Album]:
        request = library_pb2.SearchAlbumsRequest(query=query, **more)  # type: ignore[arg-type]  # any field
        return list((await self.stub.SearchAlbums(request, timeout=TIMEOUT_S)).albums)

    async def details(self, *track_ids: str) -> list[library_pb2.TrackDetails]:
        request = library_pb2.BatchGetTrackDetailsRequest(track_ids=track_ids)
        return list((await self.stub.BatchGetTrackDetails(request, timeout=TIMEOUT_S)).tracks)


async def until_refined(sql: Sql) -> None:
    async def is_done() -> bool:
        return not await sql.fetchval("SELECT count(*) FROM tracks WHERE refined < 2")

    await until(is_done)


def file(path: str, title: str, artist: str, album: str, year: int) -> catalog_pb2.TrackRegistration:
    return registration(path, relative_path=path.encode(), title=title, artist=artist, album=album, year=year)


@pytest.fixture
async def shelf(social: Client, sql: Sql) -> Shelf:
    admin = await social.sign_up("admin")
    root_id = await social.register_root(admin)
    await social.register(admin, root_id, [file(*each) for each in FILES])
    await until_refined(sql)
    return Shelf(social, admin, root_id)


async def test_everybody_of_one_name_is_one_artist(shelf: Shelf) -> None:
    found = await shelf.artists()
    assert [(each.name, each.track_count) for each in found] == [("Sigur Rós", 2), ("Takako", 1), ("아이유", 3)]


async def test_albums_are_of_an_artist_or_of_a_folder(shelf: Shelf) -> None:
    artists = {each.artist_id: each.name for each in await shelf.artists()}
    found = [(each.title, artists.get(each.artist_id, ""), each.year) for each in await shelf.albums()]
    assert sorted(found) == [
        ("Greatest Hits", "", 1999),
        ("Greatest Hits", "", 2001),
        ("Palette", "아이유", 2017),
        ("Real", "아이유", 2010),
        ("Takk...", "Sigur Rós", 2005),
    ]


async def test_names_are_found_as_people_type_them(shelf: Shelf) -> None:
    for query, names in (("sigur ros", ["Sigur Rós"]), ("아이우", ["아이유"]), ("ㅇㅇㅇ", ["아이유"]), ("nobody", [])):
        assert [each.name for each in await shelf.artists(query)] == names, query
    assert [each.title for each in await shelf.albums("pallete")] == ["Palette"]
    for typed in ("palette 아이유", "ㅍㄹㅌ", "팔레트 palete"):
        request = catalog_pb2.SearchTracksRequest(query=typed)
        found = await shelf.social.catalog.SearchTracks(request, timeout=TIMEOUT_S)
        assert [track.title for track in found.tracks] == ["팔레트"], typed
    (iu,) = await shelf.artists("아이유")
    assert [each.title for each in await shelf.albums(artist_id=iu.artist_id)] == ["Palette", "Real"]
    assert await shelf.albums("takk", artist_id=iu.artist_id) == []
    assert await shelf.albums(artist_id=new_id()) == []


async def test_pages_of_names_are_the_whole_list(shelf: Shelf) -> None:
    whole = [each.album_id for each in await shelf.albums()]
    paged: list[str] = []
    token = ""
    while True:
        request = library_pb2.SearchAlbumsRequest(page_size=2, page_token=token)
        answer = await shelf.stub.SearchAlbums(request, timeout=TIMEOUT_S)
        paged += [each.album_id for each in answer.albums]
        token = answer.next_page_token
        if not token:
            break
    assert paged == whole
    with pytest.raises(InvalidArgument) as refusal:
        await shelf.albums(page_token="x")
    assert (refusal.value.field, refusal.value.reason) == ("page_token", "MALFORMED")
    with pytest.raises(InvalidArgument) as long:
        await shelf.artists("a" * 201)
    assert (long.value.field, long.value.limit) == ("query", "200")


async def pages(call: Callable[[str], Awaitable[tuple[list[str], str]]]) -> list[str]:
    found: list[str] = []
    token = ""
    while True:
        titles, token = await call(token)
        found += titles
        if not token:
            return found


async def test_tracks_of_an_artist_by_title_and_of_an_album_by_path(shelf: Shelf, sql: Sql) -> None:
    (iu,) = await shelf.artists("아이유")
    (real,) = await shelf.albums("real")

    async def of_artist(token: str) -> tuple[list[str], str]:
        request = library_pb2.ListTracksOfArtistRequest(artist_id=iu.artist_id, page_size=2, page_token=token)
        answer = await shelf.stub.ListTracksOfArtist(request, timeout=TIMEOUT_S)
        return [track.title for track in answer.tracks], answer.next_page_token

    async def of_album(token: str) -> tuple[list[str], str]:
        request = library_pb2.ListTracksOfAlbumRequest(album_id=real.album_id, page_size=1, page_token=token)
        answer = await shelf.stub.ListTracksOfAlbum(request, timeout=TIMEOUT_S)
        return [track.title for track in answer.tracks], answer.next_page_token

    assert await pages(of_artist) == ["이게 아닌데", "좋은 날", "팔레트"]
    assert await pages(of_album) == ["좋은 날", "이게 아닌데"]
    for wrong in (new_id(), "nonsense"):
        with pytest.raises(NotFound) as artist:
            await shelf.stub.ListTracksOfArtist(
                library_pb2.ListTracksOfArtistRequest(artist_id=wrong), timeout=TIMEOUT_S
            )
        with pytest.raises(NotFound) as album:
            await shelf.stub.ListTracksOfAlbum(library_pb2.ListTracksOfAlbumRequest(album_id=wrong), timeout=TIMEOUT_S)
        assert (artist.value.reason, album.value.reason) == ("ARTIST_NOT_FOUND", "ALBUM_NOT_FOUND")


async def test_first_pages_of_many_go_on_by_the_lists_of_one(shelf: Shelf, sql: Sql) -> None:
    artists, albums = await shelf.artists(page_size=100), await shelf.albums(page_size=100)
    artist_ids, album_ids = [one.artist_id for one in artists], [one.album_id for one in albums]
    unknown = new_id()
    for size in (1, 2, 100):
        asked = library_pb2.BatchListTracksOfArtistsRequest(
            artist_ids=[*artist_ids, unknown, "nonsense"], page_size=size
        )
        of_artists = (await shelf.stub.BatchListTracksOfArtists(asked, timeout=TIMEOUT_S)).lists
        assert [one.artist_id for one in of_artists] == [*artist_ids, unknown]
        for listed in of_artists[:-1]:
            one = library_pb2.ListTracksOfArtistRequest(artist_id=listed.artist_id, page_size=size)
            alone = await shelf.stub.ListTracksOfArtist(one, timeout=TIMEOUT_S)
            assert list(listed.track_ids) == [track.track_id for track in alone.tracks]
            assert listed.next_page_token == alone.next_page_token
        assert (list(of_artists[-1].track_ids), of_artists[-1].next_page_token) == ([], "")

        wanted = library_pb2.BatchListTracksOfAlbumsRequest(album_ids=[*album_ids, unknown], page_size=size)
        of_albums = (await shelf.stub.BatchListTracksOfAlbums(wanted, timeout=TIMEOUT_S)).lists
        assert [one.album_id for one in of_albums] == [*album_ids, unknown]
        for found in of_albums[:-1]:
            single = library_pb2.ListTracksOfAlbumRequest(album_id=found.album_id, page_size=size)
            itself = await shelf.stub.ListTracksOfAlbum(single, timeout=TIMEOUT_S)
            assert list(found.track_ids) == [track.track_id for track in itself.tracks]
            assert found.next_page_token == itself.next_page_token

        of_all = library_pb2.BatchListAlbumsRequest(artist_ids=[*artist_ids, unknown], page_size=size)
        lists = (await shelf.stub.BatchListAlbums(of_all, timeout=TIMEOUT_S)).lists
        assert [one.artist_id for one in lists] == [*artist_ids, unknown]
        for each in lists[:-1]:
            by_one = library_pb2.SearchAlbumsRequest(artist_id=each.artist_id, page_size=size)
            searched = await shelf.stub.SearchAlbums(by_one, timeout=TIMEOUT_S)
            assert list(each.albums) == list(searched.albums)
            assert each.next_page_token == searched.next_page_token
    assert any(one.next_page_token for one in (await shelf.stub.BatchListAlbums(
        library_pb2.BatchListAlbumsRequest(artist_ids=artist_ids, page_size=1), timeout=TIMEOUT_S)).lists)  # fmt: skip
    too_many = library_pb2.BatchListAlbumsRequest(artist_ids=[new_id()] * 101)
    with pytest.raises(InvalidArgument) as refusal:
        await shelf.stub.BatchListAlbums(too_many, timeout=TIMEOUT_S)
    assert (refusal.value.field, refusal.value.limit) == ("artist_ids", "100")


async def test_retagged_track_changes_its_artist_and_nobody_is_left_over(shelf: Shelf, sql: Sql) -> None:
    (track,) = await shelf.social.register(
        shelf.admin, shelf.root_id, [file("loose.ogg", "Four", "Sigur Ros", "Takk", 0)]
    )
    await until_refined(sql)
    assert [(each.name, each.track_count) for each in await shelf.artists()] == [("Sigur Rós", 3), ("아이유", 3)]
    (details,) = await shelf.details(track.track_id)
    (takk,) = await shelf.albums("takk")
    assert (details.artist_id, details.album_id) == (takk.artist_id, takk.album_id)


async def test_artist_and_album_are_spelt_as_files_spell_them_now(shelf: Shelf, sql: Sql) -> None:
    """A correction of one file changes nothing as long as another is spelt as before."""
    await shelf.social.register(shelf.admin, shelf.root_id, [file("a/2.ogg", "Glósóli", "Sigur rós", "TAKK", 2006)])
    await until_refined(sql)
    assert [each.name for each in await shelf.artists("sigur")] == ["Sigur Rós"]
    assert [(each.title, each.year) for each in await shelf.albums("takk")] == [("Takk...", 2006)]
    await shelf.social.register(shelf.admin, shelf.root_id, [file("a/1.ogg", "Hoppípolla", "Sigur rós", "TAKK", 2006)])
    await until_refined(sql)
    assert [each.name for each in await shelf.artists("sigur")] == ["Sigur rós"]
    assert [(each.title, each.year) for each in await shelf.albums("takk")] == [("TAKK", 2006)]


async def test_artists_and_albums_are_known_by_what_their_files_say(shelf: Shelf, sql: Sql) -> None:
    one, other, release = new_id(), new_id(), new_id()

    async def known_by(path: str, title: str, artist_id: str, release_id: str) -> tuple[str, str]:
        said = file(path, title, "아이유", "Real", 2010)
        said.musicbrainz_artist_id, said.musicbrainz_release_id = artist_id, release_id
        await shelf.social.register(shelf.admin, shelf.root_id, [said])
        await until_refined(sql)
        (artist,), (album,) = await shelf.artists("아이유"), await shelf.albums("real")
        return artist.musicbrainz_artist_id, album.musicbrainz_release_id

    assert await known_by("IU/Real/01.ogg", "좋은 날", one, release) == (one, release)
    # The first is believed as long as a file says it.
    assert await known_by("IU/Real/02.ogg", "이게 아닌데", other, "") == (one, release)
    assert await known_by("IU/Real/01.ogg", "좋은 날", other, release) == (other, release)
    assert await known_by("IU/Real/01.ogg", "좋은 날", "", "") == (other, release)


async def test_album_has_a_picture_where_one_of_its_first_tracks_has_one(shelf: Shelf, sql: Sql) -> None:
    said = [file(f"long/{number:02}.ogg", f"Piece {number}", "Lena", "Pictured", 2010) for number in range(13)]

    async def known(*pictured: int, unknown: int | None = None) -> list[bool | None]:
        for number, one in enumerate(said):
            one.has_cover = number in pictured
        if unknown is not None:
            said[unknown].ClearField("has_cover")
        await sql.execute("UPDATE tracks SET has_cover = NULL")
        await shelf.social.register(shelf.admin, shelf.root_id, said)
        await until_refined(sql)
        (found,) = await shelf.albums("pictured")
        (artist,) = await shelf.artists("lena")
        request = library_pb2.BatchListAlbumsRequest(artist_ids=[artist.artist_id], page_size=1)
        (listed,) = (await shelf.stub.BatchListAlbums(request, timeout=TIMEOUT_S)).lists
        return [one.has_cover if one.HasField("has_cover") else None for one in (found, listed.albums[0])]

    assert await known() == [False, False]
    assert await known(unknown=5) == [None, None]
    assert await known(11, unknown=5) == [True, True]
    # Nobody looks further than a gateway does.
    assert await known(12) == [False, False]


async def test_no_name_is_too_long_to_be_listed_found_and_paged(shelf: Shelf, sql: Sql) -> None:
    """Four bytes a letter, or eighteen letters for one sign: nothing of it may hold up the tracks that follow."""
    rare = random.Random(0)
    han = "".join(chr(rare.randrange(0x20000, 0x2A6D0)) for _ in range(500))
    ligatures = "".join(chr(rare.randrange(0xFBEA, 0xFDC7)) for _ in range(499)) + "\ufdfa"
    names = [han, ligatures, "\ufdfa" * 500, han[::-1]]
    tracks = [
        file(f"long {n}.ogg", name, other, names[n - 1], 0)
        for n, (name, other) in enumerate(zip(names, names[::-1], strict=True))
    ]
    answers = await shelf.social.register(
        shelf.admin, shelf.root_id, [*tracks, file("after.ogg", "After", "Takako", "After", 0)]
    )
    assert {answer.outcome for answer in answers} == {catalog_pb2.REGISTRATION_OUTCOME_CREATED}
    await until_refined(sql)
    assert [each.title for each in await shelf.albums("after")] == ["After"]

    async def of_tracks(token: str) -> tuple[list[str], str]:
        request = catalog_pb2.SearchTracksRequest(page_size=1, page_token=token)
        answer = await shelf.social.catalog.SearchTracks(request, timeout=TIMEOUT_S)
        return [track.title for track in answer.tracks], answer.next_page_token

    async def of_artists(token: str) -> tuple[list[str], str]:
        request = library_pb2.SearchArtistsRequest(page_size=1, page_token=token)
        answer = await shelf.stub.SearchArtists(request, timeout=TIMEOUT_S)
        return [artist.name for artist in answer.artists], answer.next_page_token

    assert len(await pages(of_tracks)) == len(FILES) + 5
    assert len(await pages(of_artists)) == 3 + 4


async def test_other_korean_names_have_their_own_artist(shelf: Shelf, sql: Sql) -> None:
    """Where the letters change with the names, nothing else puts the track back in line."""
    await shelf.social.register(shelf.admin, shelf.root_id, [file("loose.ogg", "넷", "아이유", "", 0)])
    await until_refined(sql)
    assert [(each.name, each.track_count) for each in await shelf.artists()] == [("Sigur Rós", 2), ("아이유", 4)]


async def test_album_takes_the_first_year_that_a_file_names(shelf: Shelf, sql: Sql) -> None:
    for number, year in enumerate((0, 2011, 2012)):
        await shelf.social.register(shelf.admin, shelf.root_id, [file(f"y{number}.ogg", "Y", "Takako", "Years", year)])
        await until_refined(sql)
    assert [each.year for each in await shelf.albums("years")] == [2011]


async def test_release_that_knows_no_artists_may_change_names(shelf: Shelf, sql: Sql) -> None:
    """As v0.1.0 writes: the names, and nothing that follows from them."""
    await sql.execute(
        "UPDATE tracks SET title = '밤편지', search_title = '밤편지', artist = 'Takako', search_text = '밤편지 takako'"
        " WHERE relative_path = $1",
        b"a/1.ogg",
    )
    await until_refined(sql)
    row = await sql.fetchrow("SELECT artist_key, search_jamo, search_initials FROM tracks WHERE title = '밤편지'")
    assert row is not None
    assert tuple(row) == ("takako", "ㅂㅏㅁㅍㅕㄴㅈㅣ", "ㅂㅍㅈ")
    assert [(each.name, each.track_count) for each in await shelf.artists("takako")] == [("Takako", 2)]


async def test_what_is_known_of_tracks(shelf: Shelf, sql: Sql) -> None:
    more = {
        "raw_genre": "no genre at all",
        "sub_genres": ["Ballad"],
        "tags": ["live"],
        "isrc": "KRA381001057",
        "musicbrainz_recording_id": new_id(),
        "licence": "CC0",
        "source": "folder",
    }
    (track,) = await shelf.social.register(shelf.admin, shelf.root_id, [registration("known", **more)])
    await sql.execute("UPDATE tracks SET missing_since = '2026-01-02T03:04:05Z' WHERE track_id = $1", track.track_id)
    await until_refined(sql)
    (details,) = await shelf.details(track.track_id, track.track_id, new_id(), "nonsense")
    (artist,) = await shelf.artists("somebody")
    (album,) = await shelf.albums("an album")
    assert details == library_pb2.TrackDetails(
        track_id=track.track_id,
        artist_id=artist.artist_id,
        album_id=album.album_id,
        is_genre_known=False,
        sub_genres=["Ballad"],
        source_tags=["live"],
        isrc="KRA381001057",
        musicbrainz_recording_id=str(more["musicbrainz_recording_id"]),
        licence="CC0",
        source="folder",
        missing_since=details.missing_since,
    )
    assert details.missing_since.ToJsonString() == "2026-01-02T03:04:05Z"
    with pytest.raises(InvalidArgument) as refusal:
        await shelf.details(*[new_id()] * 501)
    assert (refusal.value.field, refusal.value.value, refusal.value.limit) == ("track_ids", "501", "500")
    found = await shelf.stub.BatchGetArtists(
        library_pb2.BatchGetArtistsRequest(artist_ids=[artist.artist_id, new_id(), "x"]), timeout=TIMEOUT_S
    )
    assert list(found.artists) == [artist]
    albums = await shelf.stub.BatchGetAlbums(
        library_pb2.BatchGetAlbumsRequest(album_ids=[album.album_id, new_id(), "x"]), timeout=TIMEOUT_S
    )
    assert list(albums.albums) == [album]


async def test_all_genres_are_listed_with_what_is_only_taken_for_them(shelf: Shelf) -> None:
    more = [registration("p", raw_genre="Zeuhl"), registration("q", raw_genre=""), registration("r", raw_genre="pop")]
    await shelf.social.register(shelf.admin, shelf.root_id, more)
    answer = await shelf.stub.ListGenres(library_pb2.ListGenresRequest(), timeout=TIMEOUT_S)
    found = [(each.name, each.track_count, each.unknown_count) for each in answer.genres]
    assert found[:3] == [("Rock", 9, 0), ("Pop", 2, 1), ("Experimental", 1, 1)]
    assert len(found) == 16
    assert {each[1:] for each in found[3:]} == {(0, 0)}


async def test_two_refine_at_once_and_each_name_is_one(database: Database, sql: Sql) -> None:
    """More tracks than a batch, the same names in every batch, two processes."""
    root = new_id()
    await sql.execute("INSERT INTO roots (root_id, location) VALUES ($1, '/music')", root)
    await sql.execute(
        """INSERT INTO tracks (track_id, root_id, relative_path, file_hash, audio_hash, size_bytes, content_type, title,
             artist, album, raw_genre, genre, is_genre_known, year, header_seconds, search_title, search_text)
           SELECT uuidv7(), $1, n::text::bytea, sha256(n::text::bytea), sha256(n::text::bytea), 1, 'audio/ogg',
             'T' || n, 'Artist ' || n % 50, 'Album ' || n % 75, '', 'Pop', false, 0, 1, 't' || n, 't' || n
           FROM generate_series(1, 1700) AS n""",
        root,
    )
    counts = await asyncio.gather(Refiner(database).catch_up(), Refiner(database).catch_up())
    assert sum(counts) + await Refiner(database).catch_up() == 1700
    assert await sql.fetchval("SELECT count(*) FROM tracks WHERE refined = 2 AND artist_id IS NOT NULL") == 1700
    assert await sql.fetchval("SELECT count(*) FROM artists") == 50
    assert await sql.fetchval("SELECT count(*) FROM albums") == 150
