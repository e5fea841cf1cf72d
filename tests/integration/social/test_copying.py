"""Saving playlists as one's own copies, over a real socket."""

import asyncio
import json

import pytest

from museed.social.v1.feed_pb2 import ListLatestRequest
from museed.social.v1.feed_pb2_grpc import FeedServiceStub
from services.chassis.errors import FailedPrecondition, NotFound
from tests.integration.social.conftest import TIMEOUT_S, Client, Sql, until
from tests.integration.social.hands import PRIVATE, PUBLIC, UNLISTED, Hands, block, is_waiting, tracks

__all__ = ["tracks"]


@pytest.fixture
async def owner(social: Client, tracks: list[str]) -> Hands:
    return Hands(social, await social.sign_up("owner"))


@pytest.fixture
async def other(social: Client, owner: Hands) -> Hands:
    return Hands(social, await social.sign_up("other"))


async def test_copy_is_ones_own_and_made_once(owner: Hands, other: Hands, tracks: list[str], sql: Sql) -> None:
    source = await owner.create(tracks[:3], "Theirs", PUBLIC)
    source_id = source.playlist.playlist_id
    copies = await asyncio.gather(*(other.copy(source_id) for _ in range(4)))
    assert len({copy.playlist_id for copy in copies}) == 1
    copy = copies[0]
    assert (copy.owner_id, copy.title, copy.visibility, copy.copied_from, copy.entry_count, copy.duration_seconds) == (
        other.user_id,
        "Theirs",
        PRIVATE,
        source_id,
        3,
        183.0,
    )
    entries = (await other.get(copy.playlist_id)).entries
    assert [(entry.track_id, entry.added_by) for entry in entries] == [(track, other.user_id) for track in tracks[:3]]
    assert not {entry.entry_id for entry in entries} & {entry.entry_id for entry in source.entries}
    assert (await owner.get(source_id)).playlist.save_count == 1
    await other.remove(copy.playlist_id, [entries[0].entry_id])
    assert (await owner.get(source_id)).entries == source.entries
    await other.delete(copy.playlist_id)
    again = await other.copy(source_id, "Again")
    assert again.playlist_id != copy.playlist_id
    assert again.title == "Again"
    assert (await owner.get(source_id)).playlist.save_count == 1
    told = await sql.fetch("SELECT user_id::text, kind, actor_id::text FROM notifications")
    assert [tuple(row) for row in told] == [(owner.user_id, "SAVED", other.user_id)]
    kinds = await sql.fetch("SELECT kind FROM activities WHERE actor_id = $1", other.user_id)
    assert [row["kind"] for row in kinds] == ["SAVED"]


async def test_copy_of_what_a_link_alone_opens_tells_others_no_link(
    social: Client, owner: Hands, other: Hands, tracks: list[str]
) -> None:
    source_id = (await owner.create(tracks[:2], "By link", UNLISTED)).playlist.playlist_id
    copy_id = (await other.copy(source_id)).playlist_id
    await other.show(copy_id, PUBLIC)
    guest = Hands(social, None)
    assert (await other.get(copy_id)).playlist.copied_from == source_id
    assert (await guest.get(copy_id)).playlist.copied_from == ""
    assert (await owner.batch([copy_id]))[copy_id].copied_from == ""
    latest = FeedServiceStub(social.channel).ListLatest(ListLatestRequest(), timeout=TIMEOUT_S)
    assert [one.copied_from for one in (await latest).playlists] == [""]
    await owner.show(source_id, PUBLIC)
    assert (await guest.get(copy_id)).playlist.copied_from == source_id


async def test_own_playlist_is_copied_anew_and_is_no_save(owner: Hands, tracks: list[str]) -> None:
    source_id = (await owner.create(tracks[:2])).playlist.playlist_id
    first, second = await owner.copy(source_id, key="a"), await owner.copy(source_id, key="b")
    assert len({source_id, first.playlist_id, second.playlist_id}) == 3
    assert (await owner.copy(source_id, key="a")) == first
    assert (await owner.get(source_id)).playlist.save_count == 0


