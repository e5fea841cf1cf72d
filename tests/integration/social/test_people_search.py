"""Finding people by how their names begin: who is found, in which order, who is left out, page by page."""

import pytest

from museed.social.v1 import people_pb2
from services.chassis.errors import InvalidArgument
from tests.integration.social.conftest import TIMEOUT_S, Client, Person, Sql
from tests.integration.social.people_steps import block, people


async def search(
    client: Client, query: str, who: Person | None = None, size: int = 0, token: str = ""
) -> people_pb2.SearchPeopleResponse:
    request = people_pb2.SearchPeopleRequest(query=query, page_size=size, page_token=token)
    return await people(client).SearchPeople(request, timeout=TIMEOUT_S, metadata=None if who is None else who.metadata)


async def names(client: Client, query: str, who: Person | None = None) -> list[str]:
    return [user.username for user in (await search(client, query, who)).users]


async def test_people_are_found_by_the_beginning_of_both_names_and_not_by_their_address(
    social: Client, sql: Sql
) -> None:
    for name in ("mina", "minho", "zoe", "m_x"):
        await social.sign_up(name)
    await sql.execute("UPDATE users SET nickname = '미나 Kim' WHERE username_key = 'zoe'")
    await sql.execute(
        "UPDATE users SET email = 'secret@example.org', email_key = 'secret@example.org' WHERE username_key = 'mina'"
    )
    assert await names(social, "MIN") == ["mina", "minho"]
    assert await names(social, "미나 k") == ["zoe"]
    assert await names(social, "m_") == ["m_x"]
    assert await names(social, "%") == []
    assert await names(social, "ina") == []
    assert await names(social, "secret") == []


async def test_blocked_either_way_suspended_and_gone_ones_are_left_out(social: Client, sql: Sql) -> None:
    ann, bea, bob, ben, bud = [await social.sign_up(name) for name in ("ann", "bea", "bob", "ben", "bud")]
    await block(social, ann, bea.user_id)
    await block(social, bob, ann.user_id)
    await sql.execute("UPDATE users SET suspended_at = now(), suspended_because = 'x' WHERE user_id = $1", ben.user_id)
    assert await names(social, "b", ann) == ["bud"]
    assert await names(social, "b", bud) == ["bea", "bob", "bud"]
    assert await names(social, "b") == ["bea", "bob", "bud"]


async def test_pages_go_on_behind_the_last_one(social: Client) -> None:
    for name in ("kai", "kim", "kip"):
        await social.sign_up(name)
    first = await search(social, "k", size=2)
    rest = await search(social, "k", size=2, token=first.next_page_token)
    assert [[user.username for user in page.users] for page in (first, rest)] == [["kai", "kim"], ["kip"]]
    assert rest.next_page_token == ""
    with pytest.raises(InvalidArgument, match="page_token must be a token"):
        await search(social, "ki", token=first.next_page_token)


@pytest.mark.parametrize("query", ["", "  \t"], ids=["empty", "blank"])
async def test_nobody_is_looked_for_without_a_word(social: Client, query: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await search(social, query)
    assert (caught.value.reason, caught.value.field) == ("REQUIRED", "query")
