"""Likes and comments of playlists, over a real socket."""

import asyncio

import pytest

from museed.social.v1 import people_events_pb2
from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from services.social.domain.ids import new_id
from services.social.settings import SocialSettings
from services.social.store.database import Database
from tests.integration.social.conftest import Client, Mesh, Sql, until
from tests.integration.social.hands import PRIVATE, PUBLIC, UNLISTED, Hands, block, is_waiting
from tests.integration.social.test_tallier import tallier


@pytest.fixture
async def admin(social: Client) -> Hands:
    return Hands(social, await social.sign_up("admin"))


@pytest.fixture
async def owner(social: Client, admin: Hands) -> Hands:
    return Hands(social, await social.sign_up("owner"))


@pytest.fixture
async def other(social: Client, owner: Hands) -> Hands:
    return Hands(social, await social.sign_up("other"))


async def shared(owner: Hands) -> str:
    return (await owner.create(visibility=PUBLIC)).playlist.playlist_id


async def test_double_like_counts_once_and_is_seen_at_once(
    owner: Hands, other: Hands, sql: Sql, database: Database
) -> None:
    playlist_id = await shared(owner)
    liked = await asyncio.gather(*(other.like(playlist_id) for _ in range(5)))
    assert {(one.like_count, one.is_liked) for one in liked} == {(1, True)}
    assert (await owner.get(playlist_id)).playlist.like_count == 1
    assert not (await owner.get(playlist_id)).playlist.is_liked
    assert (await other.get(playlist_id)).playlist.is_liked
    await tallier(database).catch_up()
    await until(lambda: _is_counted(sql))
    assert (await owner.get(playlist_id)).playlist.like_count == 1
    assert (await other.batch([playlist_id]))[playlist_id].like_count == 1
    told = await sql.fetch("SELECT user_id::text, kind, actor_id::text, playlist_id::text FROM notifications")
    assert [tuple(row) for row in told] == [(owner.user_id, "LIKED", other.user_id, playlist_id)]


async def _is_counted(sql: Sql) -> bool:
    return not await sql.fetchval("SELECT EXISTS (SELECT FROM signals)")


async def test_like_that_is_taken_back_leaves_nothing(owner: Hands, other: Hands, sql: Sql, database: Database) -> None:
    playlist_id = await shared(owner)
    await other.like(playlist_id)
    # Where the service's own tallier is at it, this one finds nothing to do.
    await tallier(database).catch_up()
    await until(lambda: _is_counted(sql))
    away = await other.unlike(playlist_id)
    assert (away.like_count, away.is_liked) == (0, False)
    assert (await other.unlike(playlist_id)).like_count == 0
    await tallier(database).catch_up()
    await until(lambda: _is_counted(sql))
    counts = await sql.fetchrow("SELECT likes FROM playlist_counts WHERE playlist_id = $1", playlist_id)
    assert counts is not None
    assert counts["likes"] == 0
    assert await sql.fetchval("SELECT count(*) FROM playlist_heat") == 0
    await other.like(playlist_id)
    assert await sql.fetchval("SELECT count(*) FROM activities WHERE kind = 'LIKED'") == 1


async def test_what_is_taken_back_is_told_with_when_it_was_given(owner: Hands, other: Hands, sql: Sql) -> None:
    playlist_id = await shared(owner)
    # The tallier takes signals out: keep what is written.
    await sql.execute(
        "CREATE TABLE told AS SELECT * FROM signals WHERE false;"
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO told SELECT NEW.*;"
        " RETURN NULL; END $$;"
        "CREATE TRIGGER keep AFTER INSERT ON signals FOR EACH ROW EXECUTE FUNCTION keep()"
    )
    await other.like(playlist_id)
    await other.unlike(playlist_id)
    comment = await other.comment(playlist_id, "Hm")
    await owner.delete_comment(comment.comment_id)
    rows = await sql.fetch(
        "SELECT kind, array_agg(amount ORDER BY signal_id), count(DISTINCT at), count(DISTINCT (actor_id, user_id))"
        " FROM told WHERE playlist_id = $1 GROUP BY kind ORDER BY kind",
        playlist_id,
    )
    assert [tuple(row) for row in rows] == [("comment", [1, -1], 1, 1), ("like", [1, -1], 1, 1)]


