"""Playlists made and edited by hand, over a real socket."""

import asyncio
from collections.abc import Callable, Coroutine

import pytest

from museed.social.v1 import editing_pb2, people_events_pb2, playlists_pb2
from services.chassis.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound
from services.social.domain.ids import new_id
from tests.integration.social.conftest import Client, Sql, until
from tests.integration.social.hands import PRIVATE, PUBLIC, UNLISTED, Hands, is_waiting, tracks
from tests.integration.social.test_exchange import M3U8, export

__all__ = ["tracks"]


@pytest.fixture
async def owner(social: Client, tracks: list[str]) -> Hands:
    return Hands(social, await social.sign_up("owner"))


@pytest.fixture
async def other(social: Client, owner: Hands) -> Hands:
    return Hands(social, await social.sign_up("other"))


def track_ids(shown: playlists_pb2.GetPlaylistResponse) -> list[str]:
    assert [entry.position for entry in shown.entries] == list(range(len(shown.entries)))
    assert shown.playlist.entry_count == len(shown.entries)
    return [entry.track_id for entry in shown.entries]


async def test_playlist_is_made_once_by_its_key_and_read_back_whole(owner: Hands, tracks: list[str], sql: Sql) -> None:
    given = [tracks[1], tracks[0], tracks[1]]
    made = await owner.create(given, "Mine", UNLISTED, key="a")
    assert (made.playlist.title, made.playlist.visibility, made.playlist.version) == ("Mine", UNLISTED, 1)
    assert (made.playlist.entry_count, made.playlist.duration_seconds) == (3, 60.0 + 61 + 61)
    assert made.playlist.encoder_id == ""
    assert not made.playlist.HasField("listed_at")
    assert [(one.track_id, one.position, one.added_by) for one in made.entries] == [
        (track_id, position, owner.user_id) for position, track_id in enumerate(given)
    ]
    assert await owner.create(given, "Mine", UNLISTED, key="a") == made
    assert (await owner.get(made.playlist.playlist_id)).entries == made.entries
    with pytest.raises(InvalidArgument) as refusal:
        await owner.create(given[:2], "Mine", UNLISTED, key="a")
    assert refusal.value.reason == "IDEMPOTENCY_KEY_REUSED"
    assert await sql.fetchval("SELECT count(*) FROM playlists") == 1


async def test_same_key_many_times_at_once_does_it_once(
    owner: Hands, other: Hands, tracks: list[str], sql: Sql
) -> None:
    made = await asyncio.gather(*(owner.create(tracks[:2], visibility=PUBLIC, key="k") for _ in range(5)))
    assert len({one.SerializeToString() for one in made}) == 1
    playlist_id = made[0].playlist.playlist_id
    added = await asyncio.gather(*(owner.add(playlist_id, tracks[2:4], 0, key="k") for _ in range(5)))
    assert {tuple(entry.entry_id for entry in one.entries) for one in added} == {
        tuple(entry.entry_id for entry in added[0].entries)
    }
    copied = await asyncio.gather(*(owner.copy(playlist_id, key="k") for _ in range(5)))
    commented = await asyncio.gather(*(other.comment(playlist_id, "Hm", "k") for _ in range(5)))
    assert len({one.playlist_id for one in copied}) == len({one.comment_id for one in commented}) == 1
    shown = await owner.get(playlist_id)
    assert (track_ids(shown), shown.playlist.version) == ([tracks[2], tracks[3], tracks[0], tracks[1]], 2)
    assert shown.playlist.comment_count == 1
    assert await sql.fetchval("SELECT count(*) FROM playlists") == 2


async def test_empty_playlist_lasts_no_time_and_becomes_public(owner: Hands) -> None:
    made = (await owner.create()).playlist
    assert (made.entry_count, made.duration_seconds, made.visibility) == (0, 0.0, PRIVATE)
    shown = await owner.show(made.playlist_id, PUBLIC)
    assert shown.listed_at.ToDatetime() == shown.updated_at.ToDatetime()
    assert not (await owner.show(made.playlist_id, UNLISTED)).HasField("listed_at")