async def test_copy_needs_an_open_playlist_and_no_block(owner: Hands, other: Hands, sql: Sql) -> None:
    playlist_id = (await owner.create()).playlist.playlist_id
    with pytest.raises(NotFound):
        await other.copy(playlist_id)
    await owner.show(playlist_id, UNLISTED)
    await block(sql, owner, other)
    with pytest.raises(NotFound) as unseen:
        await other.copy(playlist_id)
    assert unseen.value.reason == "PLAYLIST_NOT_FOUND"
    await block(sql, other, owner)
    with pytest.raises(FailedPrecondition) as refusal:
        await other.copy(playlist_id)
    assert (refusal.value.reason, refusal.value.field) == ("USER_BLOCKED", "playlist_id")
    await sql.execute("DELETE FROM user_blocks")
    assert (await other.copy(playlist_id)).copied_from == playlist_id


async def test_copy_tells_no_uploads_of_others(owner: Hands, other: Hands, tracks: list[str], sql: Sql) -> None:
    made = await owner.create(tracks[:1], visibility=PUBLIC)
    upload_id = await owner.client.upload(owner.person) if owner.person else ""
    seeds: list[dict[str, object]] = [
        {"track_id": None, "upload_id": upload_id, "weight": 1.0},
        {"track_id": tracks[0], "upload_id": None, "weight": 2.0},
    ]
    source_id = made.playlist.playlist_id

    async def set_recipe(kept: list[dict[str, object]]) -> None:
        stored = json.dumps({"seeds": kept, "length": 5})
        await sql.execute("UPDATE playlists SET recipe = $2 WHERE playlist_id = $1", source_id, stored)

    async def copied(playlist_id: str) -> tuple[object, ...]:
        row = await sql.fetchrow(
            "SELECT recipe, nearest_seed, cardinality(seed_similarities), added_by"
            " FROM playlists JOIN playlist_entries USING (playlist_id) WHERE playlist_id = $1",
            playlist_id,
        )
        assert row is not None
        return (json.loads(row[0]), *tuple(row)[1:])

    await set_recipe(seeds)
    await sql.execute("UPDATE playlist_entries SET nearest_seed = 1, seed_similarities = '{0.5, 1}', added_by = NULL")
    own = (await owner.copy(source_id)).playlist_id
    others = (await other.copy(source_id)).playlist_id
    assert await copied(own) == ({"seeds": seeds, "length": 5}, 1, 2, None)
    assert await copied(others) == ({"seeds": seeds[1:], "length": 5}, None, 0, None)
    assert (await other.get(others)).playlist.has_recipe
    # Nothing is left, or nothing to be like.
    for kept in (seeds[:1], [seeds[0], seeds[1] | {"weight": -2.0}]):
        await other.delete(others)
        await set_recipe(kept)
        others = (await other.copy(source_id)).playlist_id
        assert await sql.fetchval("SELECT recipe FROM playlists WHERE playlist_id = $1", others) is None
        assert not (await other.get(others)).playlist.has_recipe
        assert (await owner.batch([source_id]))[source_id].has_recipe


async def test_copy_comes_back_by_its_key_though_its_source_is_closed_or_gone(owner: Hands, other: Hands) -> None:
    source_id = (await owner.create(visibility=PUBLIC)).playlist.playlist_id
    made = await other.copy(source_id, key="a")
    await owner.show(source_id, PRIVATE)
    assert await other.copy(source_id, key="a") == made
    await owner.delete(source_id)
    assert await other.copy(source_id, key="a") == made
    with pytest.raises(NotFound) as refusal:
        await other.copy(source_id, key="b")
    assert refusal.value.reason == "PLAYLIST_NOT_FOUND"


async def test_copy_waits_for_the_edit_that_closes_its_source(
    owner: Hands, other: Hands, tracks: list[str], sql: Sql
) -> None:
    source_id = (await owner.create(tracks[:1], visibility=PUBLIC)).playlist.playlist_id
    async with sql.transaction():
        await sql.execute("UPDATE playlists SET visibility = 'PRIVATE' WHERE playlist_id = $1", source_id)
        copying = asyncio.create_task(other.copy(source_id))
        await until(lambda: copying.done() or is_waiting(sql, "FOR SHARE"))
    with pytest.raises(NotFound):
        await copying
    assert await sql.fetchval("SELECT count(*) FROM playlists") == 1
