"""First pages of many lists at once: what each list says by itself, for who may see it."""

import pytest

from museed.social.v1 import editing_pb2, engagement_pb2, feed_pb2, feed_pb2_grpc
from services.chassis.errors import DomainError, InvalidArgument, PermissionDenied
from services.social.domain.ids import new_id
from tests.integration.social.client import TIMEOUT_S, Client
from tests.integration.social.conftest import Library, Sql
from tests.integration.social.hands import PRIVATE, PUBLIC, UNLISTED, Hands, block, tracks
from tests.integration.social.test_exchange import M3U8, TOKEN, export
from tests.integration.social.test_stream_tokens import make_token, revoke

__all__ = ["tracks"]


async def entries(who: Hands, ids: list[str], offset: int = 0, size: int = 0) -> dict[str, tuple[list[int], bool]]:
    """Positions of each playlist's entries, and whether there are more."""
    request = editing_pb2.BatchListEntriesRequest(playlist_ids=ids, offset=offset, page_size=size)
    answer = await who.editing.BatchListEntries(request, timeout=TIMEOUT_S, metadata=who.metadata)
    return {one.playlist_id: ([entry.position for entry in one.entries], one.has_more) for one in answer.playlists}


async def comments(who: Hands, ids: list[str], size: int = 0) -> dict[str, engagement_pb2.CommentsOfPlaylist]:
    request = engagement_pb2.BatchListCommentsRequest(playlist_ids=ids, page_size=size)
    answer = await who.engagement.BatchListComments(request, timeout=TIMEOUT_S, metadata=who.metadata)
    return {one.playlist_id: one for one in answer.playlists}


async def likers(who: Hands, ids: list[str], size: int = 0) -> dict[str, engagement_pb2.LikersOfPlaylist]:
    request = engagement_pb2.BatchListLikersRequest(playlist_ids=ids, page_size=size)
    answer = await who.engagement.BatchListLikers(request, timeout=TIMEOUT_S, metadata=who.metadata)
    return {one.playlist_id: one for one in answer.playlists}


async def of_users(who: Hands, ids: list[str], size: int = 0) -> dict[str, feed_pb2.PlaylistsOfUser]:
    request = feed_pb2.BatchListPlaylistsOfUsersRequest(user_ids=ids, page_size=size)
    stub = feed_pb2_grpc.FeedServiceStub(who.client.channel)
    answer = await stub.BatchListPlaylistsOfUsers(request, timeout=TIMEOUT_S, metadata=who.metadata)
    return {one.user_id: one for one in answer.users}


async def by_id(who: Hands, ids: list[str]) -> set[str]:
    request = engagement_pb2.BatchGetCommentsRequest(comment_ids=ids)
    answer = await who.engagement.BatchGetComments(request, timeout=TIMEOUT_S, metadata=who.metadata)
    return {one.comment_id for one in answer.comments}


async def test_entries_of_many_are_the_part_asked_for_of_what_may_be_opened(social: Client, tracks: list[str]) -> None:
    owner, guest = Hands(social, await social.sign_up("owner")), Hands(social, None)
    full = (await owner.create(tracks, visibility=PUBLIC)).playlist.playlist_id
    short = (await owner.create(tracks[:2], visibility=UNLISTED)).playlist.playlist_id
    empty = (await owner.create(visibility=PUBLIC)).playlist.playlist_id
    private = (await owner.create(tracks[:1], visibility=PRIVATE)).playlist.playlist_id
    asked = [full, short, empty, private, new_id(), "nonsense", full]
    assert await entries(guest, asked, 0, 2) == {full: ([0, 1], True), short: ([0, 1], False), empty: ([], False)}
    assert await entries(owner, asked, 1, 5) == {
        full: ([1, 2, 3, 4, 5], False),
        short: ([1], False),
        empty: ([], False),
        private: ([], False),
    }
    whole = await owner.get(full)
    request = editing_pb2.BatchListEntriesRequest(playlist_ids=[full], page_size=100)
    answer = await owner.editing.BatchListEntries(request, timeout=TIMEOUT_S, metadata=owner.metadata)
    assert list(answer.playlists[0].entries) == list(whole.entries)


async def test_comments_and_likers_of_many_go_on_where_those_of_one_do(social: Client, sql: Sql) -> None:
    await social.sign_up("admin")
    owner, fan, other = [Hands(social, await social.sign_up(name)) for name in ("owner", "fan", "other")]
    first = (await owner.create(visibility=PUBLIC)).playlist.playlist_id
    second = (await owner.create(visibility=PUBLIC)).playlist.playlist_id
    private = (await owner.create(visibility=PRIVATE)).playlist.playlist_id
    said = [(await who.comment(first, f"text {number}")).comment_id for number, who in enumerate((fan, other, owner))]
    for who in (fan, other, owner):
        await who.like(first)
    await fan.like(second)
    await owner.comment(private, "mine")
    found = await comments(fan, [first, second, private], 2)
    alone = await fan.comments(first, 2)
    assert list(found[first].comments) == list(alone.comments)
    assert [one.comment_id for one in found[first].comments] == [said[2], said[1]]
    rest = await fan.comments(first, 2, found[first].next_page_token)
    assert [one.comment_id for one in rest.comments] == [said[0]]
    assert (list(found[second].comments), found[second].next_page_token, set(found)) == ([], "", {first, second})
    liked = await likers(fan, [first, second, private], 2)
    assert list(liked[first].likers) == list((await fan.likers(first, 2)).likers)
    assert [one.user.username for one in liked[first].likers] == ["owner", "other"]
    rest_of_likers = await fan.likers(first, 2, liked[first].next_page_token)
    assert [one.user.username for one in rest_of_likers.likers] == ["fan"]
    assert [one.user.username for one in liked[second].likers] == ["fan"]
    assert set(liked) == {first, second}
    # A block keeps both from each other's sight, here as there.
    await block(sql, fan, other)
    assert [one.comment_id for one in (await comments(fan, [first]))[first].comments] == [said[2], said[0]]
    assert [one.user.username for one in (await likers(other, [first]))[first].likers] == ["owner", "other"]
    assert await by_id(fan, [*said, new_id(), "nonsense"]) == {said[0], said[2]}
    assert await by_id(Hands(social, None), said) == set(said)
    await owner.show(first, PRIVATE)
    assert await by_id(fan, said) == set()
    assert await by_id(owner, said) == set(said)


