"""Finding public playlists by titles and owners: what is found, in which order, what is left out, by which plan."""

import pytest

from museed.social.v1 import feed_pb2, feed_pb2_grpc
from services.chassis.errors import InvalidArgument
from services.social.store import playlist_search
from services.social.store.database import Database
from tests.integration.social.conftest import TIMEOUT_S, Client, Person, Sql
from tests.integration.social.hands import PRIVATE, PUBLIC, UNLISTED, Hands
from tests.integration.social.people_steps import block
from tests.integration.social.test_playlist_plans import plan_of


async def search(
    client: Client, query: str, who: Person | None = None, size: int = 0, token: str = ""
) -> feed_pb2.SearchPlaylistsResponse:
    request = feed_pb2.SearchPlaylistsRequest(query=query, page_size=size, page_token=token)
    stub = feed_pb2_grpc.FeedServiceStub(client.channel)
    return await stub.SearchPlaylists(request, timeout=TIMEOUT_S, metadata=who.metadata if who else None)


async def titles(client: Client, query: str, who: Person | None = None) -> list[str]:
    return [one.title for one in (await search(client, query, who)).playlists]


async def fill(client: Client, person: Person, *names: str) -> None:
    hands = Hands(client, person)
    for name in names:
        await hands.create(title=name, visibility=PUBLIC)


async def test_words_of_titles_find_playlists_whatever_their_case_accents_and_signs(social: Client) -> None:
    owner = await social.sign_up("mina")
    await fill(
        social,
        owner,
        "Rainy Café",
        "café",
        "Lo-Fi Beats: vol. 2",
        "비오는 날 재즈",
        "Aloha ʻOe",
        "Don’t stop",
        "100% ½_x",
    )
    await fill(social, owner, "Ångström Ørsted")
    for query, found in (
        ("CAFE", ["café", "Rainy Café"]),
        ("cafe\u0301 rain", ["Rainy Café", "café"]),
        ("lo fi", ["Lo-Fi Beats: vol. 2"]),
        ("b", ["Lo-Fi Beats: vol. 2"]),
        ("재즈", ["비오는 날 재즈"]),
        ("비온", ["비오는 날 재즈"]),
        ("비오", ["비오는 날 재즈"]),
        ("ㅈ", ["비오는 날 재즈"]),
        ("aloha oe", ["Aloha ʻOe"]),
        ("dont", ["Don’t stop"]),
        ("ørsted angstrom", ["Ångström Ørsted"]),
        ("beatz lo-fi", ["Lo-Fi Beats: vol. 2"]),
        ("100%", ["100% ½_x"]),
        ("cafe jazz", ["café", "Rainy Café"]),
        ("%", []),
        ("!?", []),
    ):
        assert await titles(social, query) == found, query


async def test_lists_are_found_by_who_owns_them(social: Client, sql: Sql) -> None:
    anna, other, zoe = [await social.sign_up(name) for name in ("anna_k", "otto", "zoe")]
    await sql.execute("UPDATE users SET nickname = '미나 Kim' WHERE username_key = 'zoe'")
    await fill(social, anna, "Jazz at night", "Blues")
    await fill(social, other, "Jazz for anna_k", "Jazz")
    await fill(social, zoe, "Morning")
    for query, found in (
        ("anna_k", ["Blues", "Jazz for anna_k", "Jazz at night"]),
        ("ANN", ["Blues", "Jazz for anna_k", "Jazz at night"]),
        ("an", ["Jazz for anna_k"]),
        ("anna_k jazz", ["Jazz at night", "Jazz for anna_k"]),
        ("otto blues", ["Blues"]),
        ("otto jazz", ["Jazz", "Jazz for anna_k", "Jazz at night"]),
        ("미나 kim", ["Morning"]),
        ("secret", []),
    ):
        assert await titles(social, query) == found, query
    assert await titles(social, "otto@example.org") == []


