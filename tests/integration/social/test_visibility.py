import itertools

from services.social.domain.ids import PlaylistId, UserId, new_id
from services.social.domain.playlists import Visibility
from services.social.domain.visibility import Thing, is_listed, may_open
from services.social.store.visibility import listed, openable
from tests.integration.social.conftest import Sql
from tests.integration.social.test_tallier import make_person, make_playlist


async def test_sql_and_python_agree_in_every_case(database: object, sql: Sql) -> None:
    viewer, stranger = await make_person(sql, "viewer"), await make_person(sql, "stranger")
    things: dict[PlaylistId, tuple[Thing, bool]] = {}
    ways = itertools.product(Visibility, (False, True), ("active", "suspended", "gone"), ("", "blocks", "is blocked"))
    for number, (visibility, is_hidden, state, block) in enumerate(ways):
        owner = await make_person(sql, f"owner{number}")
        playlist_id = await make_playlist(sql, owner)
        await sql.execute("UPDATE playlists SET visibility = $2 WHERE playlist_id = $1", playlist_id, visibility)
        if is_hidden:  # as moderation does: it is private, and what it was is kept
            await sql.execute(
                "UPDATE playlists SET visibility = 'PRIVATE', hidden_at = now(), hidden_from = $2"
                " WHERE playlist_id = $1",
                playlist_id,
                visibility,
            )
        column = {"suspended": "suspended_at", "gone": "deleted_at"}.get(state)
        if column:
            await sql.execute(f"UPDATE users SET {column} = now() WHERE user_id = $1", owner)
        if block:
            pair = (owner, viewer) if block == "blocks" else (viewer, owner)
            await sql.execute("INSERT INTO user_blocks (blocker_id, blocked_id, at) VALUES ($1, $2, now())", *pair)
        thing = Thing(owner, Visibility.PRIVATE if is_hidden else visibility, is_hidden, state == "active")
        things[playlist_id] = thing, bool(block)
    owners: list[UserId | None] = [None, viewer, stranger, *(thing.owner_id for thing, _ in things.values())]
    statement = f"""
        SELECT p.playlist_id::text, {openable("$1::uuid")} AS openable, {listed("$1::uuid")} AS listed
        FROM playlists AS p JOIN users AS o ON o.user_id = p.owner_id
    """
    for who in owners:
        rows = {row["playlist_id"]: row for row in await sql.fetch(statement, who)}
        for playlist_id, (thing, is_blocked) in things.items():
            between = is_blocked and who == viewer
            assert bool(rows[playlist_id]["openable"]) == may_open(thing, who)
            assert rows[playlist_id]["listed"] == is_listed(thing, is_block_between=between)


def test_nobody_else_opens_what_is_private_and_a_link_opens_what_is_unlisted() -> None:
    owner, other = UserId(new_id()), UserId(new_id())
    assert may_open(Thing(owner, Visibility.PRIVATE), owner)
    assert not may_open(Thing(owner, Visibility.PRIVATE), other)
    assert may_open(Thing(owner, Visibility.UNLISTED), None)
    assert not is_listed(Thing(owner, Visibility.UNLISTED), is_block_between=False)
    assert not may_open(Thing(owner, Visibility.PUBLIC, is_owner_active=False), other)