async def test_hidden_comment_is_its_authors_and_admins_in_every_list(social: Client, sql: Sql) -> None:
    admin = Hands(social, await social.sign_up("admin"))
    owner, fan = [Hands(social, await social.sign_up(name)) for name in ("owner", "fan")]
    playlist_id = (await owner.create(visibility=PUBLIC)).playlist.playlist_id
    comment_id = (await fan.comment(playlist_id, "rude")).comment_id
    await sql.execute("UPDATE comments SET hidden_at = now()")
    for who, sees in ((admin, True), (fan, True), (owner, False), (Hands(social, None), False)):
        assert ([one.comment_id for one in (await comments(who, [playlist_id]))[playlist_id].comments] != []) is sees
        assert (await by_id(who, [comment_id]) != set()) is sees


async def test_playlists_of_many_people_are_the_public_ones_of_whom_the_caller_sees(social: Client, sql: Sql) -> None:
    await social.sign_up("admin")
    ann, bob, cid = [Hands(social, await social.sign_up(name)) for name in ("ann", "bob", "cid")]
    made = [(await ann.create(visibility=PUBLIC)).playlist.playlist_id for _ in range(3)]
    await ann.create(visibility=PRIVATE)
    await bob.create(visibility=UNLISTED)
    ids = [ann.user_id, bob.user_id, new_id(), "nonsense"]
    found = await of_users(Hands(social, None), ids, 2)
    assert [one.playlist_id for one in found[ann.user_id].playlists] == [made[2], made[1]]
    assert (list(found[bob.user_id].playlists), set(found)) == ([], {ann.user_id, bob.user_id})
    request = feed_pb2.ListPlaylistsOfUserRequest(user_id=ann.user_id, page_token=found[ann.user_id].next_page_token)
    rest = await feed_pb2_grpc.FeedServiceStub(social.channel).ListPlaylistsOfUser(request, timeout=TIMEOUT_S)
    assert [one.playlist_id for one in rest.playlists] == [made[0]]
    await block(sql, ann, cid)
    assert set(await of_users(cid, ids)) == {bob.user_id}


@pytest.mark.parametrize("count", [101, 11])
async def test_more_than_a_message_holds_is_refused(social: Client, count: int) -> None:
    guest, ids = Hands(social, None), [new_id() for _ in range(count)]
    attempts = [comments(guest, ids, 100), of_users(guest, ids, 100)]
    if count > 100:
        attempts += [entries(guest, ids), likers(guest, ids)]
    else:
        assert await entries(guest, ids, 0, 100) == await likers(guest, ids, 100) == {}
    for attempt in attempts:
        with pytest.raises(InvalidArgument) as refusal:
            await attempt
        assert refusal.value.reason == "OUT_OF_RANGE"
    with pytest.raises(InvalidArgument) as late:
        await entries(guest, ids[:1], 1_001)
    assert (late.value.reason, late.value.field) == ("OUT_OF_RANGE", "offset")


async def test_stream_token_opens_the_file_of_its_private_playlist(social: Client, library: Library, sql: Sql) -> None:
    owner, guest = Hands(social, await social.sign_up("owner")), Hands(social, None)
    playlist_id = (await owner.create(library.track_ids[:2], visibility=PRIVATE)).playlist.playlist_id
    foreign_id = (await owner.create(library.track_ids[:1], visibility=PRIVATE)).playlist.playlist_id
    made = await make_token(owner, playlist_id)

    async def reason(of: str, secret: str) -> str:
        with pytest.raises(DomainError) as refusal:
            await export(guest, of, M3U8, TOKEN, secret)
        assert isinstance(refusal.value, PermissionDenied)
        return refusal.value.reason

    text = (await export(guest, playlist_id, M3U8, TOKEN, made.secret)).content.decode()
    assert f"/stream/{made.secret}/{library.track_ids[1]}" in text
    # Which playlists there are is not told to who guesses.
    for of, secret in ((foreign_id, made.secret), (playlist_id, "x"), (playlist_id, ""), (new_id(), made.secret)):
        assert await reason(of, secret) == "STREAM_TOKEN_REFUSED"
    await sql.execute("UPDATE playlists SET hidden_at = now(), hidden_from = 'PUBLIC'")
    assert await reason(playlist_id, made.secret) == "STREAM_TOKEN_REFUSED"
    await sql.execute("UPDATE playlists SET hidden_at = NULL, hidden_from = NULL")
    await sql.execute("UPDATE users SET suspended_at = now() WHERE user_id = $1", owner.user_id)
    assert await reason(playlist_id, made.secret) == "STREAM_TOKEN_REFUSED"
    await sql.execute("UPDATE users SET suspended_at = NULL WHERE user_id = $1", owner.user_id)
    await export(guest, playlist_id, M3U8, TOKEN, made.secret)
    await revoke(owner, made.token.token_id)
    assert await reason(playlist_id, made.secret) == "STREAM_TOKEN_REFUSED"
