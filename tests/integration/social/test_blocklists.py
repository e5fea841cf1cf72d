"""What people do not want to hear: their own lists, bounded, and left out of a search where they say so."""

import asyncio
from collections.abc import Sequence

import pytest

from museed.social.v1 import blocklists_pb2, blocklists_pb2_grpc, catalog_pb2, library_pb2, library_pb2_grpc
from services.chassis.errors import InvalidArgument, NotFound, ResourceExhausted
from services.social.domain.ids import UserId, new_id
from services.social.store import blocklists
from services.social.store.database import Database
from tests.integration.social.conftest import TIMEOUT_S, Client, Person, Sql, registration
from tests.integration.social.test_library import until_refined

TRACK, ARTIST = blocklists_pb2.BLOCKED_KIND_TRACK, blocklists_pb2.BLOCKED_KIND_ARTIST


class Lists:
    """Blocklists of a running service with a library of six tracks by three artists."""

    def __init__(self, social: Client, person: Person, other: Person, tracks: Sequence[str], artists: Sequence[str]):
        self.social, self.person, self.other = social, person, other
        self.tracks, self.artists = tracks, artists
        self.stub: blocklists_pb2_grpc.BlocklistServiceAsyncStub = social.stub(blocklists_pb2_grpc.BlocklistServiceStub)

    async def block_track(self, track_id: str, who: Person | None = None) -> None:
        request = blocklists_pb2.BlockTrackRequest(track_id=track_id)
        await self.stub.BlockTrack(request, timeout=TIMEOUT_S, metadata=(who or self.person).metadata)

    async def block_artist(self, artist_id: str) -> None:
        request = blocklists_pb2.BlockArtistRequest(artist_id=artist_id)
        await self.stub.BlockArtist(request, timeout=TIMEOUT_S, metadata=self.person.metadata)

    async def blocked(
        self, kind: blocklists_pb2.BlockedKind.ValueType, who: Person | None = None, size: int = 0, token: str = ""
    ) -> blocklists_pb2.ListBlockedResponse:
        request = blocklists_pb2.ListBlockedRequest(kind=kind, page_size=size, page_token=token)
        return await self.stub.ListBlocked(request, timeout=TIMEOUT_S, metadata=(who or self.person).metadata)

    async def titles(self, who: Person | None, query: str = "", **more: object) -> list[str]:
        request = catalog_pb2.SearchTracksRequest(query=query, leave_out_blocked=True, **more)  # type: ignore[arg-type]
        metadata = None if who is None else who.metadata
        answer = await self.social.catalog.SearchTracks(request, timeout=TIMEOUT_S, metadata=metadata)
        return [track.title for track in answer.tracks]


@pytest.fixture
async def lists(social: Client, sql: Sql) -> Lists:
    admin = await social.sign_up("admin")
    root_id = await social.register_root(admin)
    files = [registration(f"song {number}", artist=f"artist {number % 3}") for number in range(6)]
    tracks = await social.register(admin, root_id, files)
    await until_refined(sql)
    stub: library_pb2_grpc.LibraryServiceAsyncStub = social.stub(library_pb2_grpc.LibraryServiceStub)
    artists = (await stub.SearchArtists(library_pb2.SearchArtistsRequest(), timeout=TIMEOUT_S)).artists
    ids = [track.track_id for track in tracks]
    return Lists(social, await social.sign_up(), await social.sign_up(), ids, [each.artist_id for each in artists])


async def test_blocked_things_are_listed_newest_first_to_their_owner_alone(lists: Lists) -> None:
    for track_id in lists.tracks:
        await lists.block_track(track_id)
    first = await lists.blocked(TRACK)
    await lists.block_track(lists.tracks[0])  # again: it stays where it was
    assert await lists.blocked(TRACK) == first
    assert [each.track_id for each in first.blocked] == lists.tracks[::-1]
    paged: list[str] = []
    token = ""
    while True:
        answer = await lists.blocked(TRACK, size=4, token=token)
        paged += [each.track_id for each in answer.blocked]
        token = answer.next_page_token
        if not token:
            break
    assert paged == lists.tracks[::-1]
    assert list((await lists.blocked(ARTIST)).blocked) == []
    assert list((await lists.blocked(TRACK, lists.other)).blocked) == []
    page = await lists.blocked(TRACK, size=4)
    with pytest.raises(InvalidArgument) as refusal:
        await lists.blocked(TRACK, lists.other, token=page.next_page_token)
    assert (refusal.value.field, refusal.value.reason) == ("page_token", "MALFORMED")


