"""Playlists."""

from museed.social.v1 import jobs_pb2, playlists_pb2
from tests.integration.social.access_cases import EVERYBODY, ONLY_OWNER, OWNER_OR_ADMIN, Case, Cases, World


async def playlist(world: World, visibility: str = "PRIVATE") -> str:
    """Make a playlist of the owner's."""
    seed = jobs_pb2.GenerationSeed(track_id=world.library.track_ids[0])
    job = await world.client.generate(world.owner, seed, length=3)
    await world.sql.execute("UPDATE playlists SET visibility = $2 WHERE playlist_id = $1", job.playlist_id, visibility)
    return job.playlist_id


async def _get_private(world: World) -> playlists_pb2.GetPlaylistRequest:
    return playlists_pb2.GetPlaylistRequest(playlist_id=await playlist(world))


async def _get_unlisted(world: World) -> playlists_pb2.GetPlaylistRequest:
    return playlists_pb2.GetPlaylistRequest(playlist_id=await playlist(world, "UNLISTED"))


async def _get_public(world: World) -> playlists_pb2.GetPlaylistRequest:
    return playlists_pb2.GetPlaylistRequest(playlist_id=await playlist(world, "PUBLIC"))


async def _get_hidden(world: World) -> playlists_pb2.GetPlaylistRequest:
    playlist_id = await playlist(world, "PRIVATE")
    await world.sql.execute(
        "UPDATE playlists SET hidden_at = now(), hidden_from = 'PUBLIC' WHERE playlist_id = $1", playlist_id
    )
    return playlists_pb2.GetPlaylistRequest(playlist_id=playlist_id)


async def _update(world: World) -> playlists_pb2.UpdatePlaylistRequest:
    return playlists_pb2.UpdatePlaylistRequest(playlist_id=await playlist(world, "PUBLIC"), version=1, title="Mine")


async def _delete(world: World) -> playlists_pb2.DeletePlaylistRequest:
    return playlists_pb2.DeletePlaylistRequest(playlist_id=await playlist(world, "PUBLIC"))


CASES: Cases = {
    "PlaylistService/GetPlaylist": Case(_get_private, ONLY_OWNER),
    "PlaylistService/GetPlaylist, unlisted": Case(_get_unlisted, EVERYBODY),
    "PlaylistService/GetPlaylist, public": Case(_get_public, EVERYBODY),
    "PlaylistService/GetPlaylist, hidden": Case(_get_hidden, OWNER_OR_ADMIN),
    "PlaylistService/ListMyPlaylists": "lists the caller's own",
    "PlaylistService/UpdatePlaylist": Case(_update, ONLY_OWNER),
    "PlaylistService/DeletePlaylist": Case(_delete, ONLY_OWNER),
}
