"""Tokens with which anybody plays a playlist, over a real socket."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from museed.social.v1 import exchange_pb2
from services.chassis.errors import InvalidArgument, NotFound, PermissionDenied, ResourceExhausted
from services.social.domain.ids import new_id
from services.social.domain.stream_tokens import hash_secret
from services.social.store.database import Database
from services.social.wiring.playlists import _sweep_tokens
from tests.integration.social.client import TIMEOUT_S, Client
from tests.integration.social.conftest import Library, Sql
from tests.integration.social.hands import PUBLIC, Hands
from tests.integration.social.test_exchange import TOKEN, XSPF, export


@pytest.fixture
async def owner(social: Client) -> Hands:
    await social.sign_up("admin")
    return Hands(social, await social.sign_up("owner"))


async def make_token(
    who: Hands, playlist_id: str, expires_at: datetime | None = None, key: str = ""
) -> exchange_pb2.CreateStreamTokenResponse:
    request = exchange_pb2.CreateStreamTokenRequest(idempotency_key=key or new_id(), playlist_id=playlist_id)
    if expires_at is not None:
        request.expires_at.FromDatetime(expires_at)
    return await who.exchange.CreateStreamToken(request, timeout=TIMEOUT_S, metadata=who.metadata)


async def living(who: Hands, playlist_id: str, size: int = 0, token: str = "") -> exchange_pb2.ListStreamTokensResponse:
    request = exchange_pb2.ListStreamTokensRequest(playlist_id=playlist_id, page_size=size, page_token=token)
    return await who.exchange.ListStreamTokens(request, timeout=TIMEOUT_S, metadata=who.metadata)


async def revoke(who: Hands, token_id: str) -> None:
    request = exchange_pb2.RevokeStreamTokenRequest(token_id=token_id)
    await who.exchange.RevokeStreamToken(request, timeout=TIMEOUT_S, metadata=who.metadata)


async def resolve(social: Client, secret: str, track_id: str) -> exchange_pb2.ResolveStreamTokenResponse:
    request = exchange_pb2.ResolveStreamTokenRequest(secret=secret, track_id=track_id)
    return await Hands(social, None).exchange.ResolveStreamToken(request, timeout=TIMEOUT_S)


async def test_token_plays_its_playlist_until_it_is_revoked(
    social: Client, library: Library, sql: Sql, database: Database
) -> None:
    owner = Hands(social, await social.sign_up("owner"))
    playlist_id = (await owner.create(library.track_ids[:2])).playlist.playlist_id
    foreign_id = (await owner.create(library.track_ids[2:3])).playlist.playlist_id
    made = await make_token(owner, playlist_id, key="a")
    again = await make_token(owner, playlist_id, key="a")
    assert (again.token, again.secret) == (made.token, "")
    assert made.token.expires_at.ToDatetime() - made.token.created_at.ToDatetime() == timedelta(days=30)
    assert await sql.fetchval("SELECT token_hash FROM stream_tokens") == hash_secret(made.secret)
    media = await resolve(social, made.secret, library.track_ids[0])
    assert (media.root_location, media.relative_path, media.size_bytes) == ("/music", b"Track 0.ogg", 1_000)
    text = (await export(owner, playlist_id, XSPF, TOKEN, made.secret)).content.decode()
    for track_id in library.track_ids[:2]:
        assert f"<location>http://127.0.0.1:8080/stream/{made.secret}/{track_id}</location>" in text
    for attempt in (export(owner, foreign_id, XSPF, TOKEN, made.secret), export(owner, playlist_id, XSPF, TOKEN)):
        with pytest.raises(PermissionDenied) as refusal:
            await attempt
        assert refusal.value.reason == "STREAM_TOKEN_REFUSED"

    async def refused(secret: str = made.secret, track_id: str = library.track_ids[0]) -> None:
        with pytest.raises(PermissionDenied) as refusal:
            await resolve(social, secret, track_id)
        assert refusal.value.reason == "STREAM_TOKEN_REFUSED"

    await refused(track_id=library.track_ids[2])
    await refused(track_id="nonsense")
    await refused(secret=made.secret + "x")
    await refused(secret="")
    await refused(secret="x" * 10_000)
    # What moderation hid, whose owner is suspended, what no model heard: as long as it is so.
    for undone, done in (
        (
            "UPDATE playlists SET hidden_at = NULL, hidden_from = NULL",
            "UPDATE playlists SET hidden_at = now(), hidden_from = 'PUBLIC'",
        ),
        (
            "UPDATE users SET suspended_at = NULL",
            f"UPDATE users SET suspended_at = now() WHERE user_id = '{owner.user_id}'",
        ),
        ("UPDATE track_embeddings SET state = 'INDEXED'", "UPDATE track_embeddings SET state = 'FAILED'"),
        (
            "UPDATE stream_tokens SET expires_at = now() + interval '1 day'",
            "UPDATE stream_tokens SET expires_at = now()",
        ),
    ):
        await sql.execute(done)
        await refused()
        await sql.execute(undone)
        await resolve(social, made.secret, library.track_ids[0])
    first = (await owner.get(playlist_id)).entries[0].entry_id
    await owner.remove(playlist_id, [first])
    await refused()
    await resolve(social, made.secret, library.track_ids[1])
    for _ in range(2):
        await revoke(owner, made.token.token_id)
    await refused(track_id=library.track_ids[1])
    with pytest.raises(PermissionDenied):
        await export(owner, playlist_id, XSPF, TOKEN, made.secret)
    await sql.execute("UPDATE stream_tokens SET expires_at = now() - interval '1 day'")
    await _sweep_tokens(database, datetime.now(UTC))
    assert await sql.fetchval("SELECT count(*) FROM stream_tokens") == 0


async def test_tokens_are_their_makers(owner: Hands, social: Client, sql: Sql) -> None:
    other = Hands(social, await social.sign_up())
    playlist_id = (await owner.create(visibility=PUBLIC)).playlist.playlist_id
    made = await make_token(owner, playlist_id)
    for attempt in (make_token(other, playlist_id), living(other, playlist_id)):
        with pytest.raises(NotFound) as refusal:
            await attempt
        assert refusal.value.reason == "PLAYLIST_NOT_FOUND"
    for token_id in (made.token.token_id, new_id(), "nonsense"):
        with pytest.raises(NotFound) as unknown:
            await revoke(other, token_id)
        assert unknown.value.reason == "STREAM_TOKEN_NOT_FOUND"
    assert list((await living(owner, playlist_id)).tokens) == [made.token]
    await owner.delete(playlist_id)
    assert await sql.fetchval("SELECT count(*) FROM stream_tokens") == 0


async def test_living_tokens_are_listed_and_twenty_at_most(owner: Hands, sql: Sql) -> None:
    playlist_id = (await owner.create()).playlist.playlist_id
    results = await asyncio.gather(*(make_token(owner, playlist_id) for _ in range(22)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, ResourceExhausted)]
    assert [(error.reason, error.limit) for error in refused] == [("TOO_MANY_STREAM_TOKENS", "20")] * 2
    made = sorted(
        (one.token.token_id for one in results if isinstance(one, exchange_pb2.CreateStreamTokenResponse)), reverse=True
    )
    await revoke(owner, made[0])
    await sql.execute("UPDATE stream_tokens SET expires_at = now() WHERE token_id = $1", made[1])
    seen, token = list[str](), ""
    while True:
        page = await living(owner, playlist_id, 8, token)
        seen += [one.token_id for one in page.tokens]
        token = page.next_page_token
        if not token:
            break
    assert seen == made[2:]
    await make_token(owner, playlist_id)


def _days(count: int) -> datetime:
    return datetime.now(UTC) + timedelta(days=count)


@pytest.mark.parametrize("days", [-1, 367])
async def test_token_ends_within_a_year(owner: Hands, days: int) -> None:
    playlist_id = (await owner.create()).playlist.playlist_id
    with pytest.raises(InvalidArgument) as refusal:
        await make_token(owner, playlist_id, _days(days))
    assert (refusal.value.reason, refusal.value.field) == ("OUT_OF_RANGE", "expires_at")
    assert (await make_token(owner, playlist_id, _days(366) - timedelta(minutes=1))).secret
    request = exchange_pb2.CreateStreamTokenRequest(
        idempotency_key="k", playlist_id=playlist_id, expires_at=Timestamp(seconds=2**60)
    )
    with pytest.raises(InvalidArgument) as malformed:
        await owner.exchange.CreateStreamToken(request, timeout=TIMEOUT_S, metadata=owner.metadata)
    assert (malformed.value.reason, malformed.value.field) == ("MALFORMED", "expires_at")