async def test_what_was_given_goes_with_the_playlist(owner: Hands, other: Hands, sql: Sql, database: Database) -> None:
    playlist_id = await shared(owner)
    await asyncio.gather(other.like(playlist_id), other.comment(playlist_id, "One"), other.copy(playlist_id))
    gone = await other.comment(playlist_id, "Two")
    await other.delete_comment(gone.comment_id)

    async def counts() -> list[tuple[int, ...]]:
        await tallier(database).catch_up()
        await until(lambda: _is_counted(sql))
        rows = await sql.fetch(
            "SELECT likes_given, comments, likes_received, saves_received FROM person_counts"
            " WHERE user_id = ANY ($1) ORDER BY user_id = $2",
            [owner.user_id, other.user_id],
            other.user_id,
        )
        return [tuple(row) for row in rows]

    assert await counts() == [(0, 0, 1, 1), (1, 1, 0, 0)]
    await owner.delete(playlist_id)
    assert await counts() == [(0, 0, 0, 0), (0, 0, 0, 0)]


async def test_comment_is_counted_off_once_whoever_takes_it_away(
    owner: Hands, other: Hands, sql: Sql, database: Database
) -> None:
    """Moderation, its author and the deletion of the playlist, in turn and at once."""

    async def left() -> int:
        await tallier(database).catch_up()
        await until(lambda: _is_counted(sql))
        found = await sql.fetchval("SELECT comments FROM person_counts WHERE user_id = $1", other.user_id)
        return int(found)

    kept_id, playlist_id = await shared(owner), await shared(owner)
    for number in range(3):
        await other.comment(kept_id, f"No {number}")
    await other.comment(playlist_id, "Rude")
    await sql.execute("UPDATE comments SET hidden_at = now() WHERE text = 'Rude'")
    await sql.execute(
        "INSERT INTO signals (kind, actor_id, playlist_id, amount, at) VALUES ('comment', $1, $2, -1, now())",
        other.user_id,
        playlist_id,
    )
    await owner.delete(playlist_id)
    assert await left() == 3
    playlist_id = await shared(owner)
    comment_id = (await other.comment(playlist_id, "Hm")).comment_id
    async with sql.transaction():
        await sql.execute("SELECT FROM comments WHERE comment_id = $1 FOR UPDATE", comment_id)
        taken = asyncio.create_task(other.delete_comment(comment_id))
        await until(lambda: is_waiting(sql, "FROM comments AS c WHERE comment_id"))
        gone = asyncio.create_task(owner.delete(playlist_id))
        await until(lambda: is_waiting(sql, "playlists WHERE playlist_id = $1"))
    await asyncio.gather(taken, gone)
    assert await left() == 3


async def test_deleted_playlist_leaves_nothing_that_feeds_look_at(owner: Hands, other: Hands, sql: Sql) -> None:
    playlist_id, kept_id = await shared(owner), await shared(owner)
    for each in (playlist_id, kept_id):
        await asyncio.gather(other.like(each), other.comment(each, "One"), other.copy(each))
    await owner.delete(playlist_id)
    rows = await sql.fetch("SELECT kind, playlist_id::text FROM activities ORDER BY kind")
    assert [tuple(row) for row in rows] == [(kind, kept_id) for kind in ("COMMENTED", "CREATED", "LIKED", "SAVED")]


async def test_likes_of_many_at_once_all_count_and_never_wait_for_the_playlist(owner: Hands, social: Client) -> None:
    playlist_id = await shared(owner)
    people = [Hands(social, await social.sign_up()) for _ in range(6)]
    await asyncio.gather(*(each.like(playlist_id) for each in people), owner.show(playlist_id, UNLISTED))
    assert (await owner.get(playlist_id)).playlist.like_count == 6


async def test_like_goes_on_while_the_playlist_is_being_edited(owner: Hands, other: Hands, sql: Sql) -> None:
    playlist_id = await shared(owner)
    async with sql.transaction():
        await sql.execute("SELECT FROM playlists WHERE playlist_id = $1 FOR NO KEY UPDATE", playlist_id)
        assert (await other.like(playlist_id)).like_count == 1


async def test_what_is_not_open_is_not_liked_nor_commented(owner: Hands, other: Hands, sql: Sql) -> None:
    playlist_id = (await owner.create()).playlist.playlist_id
    for unknown in (playlist_id, new_id(), "nonsense"):
        for attempt in (
            other.like(unknown),
            other.unlike(unknown),
            other.comment(unknown, "Hm"),
            other.likers(unknown),
        ):
            with pytest.raises(NotFound) as refusal:
                await attempt
            assert refusal.value.reason == "PLAYLIST_NOT_FOUND"
    with pytest.raises(NotFound):
        await other.comments(playlist_id)
    for table in ("likes", "comments", "idempotency_keys WHERE operation = 'AddComment'"):
        assert await sql.fetchval(f"SELECT count(*) FROM {table}") == 0
    assert await sql.fetchval("SELECT count(*) FROM notifications") == 0