async def test_search_leaves_out_what_the_caller_blocks(lists: Lists) -> None:
    await lists.block_track(lists.tracks[0])
    await lists.block_artist(lists.artists[1])
    left = ["song 2", "song 3", "song 5"]
    assert await lists.titles(lists.person) == left
    assert sorted(await lists.titles(lists.person, "song")) == left
    assert await lists.titles(lists.person, "", genre="Rock") == left
    assert len(await lists.titles(lists.other)) == len(await lists.titles(None, "song")) == 6
    plain = await lists.social.catalog.SearchTracks(
        catalog_pb2.SearchTracksRequest(query="song"), timeout=TIMEOUT_S, metadata=lists.person.metadata
    )
    assert len(plain.tracks) == 6


async def test_what_is_let_be_heard_again_is_found(lists: Lists) -> None:
    await lists.block_track(lists.tracks[0])
    await lists.block_artist(lists.artists[0])
    for _ in range(2):
        await lists.stub.UnblockTrack(
            blocklists_pb2.UnblockTrackRequest(track_id=lists.tracks[0]),
            timeout=TIMEOUT_S,
            metadata=lists.person.metadata,
        )
        await lists.stub.UnblockArtist(
            blocklists_pb2.UnblockArtistRequest(artist_id=lists.artists[0]),
            timeout=TIMEOUT_S,
            metadata=lists.person.metadata,
        )
    assert len(await lists.titles(lists.person)) == 6


async def test_what_is_not_there_cannot_be_blocked(lists: Lists) -> None:
    for wrong in (new_id(), "nonsense"):
        with pytest.raises(NotFound) as track:
            await lists.block_track(wrong)
        with pytest.raises(NotFound) as artist:
            await lists.block_artist(wrong)
        assert (track.value.reason, artist.value.reason) == ("TRACK_NOT_FOUND", "ARTIST_NOT_FOUND")
        assert (track.value.field, artist.value.field) == ("track_id", "artist_id")
    with pytest.raises(InvalidArgument) as kind:
        await lists.blocked(blocklists_pb2.BLOCKED_KIND_UNSPECIFIED)
    assert (kind.value.field, kind.value.reason) == ("kind", "MALFORMED")


async def test_full_list_takes_no_more_even_of_two_at_once(
    lists: Lists, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocklists, "MOST_BLOCKED", 3)
    answers = await asyncio.gather(*(lists.block_track(each) for each in lists.tracks), return_exceptions=True)
    refused = [each for each in answers if isinstance(each, ResourceExhausted)]
    assert [(each.reason, each.field, each.limit) for each in refused] == [("BLOCKLIST_FULL", "track_id", "3")] * 3
    assert await sql.fetchval("SELECT count(*) FROM blocked_tracks") == 3
    await lists.block_artist(lists.artists[0])  # each kind has its own limit
    (kept,) = await sql.fetch("SELECT track_id FROM blocked_tracks LIMIT 1")
    await lists.block_track(str(kept["track_id"]))  # what is there stays


async def test_person_is_forgotten_a_part_at_a_time(lists: Lists, database: Database, sql: Sql) -> None:
    for track_id in lists.tracks:
        await lists.block_track(track_id)
    await lists.block_artist(lists.artists[0])
    await lists.block_track(lists.tracks[0], lists.other)
    user_id = UserId(lists.person.user_id)
    gone = []
    async with database.transaction() as connection:
        while count := await blocklists.forget(connection, user_id, 4):
            gone.append(count)
    assert gone == [5, 2]
    left = await sql.fetch("SELECT user_id FROM blocked_tracks UNION ALL SELECT user_id FROM blocked_artists")
    assert [str(row["user_id"]) for row in left] == [lists.other.user_id]


async def test_tracks_are_read_without_what_the_caller_blocks(lists: Lists) -> None:
    await lists.block_track(lists.tracks[0])
    await lists.block_artist(lists.artists[1])  # songs 1 and 4

    async def found(who: Person | None, *, leave_out: bool) -> set[str]:
        request = catalog_pb2.BatchGetTracksRequest(track_ids=lists.tracks, leave_out_blocked=leave_out)
        metadata = None if who is None else who.metadata
        answer = await lists.social.catalog.BatchGetTracks(request, timeout=TIMEOUT_S, metadata=metadata)
        return {track.track_id for track in answer.tracks}

    everything = set(lists.tracks)
    assert await found(lists.person, leave_out=True) == {lists.tracks[number] for number in (2, 3, 5)}
    assert await found(lists.person, leave_out=False) == everything
    assert await found(lists.other, leave_out=True) == await found(None, leave_out=True) == everything
