"""Playlists as files, and stream tokens."""

from museed.social.v1 import exchange_pb2
from services.social.domain.ids import new_id
from services.social.domain.stream_tokens import hash_secret
from tests.integration.social.access_cases import EVERYBODY, ONLY_OWNER, Case, Cases, World
from tests.integration.social.access_cases.playlists import playlist

_FORMAT = exchange_pb2.PLAYLIST_FORMAT_M3U8


async def _token(world: World, secret: str) -> tuple[str, str]:
    """Make a token of a playlist of the owner's; return its id and a track that it plays."""
    token_id, playlist_id = new_id(), await playlist(world)
    await world.sql.execute(
        "INSERT INTO stream_tokens (token_id, token_hash, playlist_id, user_id, created_at, expires_at)"
        " VALUES ($1, $2, $3, $4, now(), now() + interval '1 day')",
        token_id,
        hash_secret(secret),
        playlist_id,
        world.owner.user_id,
    )
    return token_id, world.library.track_ids[0]


async def _export_private(world: World) -> exchange_pb2.ExportPlaylistRequest:
    return exchange_pb2.ExportPlaylistRequest(playlist_id=await playlist(world), format=_FORMAT)


async def _export_public(world: World) -> exchange_pb2.ExportPlaylistRequest:
    return exchange_pb2.ExportPlaylistRequest(playlist_id=await playlist(world, "PUBLIC"), format=_FORMAT)


async def _create(world: World) -> exchange_pb2.CreateStreamTokenRequest:
    return exchange_pb2.CreateStreamTokenRequest(idempotency_key=new_id(), playlist_id=await playlist(world, "PUBLIC"))


async def _list(world: World) -> exchange_pb2.ListStreamTokensRequest:
    return exchange_pb2.ListStreamTokensRequest(playlist_id=await playlist(world, "PUBLIC"))


async def _revoke(world: World) -> exchange_pb2.RevokeStreamTokenRequest:
    return exchange_pb2.RevokeStreamTokenRequest(token_id=(await _token(world, new_id()))[0])


async def _resolve(world: World) -> exchange_pb2.ResolveStreamTokenRequest:
    secret = new_id()
    return exchange_pb2.ResolveStreamTokenRequest(secret=secret, track_id=(await _token(world, secret))[1])


CASES: Cases = {
    "ExchangeService/ImportPlaylist": "makes the caller's own",
    "ExchangeService/ExportPlaylist": Case(_export_private, ONLY_OWNER),
    "ExchangeService/ExportPlaylist, public": Case(_export_public, EVERYBODY),
    "ExchangeService/CreateStreamToken": Case(_create, ONLY_OWNER),
    "ExchangeService/ListStreamTokens": Case(_list, ONLY_OWNER),
    "ExchangeService/RevokeStreamToken": Case(_revoke, ONLY_OWNER),
    "ExchangeService/ResolveStreamToken": Case(_resolve, EVERYBODY),
}