async def test_unknown_track_adds_nothing(owner: Hands, tracks: list[str], sql: Sql) -> None:
    with pytest.raises(NotFound) as refusal:
        await owner.create([tracks[0], new_id()], key="k")
    assert (refusal.value.reason, refusal.value.field) == ("TRACK_NOT_FOUND", "track_ids[1]")
    assert await sql.fetchval("SELECT count(*) FROM playlists") == 0
    assert (await owner.create([tracks[0]], key="k")).playlist.entry_count == 1
    playlist_id = (await owner.create([tracks[0]])).playlist.playlist_id
    before = await owner.get(playlist_id)
    with pytest.raises(NotFound):
        await owner.add(playlist_id, [tracks[1], new_id()])
    with pytest.raises(InvalidArgument) as malformed:
        await owner.add(playlist_id, ["nonsense"])
    assert malformed.value.field == "track_ids[0]"
    assert await owner.get(playlist_id) == before


@pytest.mark.parametrize(
    ("position", "expected"), [(None, "0123"), (0, "2301"), (1, "0231"), (2, "0123"), (99, "0123")]
)
async def test_tracks_go_in_where_they_are_wanted(
    owner: Hands, tracks: list[str], position: int | None, expected: str
) -> None:
    playlist_id = (await owner.create(tracks[:2])).playlist.playlist_id
    added = await owner.add(playlist_id, tracks[2:4], position, key="a")
    assert await owner.add(playlist_id, tracks[2:4], position, key="a") == added
    assert added.playlist.version == 2
    shown = await owner.get(playlist_id)
    assert track_ids(shown) == [tracks[int(number)] for number in expected]
    assert list(added.entries) == [entry for entry in shown.entries if entry.track_id in tracks[2:4]]
    assert shown.playlist.duration_seconds == 60.0 + 61 + 62 + 63


async def test_entries_are_taken_out_and_gaps_close(owner: Hands, tracks: list[str]) -> None:
    made = await owner.create(tracks[:5])
    playlist_id = made.playlist.playlist_id
    gone = [made.entries[1].entry_id, made.entries[3].entry_id]
    left = await owner.remove(playlist_id, [*gone, new_id()])
    assert (left.entry_count, left.duration_seconds, left.version) == (3, 60.0 + 62 + 64, 2)
    assert track_ids(await owner.get(playlist_id)) == [tracks[0], tracks[2], tracks[4]]
    assert (await owner.remove(playlist_id, gone)).version == 2
    empty = await owner.remove(playlist_id, [entry.entry_id for entry in made.entries])
    assert (empty.entry_count, empty.duration_seconds) == (0, 0.0)


async def test_entry_moves_among_what_is_there(owner: Hands, tracks: list[str]) -> None:
    made = await owner.create(tracks[:4])
    playlist_id, first = made.playlist.playlist_id, made.entries[0].entry_id
    moved = await owner.move(playlist_id, first, 2)
    assert (moved.entry.entry_id, moved.entry.position, moved.playlist.version) == (first, 2, 2)
    assert track_ids(await owner.get(playlist_id)) == [tracks[1], tracks[2], tracks[0], tracks[3]]
    assert (await owner.move(playlist_id, first, 2)).playlist.version == 2
    assert (await owner.move(playlist_id, first, 1000)).entry.position == 3
    for unknown in (new_id(), "nonsense"):
        with pytest.raises(NotFound) as refusal:
            await owner.move(playlist_id, unknown, 0)
        assert refusal.value.reason == "ENTRY_NOT_FOUND"
    with pytest.raises(InvalidArgument):
        await owner.move(playlist_id, first, -1)


async def test_whole_order_is_set_under_a_version(owner: Hands, tracks: list[str]) -> None:
    made = await owner.create([tracks[0], tracks[1], tracks[0]])
    playlist_id, ids = made.playlist.playlist_id, [entry.entry_id for entry in made.entries]
    assert (await owner.reorder(playlist_id, 1, [ids[2], ids[0], ids[1]])).version == 2
    before = await owner.get(playlist_id)
    assert [entry.entry_id for entry in before.entries] == [ids[2], ids[0], ids[1]]
    with pytest.raises(Aborted) as conflict:
        await owner.reorder(playlist_id, 1, ids)
    assert (conflict.value.reason, conflict.value.limit) == ("VERSION_CONFLICT", "2")
    for wrong in (ids[:2], [*ids, ids[0]], [ids[0], ids[0], ids[1]], [*ids[:2], new_id()]):
        with pytest.raises(InvalidArgument) as refusal:
            await owner.reorder(playlist_id, 2, wrong)
        assert refusal.value.field == "entry_ids"
    assert await owner.get(playlist_id) == before


