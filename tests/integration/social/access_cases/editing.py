"""Editing playlists by hand."""

from museed.social.v1 import editing_pb2
from services.social.domain.ids import new_id
from tests.integration.social.access_cases import EVERYBODY, LOGGED_IN, ONLY_OWNER, Case, Cases, World
from tests.integration.social.access_cases.playlists import playlist

NOT_BLOCKED = LOGGED_IN - {"blocked"}


async def entries(world: World, playlist_id: str) -> list[str]:
    """Return the ids of a playlist's entries."""
    rows = await world.sql.fetch(
        "SELECT entry_id::text FROM playlist_entries WHERE playlist_id = $1 ORDER BY position", playlist_id
    )
    return [row["entry_id"] for row in rows]


async def _add(world: World) -> editing_pb2.AddEntriesRequest:
    return editing_pb2.AddEntriesRequest(
        idempotency_key=new_id(),
        playlist_id=await playlist(world, "PUBLIC"),
        track_ids=world.library.track_ids[:1],
    )


async def _remove(world: World) -> editing_pb2.RemoveEntriesRequest:
    playlist_id = await playlist(world, "PUBLIC")
    return editing_pb2.RemoveEntriesRequest(playlist_id=playlist_id, entry_ids=await entries(world, playlist_id))


async def _move(world: World) -> editing_pb2.MoveEntryRequest:
    playlist_id = await playlist(world, "PUBLIC")
    entry_id = (await entries(world, playlist_id))[0]
    return editing_pb2.MoveEntryRequest(playlist_id=playlist_id, entry_id=entry_id, position=1)


async def _reorder(world: World) -> editing_pb2.ReorderEntriesRequest:
    playlist_id = await playlist(world, "PUBLIC")
    return editing_pb2.ReorderEntriesRequest(
        playlist_id=playlist_id, version=1, entry_ids=(await entries(world, playlist_id))[::-1]
    )


async def _reorder_by_tracks(world: World) -> editing_pb2.ReorderByTracksRequest:
    playlist_id = await playlist(world, "PUBLIC")
    rows = await world.sql.fetch("SELECT track_id::text FROM playlist_entries WHERE playlist_id = $1", playlist_id)
    return editing_pb2.ReorderByTracksRequest(
        playlist_id=playlist_id, version=1, track_ids=[row["track_id"] for row in rows]
    )


async def _rotate(world: World) -> editing_pb2.RotateShareSlugRequest:
    return editing_pb2.RotateShareSlugRequest(playlist_id=await playlist(world, "UNLISTED"))


async def _copy_private(world: World) -> editing_pb2.CopyPlaylistRequest:
    return editing_pb2.CopyPlaylistRequest(idempotency_key=new_id(), playlist_id=await playlist(world))


async def _copy_public(world: World) -> editing_pb2.CopyPlaylistRequest:
    return editing_pb2.CopyPlaylistRequest(idempotency_key=new_id(), playlist_id=await playlist(world, "PUBLIC"))


async def _by_slug(world: World, visibility: str) -> editing_pb2.GetPlaylistBySlugRequest:
    playlist_id = await playlist(world, visibility)
    slug = await world.sql.fetchval("SELECT share_slug FROM playlists WHERE playlist_id = $1", playlist_id)
    return editing_pb2.GetPlaylistBySlugRequest(share_slug=slug)


async def _by_slug_unlisted(world: World) -> editing_pb2.GetPlaylistBySlugRequest:
    return await _by_slug(world, "UNLISTED")


async def _by_slug_private(world: World) -> editing_pb2.GetPlaylistBySlugRequest:
    return await _by_slug(world, "PRIVATE")


CASES: Cases = {
    "EditingService/CreatePlaylist": "makes the caller's own",
    "EditingService/AddEntries": Case(_add, ONLY_OWNER),
    "EditingService/RemoveEntries": Case(_remove, ONLY_OWNER),
    "EditingService/MoveEntry": Case(_move, ONLY_OWNER),
    "EditingService/ReorderEntries": Case(_reorder, ONLY_OWNER),
    "EditingService/ReorderByTracks": Case(_reorder_by_tracks, ONLY_OWNER),
    "EditingService/CopyPlaylist": Case(_copy_private, ONLY_OWNER),
    "EditingService/CopyPlaylist, public": Case(_copy_public, NOT_BLOCKED),
    "EditingService/BatchGetPlaylists": "leaves out what is not for the caller: test_editing",
    "EditingService/GetPlaylistBySlug": Case(_by_slug_unlisted, EVERYBODY),
    "EditingService/GetPlaylistBySlug, private": Case(_by_slug_private, frozenset()),
    "EditingService/RotateShareSlug": Case(_rotate, ONLY_OWNER),
    "EditingService/BatchListEntries": "leaves out what is not for the caller: test_first_pages",
}