async def test_only_public_lists_of_people_who_are_there_and_not_blocked_are_found(social: Client, sql: Sql) -> None:
    names = ("ann", "bea", "bob", "ben", "bud")
    ann, bea, bob, ben, bud = [await social.sign_up(name) for name in names]
    for person in (bea, bob, ben, bud):
        await fill(social, person, f"Chill of {person.username}")
    hands = Hands(social, bud)
    for visibility in (PRIVATE, UNLISTED):
        await hands.create(title="Chill", visibility=visibility)
    closed = (await hands.create(title="Chill closed", visibility=PUBLIC)).playlist.playlist_id
    await hands.show(closed, PRIVATE)
    hidden = (await hands.create(title="Chill hidden", visibility=PUBLIC)).playlist.playlist_id
    await sql.execute(
        "UPDATE playlists SET visibility = 'PRIVATE', hidden_at = now(), hidden_from = 'PUBLIC' WHERE playlist_id = $1",
        hidden,
    )
    await block(social, ann, bea.user_id)
    await block(social, bob, ann.user_id)
    await sql.execute("UPDATE users SET suspended_at = now(), suspended_because = 'x' WHERE user_id = $1", ben.user_id)
    for query in ("chill", "chil"):
        assert await titles(social, query, ann) == ["Chill of bud"]
        assert set(await titles(social, query)) == {"Chill of bea", "Chill of bob", "Chill of bud"}
    for name in ("bea", "bob", "ben"):
        assert f"Chill of {name}" not in await titles(social, f"{name} chill", ann)
    assert "Chill closed" not in await titles(social, "chill closed", bud)
    await hands.show(closed, PUBLIC)
    await hands.update(closed, (await hands.get(closed)).playlist.version, title="Warm")
    assert await titles(social, "closed") == []
    assert await titles(social, "warm") == ["Warm"]


async def test_pages_have_each_list_once_the_very_name_first_and_the_newest_of_equals(social: Client) -> None:
    owner = await social.sign_up("kim")
    await fill(social, owner, "Focus mix", "Deep focus", "Focus", "Focus mix", "Focus")
    whole = (await search(social, "focus")).playlists
    assert [one.title for one in whole] == ["Focus", "Focus", "Focus mix", "Focus mix", "Deep focus"]
    assert whole[0].created_at.ToDatetime() > whole[1].created_at.ToDatetime()
    assert whole[2].created_at.ToDatetime() > whole[3].created_at.ToDatetime()
    for size in (1, 2, 4):
        found, token = list[str](), ""
        while True:
            page = await search(social, "focus", size=size, token=token)
            assert len(page.playlists) <= size
            found += [one.playlist_id for one in page.playlists]
            token = page.next_page_token
            if not token:
                break
        assert found == [one.playlist_id for one in whole]
    token = (await search(social, "focus", size=1)).next_page_token
    with pytest.raises(InvalidArgument, match="page_token must be a token"):
        await search(social, "focu", token=token)


@pytest.mark.parametrize("query", ["", "  \t", "x" * 201], ids=["empty", "blank", "too long"])
async def test_something_must_be_asked_for(social: Client, query: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        await search(social, query)
    assert refusal.value.field == "query"


async def test_plans_read_no_whole_table_for_a_rare_word_that_looks_common(database: Database, sql: Sql) -> None:
    await sql.execute(
        "INSERT INTO users (user_id, username, username_key, nickname, email, email_key, role, password_hash,"
        " created_at, updated_at) SELECT uuidv7(), n, n, n, n, n, 'user', '', now(), now()"
        " FROM generate_series(1, 1000) AS n"
    )
    # What is counted does not matter here.
    await sql.execute("SET session_replication_role = replica")
    await sql.execute(
        "WITH people AS (SELECT array_agg(user_id) AS ids FROM users)"
        " INSERT INTO playlists (playlist_id, owner_id, title, visibility, listed_at)"
        " SELECT uuidv7(), ids[1 + n % 1000], 'Mix ' || md5(n::text), 'PUBLIC', now() - n * interval '1 min'"
        " FROM generate_series(1, 20000) AS n, people"
    )
    await sql.execute("SET session_replication_role = origin; ANALYZE")
    await sql.execute(playlist_search.PLAN.replace("true)", "false)"))
    for count, is_loose in ((1, False), (2, True), (8, True)):
        plan = await plan_of(sql, playlist_search.search_sql(count, is_loose=is_loose))
        assert [line for line in plan.splitlines() if "Seq Scan" in line] == [], plan
    statement = playlist_search.search_sql(1, is_loose=True)
    await sql.execute(f"PREPARE asked AS {statement}")
    for word in ("abc", "mix"):
        rows = await sql.fetch(
            f"EXPLAIN EXECUTE asked(NULL, ' {word}', '{word}%', '{word}%', '{{{word}}}', NULL, NULL, NULL, 21,"
            f" '%{word}%', '% {word}%')"
        )
        plan = "\n".join(row[0] for row in rows)
        inside = plan[plan.index("CTE with_words") : plan.index("CTE inside")]
        assert inside.count("Bitmap Index Scan on playlists_search") == 1, (word, plan)
        assert inside.count(f"Index Cond: (search_words(title) ~~ '%{word}%'::text)") == 1, (word, plan)
        owners = plan[plan.index("CTE owners") : plan.index("CTE owned")]
        for index in ("users_by_username_start", "users_by_nickname_start"):
            assert f"Index Scan on {index}" in owners, (word, plan)
    async with database.transaction() as connection:
        found = await playlist_search.search(connection, None, "mix", None, 1001)
    assert len(found) == 200