async def test_order_of_tracks_keeps_equal_ones_in_theirs(owner: Hands, tracks: list[str]) -> None:
    made = await owner.create([tracks[0], tracks[1], tracks[0], tracks[2]])
    playlist_id, ids = made.playlist.playlist_id, [entry.entry_id for entry in made.entries]
    await owner.reorder_by_tracks(playlist_id, 1, [tracks[2], tracks[0], tracks[0], tracks[1]])
    before = await owner.get(playlist_id)
    assert [entry.entry_id for entry in before.entries] == [ids[3], ids[0], ids[2], ids[1]]
    for wrong in (tracks[:3], [*tracks[:4]], [tracks[0], tracks[1], tracks[1], tracks[2]]):
        with pytest.raises(InvalidArgument) as refusal:
            await owner.reorder_by_tracks(playlist_id, 2, wrong)
        assert refusal.value.field == "track_ids"
    with pytest.raises(Aborted):
        await owner.reorder_by_tracks(playlist_id, 1, [tracks[0], tracks[0], tracks[1], tracks[2]])
    assert await owner.get(playlist_id) == before


async def test_what_is_so_already_is_answered_and_changes_nothing(owner: Hands, tracks: list[str]) -> None:
    made = await owner.create(tracks[:3])
    playlist_id, ids = made.playlist.playlist_id, [entry.entry_id for entry in made.entries]
    order = [ids[2], ids[0], ids[1]]
    for _ in range(2):
        assert (await owner.reorder(playlist_id, 1, order)).version == 2
        assert (await owner.reorder_by_tracks(playlist_id, 1, [tracks[2], tracks[0], tracks[1]])).version == 2
    for _ in range(2):
        assert (await owner.update(playlist_id, 2, title="Other", visibility=UNLISTED)).version == 3
    with pytest.raises(Aborted):
        await owner.update(playlist_id, 2, title="Other", visibility=PUBLIC)
    after = await owner.get(playlist_id)
    assert (after.playlist.title, after.playlist.visibility, after.playlist.version) == ("Other", UNLISTED, 3)
    assert [entry.entry_id for entry in after.entries] == order


async def by_id(who: Hands, shown: playlists_pb2.Playlist) -> tuple[list[str], int]:
    return _read(await who.get(shown.playlist_id))


async def by_slug(who: Hands, shown: playlists_pb2.Playlist) -> tuple[list[str], int]:
    return _read(await who.by_slug(shown.share_slug))


async def as_file(who: Hands, shown: playlists_pb2.Playlist) -> tuple[list[str], int]:
    lines = (await export(who, shown.playlist_id, M3U8)).content.decode().splitlines()
    names = [line.removesuffix(".ogg") for line in lines if line.endswith(".ogg")]
    return names, len(names)


def _read(
    answer: playlists_pb2.GetPlaylistResponse | editing_pb2.GetPlaylistBySlugResponse,
) -> tuple[list[str], int]:
    return [entry.track_id for entry in answer.entries], answer.playlist.entry_count


@pytest.mark.parametrize("read", [by_id, by_slug, as_file])
async def test_what_is_read_is_of_one_state_of_the_playlist(
    owner: Hands,
    other: Hands,
    tracks: list[str],
    sql: Sql,
    read: Callable[[Hands, playlists_pb2.Playlist], Coroutine[None, None, tuple[list[str], int]]],
) -> None:
    made = (await owner.create(tracks[:1], visibility=PUBLIC)).playlist
    async with sql.transaction():
        # Whoever reads has seen that it is public, and waits for its entries.
        await sql.execute("LOCK TABLE playlist_entries IN ACCESS EXCLUSIVE MODE")
        reading = asyncio.create_task(read(other, made))
        await until(lambda: is_waiting(sql, "FROM playlist_entries"))
        await sql.execute("UPDATE playlists SET visibility = 'PRIVATE' WHERE playlist_id = $1", made.playlist_id)
        await sql.execute(
            "INSERT INTO playlist_entries (entry_id, playlist_id, track_id, position) VALUES ($1, $2, $3, 1)",
            new_id(),
            made.playlist_id,
            tracks[1],
        )
    assert await reading == (["Track 0"] if read is as_file else tracks[:1], 1)