async def test_block_either_way_forbids_to_act_but_not_to_take_back(owner: Hands, other: Hands, sql: Sql) -> None:
    playlist_id = await shared(owner)
    await other.like(playlist_id)
    comment = await other.comment(playlist_id, "First")
    nobody, own = (NotFound, "PLAYLIST_NOT_FOUND"), (FailedPrecondition, "USER_BLOCKED")
    # Who blocks knows of it; who is blocked is not told.
    either, other_way = (owner, other), (other, owner)
    for blocks, (error, reason) in (([either], nobody), ([other_way], own), ([either, other_way], own)):
        await sql.execute("DELETE FROM user_blocks")
        for pair in blocks:
            await block(sql, *pair)
        for attempt in (
            other.like(playlist_id),
            other.comment(playlist_id, "Second"),
            other.edit_comment(comment.comment_id, "Third"),
        ):
            with pytest.raises(error) as refusal:
                await attempt
            assert (refusal.value.reason, refusal.value.field) == (reason, "playlist_id")
            assert ("block" in refusal.value.message) == (reason == "USER_BLOCKED")
    assert list((await owner.comments(playlist_id)).comments) == []
    assert list((await owner.likers(playlist_id)).likers) == []
    assert (await other.get(playlist_id)).playlist.comment_count == 1
    await other.unlike(playlist_id)
    await other.delete_comment(comment.comment_id)
    assert (await owner.get(playlist_id)).playlist.like_count == 0


async def test_comment_is_made_once_changed_and_deleted(owner: Hands, other: Hands, sql: Sql) -> None:
    playlist_id = await shared(owner)
    made = await other.comment(playlist_id, " Two\r\nlines ", key="a")
    assert (made.text, made.author_id, made.HasField("edited_at")) == ("Two\nlines", other.user_id, False)
    assert await other.comment(playlist_id, " Two\r\nlines ", key="a") == made
    await owner.show(playlist_id, PRIVATE)
    assert await other.comment(playlist_id, " Two\r\nlines ", key="a") == made
    await owner.show(playlist_id, PUBLIC)
    with pytest.raises(InvalidArgument):
        await other.comment(playlist_id, "Else", key="a")
    changed = await other.edit_comment(made.comment_id, "One line")
    assert (changed.text, changed.HasField("edited_at"), changed.created_at) == ("One line", True, made.created_at)
    assert list((await Hands(owner.client, None).comments(playlist_id)).comments) == [changed]
    assert (await owner.get(playlist_id)).playlist.comment_count == 1
    with pytest.raises(NotFound) as refusal:
        await owner.edit_comment(made.comment_id, "Stolen")
    assert refusal.value.reason == "COMMENT_NOT_FOUND"
    for _ in range(2):
        await other.delete_comment(made.comment_id)
    assert (await owner.get(playlist_id)).playlist.comment_count == 0
    assert list((await owner.comments(playlist_id)).comments) == []
    with pytest.raises(NotFound):
        await other.edit_comment(made.comment_id, "Again")
    assert await sql.fetchval("SELECT text FROM comments") == ""


async def test_comments_are_told_when_they_come_change_and_go(owner: Hands, other: Hands, sql: Sql) -> None:
    # The publisher empties the outbox: keep what is written.
    await sql.execute(
        "CREATE TABLE told AS SELECT * FROM outbox WHERE false;"
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO told SELECT NEW.*;"
        " RETURN NULL; END $$;"
        "CREATE TRIGGER keep AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION keep()"
    )
    comment = await other.comment(await shared(owner), "One")
    for _ in range(2):
        await other.edit_comment(comment.comment_id, "Two")
    await other.delete_comment(comment.comment_id)
    rows = await sql.fetch("SELECT subject, payload FROM told WHERE position('comment' IN subject) > 0 ORDER BY id")
    assert [row["subject"].rsplit(".", 1)[1] for row in rows] == ["comment_added", "comment_changed", "comment_removed"]
    changed = people_events_pb2.CommentChanged.FromString(rows[1]["payload"])
    assert (changed.comment_id, changed.playlist_id, changed.user_id) == (
        comment.comment_id,
        comment.playlist_id,
        other.user_id,
    )


