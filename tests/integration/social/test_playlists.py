"""Playlists over a real socket: who may open, edit, delete; pages; edits that meet."""

import asyncio

import pytest

from museed.social.v1 import jobs_pb2, playlists_pb2
from services.chassis.errors import Aborted, InvalidArgument, NotFound
from services.social.domain.ids import new_id
from tests.integration.social.conftest import TIMEOUT_S, Client, Library, Person

PRIVATE = playlists_pb2.VISIBILITY_PRIVATE
UNLISTED = playlists_pb2.VISIBILITY_UNLISTED
PUBLIC = playlists_pb2.VISIBILITY_PUBLIC


@pytest.fixture
async def owner(social: Client, library: Library) -> Person:
    return await social.sign_up("owner")


async def make(social: Client, library: Library, owner: Person, length: int = 2) -> str:
    seed = jobs_pb2.GenerationSeed(track_id=library.track_ids[0])
    return (await social.generate(owner, seed, length=length)).playlist_id


async def update(
    social: Client, who: Person, playlist_id: str, version: int, **changes: object
) -> playlists_pb2.Playlist:
    request = playlists_pb2.UpdatePlaylistRequest(playlist_id=playlist_id, version=version, **changes)  # type: ignore[arg-type]
    return (await social.playlists.UpdatePlaylist(request, timeout=TIMEOUT_S, metadata=who.metadata)).playlist


async def delete(social: Client, who: Person, playlist_id: str) -> None:
    request = playlists_pb2.DeletePlaylistRequest(playlist_id=playlist_id)
    await social.playlists.DeletePlaylist(request, timeout=TIMEOUT_S, metadata=who.metadata)


async def mine(social: Client, who: Person, size: int = 0, token: str = "") -> playlists_pb2.ListMyPlaylistsResponse:
    request = playlists_pb2.ListMyPlaylistsRequest(page_size=size, page_token=token)
    return await social.playlists.ListMyPlaylists(request, timeout=TIMEOUT_S, metadata=who.metadata)


async def test_private_is_the_owners_and_the_others_need_its_id(
    social: Client, library: Library, owner: Person
) -> None:
    other = await social.sign_up()
    playlist_id = await make(social, library, owner)
    # It is private from the first on: that changes nothing.
    for version, visibility in ((1, PRIVATE), (1, UNLISTED), (2, PUBLIC)):
        await update(social, owner, playlist_id, version, visibility=visibility)
        assert (await social.playlist(owner, playlist_id)).playlist.visibility == visibility
        for who in (other, library.admin, None):
            if visibility == PRIVATE:
                with pytest.raises(NotFound) as refusal:
                    await social.playlist(who, playlist_id)
                assert refusal.value.reason == "PLAYLIST_NOT_FOUND"
            else:
                assert len((await social.playlist(who, playlist_id)).entries) == 3
    for unknown in (new_id(), "nonsense"):
        with pytest.raises(NotFound):
            await social.playlist(owner, unknown)


async def test_only_the_owner_edits_and_deletes(social: Client, library: Library, owner: Person) -> None:
    playlist_id = await make(social, library, owner)
    await update(social, owner, playlist_id, 1, visibility=PUBLIC)
    for who in (await social.sign_up(), library.admin):
        with pytest.raises(NotFound):
            await update(social, who, playlist_id, 2, title="Stolen")
        with pytest.raises(NotFound):
            await delete(social, who, playlist_id)
    found = (await social.playlist(owner, playlist_id)).playlist
    assert (found.title, found.version) == ("Like “Track 0” by Somebody", 2)


async def test_edit_changes_what_it_names(social: Client, library: Library, owner: Person) -> None:
    playlist_id = await make(social, library, owner)
    before = (await social.playlist(owner, playlist_id)).playlist
    changed = await update(social, owner, playlist_id, 1, title=" New ", description="two\nlines")
    assert (changed.title, changed.description, changed.visibility, changed.version) == (
        "New",
        "two\nlines",
        PRIVATE,
        2,
    )
    assert changed.updated_at.ToDatetime() > before.updated_at.ToDatetime()
    assert changed.created_at == before.created_at
    assert (changed.entry_count, changed.duration_seconds) == (before.entry_count, before.duration_seconds)
    assert (await social.playlist(owner, playlist_id)).playlist == changed
    with pytest.raises(InvalidArgument) as refusal:
        await update(social, owner, playlist_id, 2, title="")
    assert (refusal.value.reason, refusal.value.field) == ("REQUIRED", "title")


async def test_of_edits_that_meet_one_wins(social: Client, library: Library, owner: Person) -> None:
    playlist_id = await make(social, library, owner)
    results = await asyncio.gather(
        *(update(social, owner, playlist_id, 1, title=f"Title {number}") for number in range(5)),
        return_exceptions=True,
    )
    won = [result for result in results if isinstance(result, playlists_pb2.Playlist)]
    lost = [result for result in results if isinstance(result, Aborted)]
    assert (len(won), len(lost)) == (1, 4)
    assert {(error.reason, error.field, error.value, error.limit) for error in lost} == {
        ("VERSION_CONFLICT", "version", "1", "2")
    }
    assert (await social.playlist(owner, playlist_id)).playlist.title == won[0].title


async def test_deleted_playlist_is_gone_and_its_job_stays(social: Client, library: Library, owner: Person) -> None:
    job = await social.generate(owner, jobs_pb2.GenerationSeed(track_id=library.track_ids[0]), length=2)
    await delete(social, owner, job.playlist_id)
    with pytest.raises(NotFound):
        await social.playlist(owner, job.playlist_id)
    with pytest.raises(NotFound):
        await delete(social, owner, job.playlist_id)
    left = await social.job(owner, job.job_id)
    assert (left.state, left.playlist_id) == (jobs_pb2.JOB_STATE_SUCCEEDED, "")


async def test_own_playlists_are_listed_newest_first_in_pages(social: Client, library: Library, owner: Person) -> None:
    made = [await make(social, library, owner) for _ in range(5)]
    await make(social, library, library.admin)
    seen: list[str] = []
    token = ""
    sizes = []
    while True:
        page = await mine(social, owner, 2, token)
        seen += [playlist.playlist_id for playlist in page.playlists]
        sizes.append(len(page.playlists))
        token = page.next_page_token
        if not token:
            break
    assert seen == made[::-1]
    assert sizes == [2, 2, 1]
    assert [playlist.entry_count for playlist in (await mine(social, owner)).playlists] == [3] * 5
    token = (await mine(social, owner, 2)).next_page_token
    with pytest.raises(InvalidArgument) as refusal:
        await mine(social, library.admin, 2, token)
    assert refusal.value.field == "page_token"