async def test_of_reorders_at_once_one_wins(owner: Hands, tracks: list[str]) -> None:
    made = await owner.create(tracks[:4])
    playlist_id, ids = made.playlist.playlist_id, [entry.entry_id for entry in made.entries]
    orders = [ids[number:] + ids[:number] for number in (1, 2, 3)]
    results = await asyncio.gather(*(owner.reorder(playlist_id, 1, order) for order in orders), return_exceptions=True)
    assert [result.reason for result in results if isinstance(result, Aborted)] == ["VERSION_CONFLICT"] * 2
    won = next(index for index, result in enumerate(results) if isinstance(result, playlists_pb2.Playlist))
    after = await owner.get(playlist_id)
    assert [entry.entry_id for entry in after.entries] == orders[won]
    assert after.playlist.version == 2


async def test_adds_moves_and_removes_at_once_all_count(owner: Hands, tracks: list[str]) -> None:
    made = await owner.create(tracks)
    playlist_id, ids = made.playlist.playlist_id, [entry.entry_id for entry in made.entries]
    await asyncio.gather(
        *(owner.add(playlist_id, [tracks[number]], 0, key=f"add {number}") for number in (0, 1, 0, 1)),
        *(owner.move(playlist_id, ids[number], 5 - number) for number in (2, 3)),
        *(owner.remove(playlist_id, [ids[number]]) for number in (0, 1)),
    )
    shown = await owner.get(playlist_id)
    assert sorted(track_ids(shown)) == sorted(tracks)
    assert shown.playlist.duration_seconds == sum(60.0 + number for number in range(6))


async def test_playlist_holds_a_thousand_entries(owner: Hands, tracks: list[str]) -> None:
    playlist_id = (await owner.create([tracks[0]] * 500)).playlist.playlist_id
    assert (await owner.add(playlist_id, [tracks[1]] * 499)).playlist.entry_count == 999
    with pytest.raises(FailedPrecondition) as refusal:
        await owner.add(playlist_id, tracks[:2])
    assert (refusal.value.reason, refusal.value.value, refusal.value.limit) == ("PLAYLIST_FULL", "1001", "1000")
    assert (await owner.add(playlist_id, tracks[:1], 0)).playlist.entry_count == 1000
    with pytest.raises(InvalidArgument) as many:
        await owner.create([tracks[0]] * 501)
    assert (many.value.field, many.value.limit) == ("track_ids", "500")


async def test_foreign_playlist_is_as_good_as_none(owner: Hands, other: Hands, tracks: list[str]) -> None:
    made = await owner.create(tracks[:2], visibility=PUBLIC)
    playlist_id, entry_id = made.playlist.playlist_id, made.entries[0].entry_id
    attempts = [
        other.add(playlist_id, tracks[:1]),
        other.remove(playlist_id, [entry_id]),
        other.move(playlist_id, entry_id, 1),
        other.reorder(playlist_id, 1, [entry_id]),
        other.reorder_by_tracks(playlist_id, 1, tracks[:2]),
        other.rotate(playlist_id),
    ]
    for attempt in attempts:
        with pytest.raises(NotFound) as refusal:
            await attempt
        assert refusal.value.reason == "PLAYLIST_NOT_FOUND"
    after = await owner.get(playlist_id)
    assert (list(after.entries), after.playlist.version) == (list(made.entries), 1)


async def test_entries_of_another_list_are_left_alone(owner: Hands, tracks: list[str]) -> None:
    one, two = await owner.create(tracks[:2]), await owner.create(tracks[:2])
    assert (await owner.remove(one.playlist.playlist_id, [two.entries[0].entry_id])).version == 1
    with pytest.raises(NotFound):
        await owner.move(one.playlist.playlist_id, two.entries[0].entry_id, 1)
    assert (await owner.get(two.playlist.playlist_id)).entries == two.entries