async def test_owner_of_the_playlist_deletes_any_comment_and_nobody_else_does(
    owner: Hands, other: Hands, social: Client
) -> None:
    playlist_id = await shared(owner)
    made = await other.comment(playlist_id, "Rude")
    third = Hands(social, await social.sign_up("third"))
    with pytest.raises(NotFound) as refusal:
        await third.delete_comment(made.comment_id)
    assert refusal.value.reason == "COMMENT_NOT_FOUND"
    assert len((await third.comments(playlist_id)).comments) == 1
    await owner.delete_comment(made.comment_id)
    assert list((await third.comments(playlist_id)).comments) == []
    for unknown in (new_id(), "nonsense"):
        with pytest.raises(NotFound):
            await owner.delete_comment(unknown)


@pytest.mark.parametrize(("text", "reason"), [("", "REQUIRED"), (" \n ", "REQUIRED"), ("a" * 2001, "OUT_OF_RANGE")])
async def test_comment_says_something_and_not_too_much(owner: Hands, text: str, reason: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        await owner.comment(await shared(owner), text)
    assert (refusal.value.reason, refusal.value.field) == (reason, "text")


async def test_comments_come_in_pages_newest_first(owner: Hands, other: Hands) -> None:
    playlist_id = await shared(owner)
    made = [(await (owner if number % 2 else other).comment(playlist_id, f"No {number}")).text for number in range(5)]
    seen, token, sizes = [], "", []
    while True:
        page = await other.comments(playlist_id, 2, token)
        seen += [comment.text for comment in page.comments]
        sizes.append(len(page.comments))
        token = page.next_page_token
        if not token:
            break
    assert (seen, sizes) == (made[::-1], [2, 2, 1])
    token = (await other.comments(playlist_id, 2)).next_page_token
    with pytest.raises(InvalidArgument):
        await other.comments(await shared(owner), 2, token)


async def test_hidden_comment_is_its_authors_and_the_admins(
    owner: Hands, other: Hands, admin: Hands, social: Client, sql: Sql
) -> None:
    playlist_id = await shared(owner)
    await other.comment(playlist_id, "Rude")
    await sql.execute("UPDATE comments SET hidden_at = now()")
    for who in (other, admin):
        assert [comment.is_hidden for comment in (await who.comments(playlist_id)).comments] == [True]
    for who in (owner, Hands(social, None)):
        assert list((await who.comments(playlist_id)).comments) == []
    await sql.execute("UPDATE comments SET hidden_at = NULL")
    await sql.execute("UPDATE users SET suspended_at = now() WHERE user_id = $1", other.user_id)
    assert list((await owner.comments(playlist_id)).comments) == []
    await sql.execute("UPDATE users SET suspended_at = NULL")
    await sql.execute("UPDATE comments SET user_id = NULL")
    assert [comment.author_id for comment in (await owner.comments(playlist_id)).comments] == [""]


async def test_likers_come_in_pages_newest_first(owner: Hands, social: Client, sql: Sql) -> None:
    playlist_id = await shared(owner)
    people = [Hands(social, await social.sign_up()) for _ in range(5)]
    for each in people:
        await each.like(playlist_id)
    await sql.execute(
        "UPDATE likes SET at = '2026-01-01Z' WHERE user_id = ANY ($1)", [each.user_id for each in people[:2]]
    )
    await sql.execute("UPDATE users SET suspended_at = now() WHERE user_id = $1", people[3].user_id)
    expected = [people[4].user_id, people[2].user_id, *sorted(each.user_id for each in people[:2])]
    seen, token = [], ""
    while True:
        page = await owner.likers(playlist_id, 1, token)
        seen += [liker.user.user_id for liker in page.likers]
        token = page.next_page_token
        if not token:
            break
    assert seen == expected


async def test_comments_of_a_person_are_bounded_by_the_hour(mesh: Mesh, settings: SocialSettings, sql: Sql) -> None:
    mesh.settings = settings.model_copy(update={"comments_per_user_and_hour": 3})
    social = await mesh.start()
    person = Hands(social, await social.sign_up("person"))
    playlist_id = (await person.create(visibility=PRIVATE)).playlist.playlist_id
    results = await asyncio.gather(
        *(person.comment(playlist_id, f"No {number}") for number in range(5)), return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, ResourceExhausted)]
    assert [(error.reason, error.limit) for error in refused] == [("COMMENT_QUOTA_REACHED", "3")] * 2
    assert await sql.fetchval("SELECT count(*) FROM comments") == 3
    await sql.execute("UPDATE comments SET created_at = created_at - interval '1 hour'")
    await person.comment(playlist_id, "Later")