async def test_link_opens_what_is_not_private_until_it_is_changed(owner: Hands, other: Hands) -> None:
    made = (await owner.create(visibility=UNLISTED)).playlist
    guest = Hands(other.client, None)
    assert len(made.share_slug) == 22
    for who in (owner, other, guest):
        found = (await who.by_slug(made.share_slug)).playlist
        assert (found.playlist_id, found.share_slug) == (made.playlist_id, made.share_slug)
    rotated = await owner.rotate(made.playlist_id)
    assert rotated.share_slug != made.share_slug
    assert rotated.version == 2
    assert (await guest.by_slug(rotated.share_slug)).playlist.playlist_id == made.playlist_id
    await owner.show(made.playlist_id, PRIVATE)
    for who, slug in ((other, made.share_slug), (other, rotated.share_slug), (owner, rotated.share_slug)):
        with pytest.raises(NotFound) as refusal:
            await who.by_slug(slug)
        assert (refusal.value.reason, refusal.value.field) == ("PLAYLIST_NOT_FOUND", "share_slug")
    assert (await owner.get(made.playlist_id)).playlist.share_slug == rotated.share_slug


async def test_batch_leaves_out_what_is_not_for_the_caller(
    owner: Hands, other: Hands, tracks: list[str], sql: Sql
) -> None:
    private = (await owner.create(tracks[:2])).playlist
    shown = (await owner.create(tracks[:3], visibility=PUBLIC)).playlist
    hidden = (await owner.create()).playlist
    await sql.execute(
        "UPDATE playlists SET hidden_at = now(), hidden_from = 'PUBLIC' WHERE playlist_id = $1", hidden.playlist_id
    )
    asked = [private.playlist_id, shown.playlist_id, hidden.playlist_id, new_id(), "nonsense"]
    assert set(await owner.batch(asked)) == {private.playlist_id, shown.playlist_id, hidden.playlist_id}
    assert (await owner.batch(asked))[hidden.playlist_id].is_hidden
    found = await other.batch(asked)
    assert set(found) == {shown.playlist_id}
    assert (found[shown.playlist_id].entry_count, found[shown.playlist_id].duration_seconds) == (3, 183.0)
    assert found[shown.playlist_id].is_liked is False
    assert found[shown.playlist_id].HasField("is_liked")
    assert not (await Hands(other.client, None).batch(asked))[shown.playlist_id].HasField("is_liked")
    with pytest.raises(InvalidArgument):
        await other.batch([new_id()] * 101)
    await sql.execute("UPDATE users SET suspended_at = now() WHERE user_id = $1", owner.user_id)
    assert await other.batch(asked) == {}
    with pytest.raises(NotFound):
        await other.get(shown.playlist_id)


async def test_each_change_is_told_in_order_by_its_owner(owner: Hands, tracks: list[str], sql: Sql) -> None:
    # The publisher empties the outbox: keep what is written.
    await sql.execute("CREATE TABLE told AS SELECT * FROM outbox WHERE false")
    await sql.execute(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO told SELECT NEW.*;"
        " RETURN NULL; END $$"
    )
    await sql.execute("CREATE TRIGGER keep AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION keep()")
    made = await owner.create(tracks[:2])
    playlist_id, first = made.playlist.playlist_id, made.entries[0].entry_id
    await owner.add(playlist_id, tracks[:1])
    await owner.move(playlist_id, first, 1)
    await owner.update(playlist_id, 3, title="Other")
    await owner.rotate(playlist_id)
    await owner.remove(playlist_id, [first])
    await owner.delete(playlist_id)
    rows = await sql.fetch("SELECT key, subject, payload FROM told ORDER BY id")
    names = [row["subject"].rsplit(".", 1)[1] for row in rows]
    assert names == ["playlist_created", *["playlist_changed"] * 5, "playlist_deleted"]
    assert {row["key"] for row in rows[1:]} == {owner.user_id}
    changed = [people_events_pb2.PlaylistChanged.FromString(row["payload"]) for row in rows[1:-1]]
    assert [(event.playlist_id, event.version) for event in changed] == [(playlist_id, v) for v in (2, 3, 4, 5, 6)]
