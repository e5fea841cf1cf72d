"""gRPC in: playlists made and edited by hand."""

from collections.abc import Callable, Sequence
from datetime import datetime

import grpc

from museed.social.v1 import editing_pb2, editing_pb2_grpc, playlists_pb2
from services.chassis.auth import require_viewer
from services.social import events
from services.social.actions.copying import copied
from services.social.domain import editing as rules
from services.social.domain import fields
from services.social.domain.idempotency import check_key, digest_of
from services.social.domain.ids import EntryId, PlaylistId, UserId, is_id, new_id
from services.social.domain.playlists import LONGEST_DESCRIPTION, LONGEST_TITLE, Entry, Playlist, Visibility
from services.social.domain.visibility import may_open, thing_of
from services.social.errors import PlaylistNotFound, VersionConflict
from services.social.errors.playlists import EntryNotFound
from services.social.events.playlists import playlist_changed
from services.social.servicer import keys
from services.social.servicer.playlist_messages import (
    is_admin,
    person,
    playlist_id_of,
    shown,
    to_entry,
    to_playlist,
    to_visibility,
)
from services.social.store import accounts, editing, engagement, first_pages, outbox, playlists
from services.social.store.claims import Claim
from services.social.store.database import Connection, Database

_MOST_PLAYLISTS = 100
_LONGEST_SLUG = 100


class EditingServicer(editing_pb2_grpc.EditingServiceServicer):
    """Serves EditingService. Who edits locks the own row of users, and then the playlist.

    Args:
        database: The truth.
        playlists_per_user: How many playlists a person may have.
        clock: Time of day.
    """

    def __init__(self, database: Database, playlists_per_user: int, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._playlists_per_user = playlists_per_user
        self._clock = clock

    async def CreatePlaylist(
        self,
        request: editing_pb2.CreatePlaylistRequest,
        context: grpc.aio.ServicerContext[editing_pb2.CreatePlaylistRequest, editing_pb2.CreatePlaylistResponse],
    ) -> editing_pb2.CreatePlaylistResponse:
        """Make a playlist, empty or of some tracks; the same key with the same request returns the same one."""
        user_id, key = UserId(require_viewer().user_id), check_key(request.idempotency_key)
        title = fields.line(request.title, "title", longest=LONGEST_TITLE, is_required=True)
        description = fields.text(request.description, "description", longest=LONGEST_DESCRIPTION)
        visibility = to_visibility(request.visibility) or Visibility.PRIVATE
        track_ids = rules.check_tracks(request.track_ids, is_required=False)
        digest = digest_of(title=title, description=description, visibility=visibility, track_ids=track_ids)
        made, now = PlaylistId(new_id()), self._clock()
        async with self._database.transaction() as connection:
            await accounts.lock_person(connection, user_id)
            claim = Claim(user_id, "CreatePlaylist", key, digest)
            playlist_id = PlaylistId(await claim.bind(connection, made, now))
            if playlist_id == made:
                await playlists.must_have_room(connection, user_id, self._playlists_per_user)
                await editing.insert_playlist(connection, made, user_id, title, description, visibility, "HAND", now)
                await editing.add_tracks(connection, made, user_id, new_id(), track_ids, 0, now)
                await outbox.add(connection, events.playlist_created(made, user_id, now))
            answer = await shown(connection, playlist_id, user_id)
            entries = await playlists.entries_of(connection, playlist_id)
        return editing_pb2.CreatePlaylistResponse(playlist=answer, entries=[to_entry(one) for one in entries])

    async def AddEntries(
        self,
        request: editing_pb2.AddEntriesRequest,
        context: grpc.aio.ServicerContext[editing_pb2.AddEntriesRequest, editing_pb2.AddEntriesResponse],
    ) -> editing_pb2.AddEntriesResponse:
        """Add tracks to a playlist of the caller's own; the same key with the same request adds them once."""
        user_id, key = UserId(require_viewer().user_id), check_key(request.idempotency_key)
        playlist_id = playlist_id_of(request.playlist_id)
        track_ids = rules.check_tracks(request.track_ids, is_required=True)
        position = rules.check_position(request.position) if request.HasField("position") else None
        claim = Claim(
            user_id,
            "AddEntries",
            key,
            digest_of(playlist_id=playlist_id, track_ids=track_ids, position=position),
        )
        made, now = new_id(), self._clock()
        async with self._database.transaction() as connection:
            found, before = await self._lock(connection, playlist_id, user_id)
            batch_id = await claim.bind(connection, made, now)
            added = set(editing.entry_ids_of(batch_id, len(track_ids)))
            if batch_id == made:
                rules.check_room(len(before) + len(track_ids))
                new = await editing.add_tracks(connection, playlist_id, user_id, made, track_ids, len(before), now)
                await editing.renumber(connection, playlist_id, rules.inserted(before, new, position))
                await self._changed(connection, found, user_id, now)
            answer = await shown(connection, playlist_id, user_id)
            entries = [one for one in await playlists.entries_of(connection, playlist_id) if one.entry_id in added]
        return editing_pb2.AddEntriesResponse(playlist=answer, entries=[to_entry(one) for one in entries])

    async def RemoveEntries(
        self,
        request: editing_pb2.RemoveEntriesRequest,
        context: grpc.aio.ServicerContext[editing_pb2.RemoveEntriesRequest, editing_pb2.RemoveEntriesResponse],
    ) -> editing_pb2.RemoveEntriesResponse:
        """Take entries out of a playlist of the caller's own."""
        user_id, playlist_id = UserId(require_viewer().user_id), playlist_id_of(request.playlist_id)
        entry_ids = rules.check_entries(request.entry_ids, rules.MOST_IN_A_CALL)
        async with self._database.transaction() as connection:
            found, _ = await self._lock(connection, playlist_id, user_id)
            if await editing.remove(connection, playlist_id, entry_ids):
                await self._changed(connection, found, user_id, self._clock())
            answer = await shown(connection, playlist_id, user_id)
        return editing_pb2.RemoveEntriesResponse(playlist=answer)

    async def MoveEntry(
        self,
        request: editing_pb2.MoveEntryRequest,
        context: grpc.aio.ServicerContext[editing_pb2.MoveEntryRequest, editing_pb2.MoveEntryResponse],
    ) -> editing_pb2.MoveEntryResponse:
        """Put one entry of a playlist of the caller's own at another place among what is there now."""
        user_id, playlist_id = UserId(require_viewer().user_id), playlist_id_of(request.playlist_id)
        position = rules.check_position(request.position)
        if not is_id(request.entry_id):
            raise EntryNotFound(request.entry_id)
        entry_id = EntryId(request.entry_id)
        async with self._database.transaction() as connection:
            found, before = await self._lock(connection, playlist_id, user_id)
            order = rules.moved(before, entry_id, position)
            if order != [one.entry_id for one in before]:
                await editing.renumber(connection, playlist_id, order)
                await self._changed(connection, found, user_id, self._clock())
            answer = await shown(connection, playlist_id, user_id)
            after = await playlists.entries_of(connection, playlist_id)
        return editing_pb2.MoveEntryResponse(playlist=answer, entry=to_entry(after[order.index(entry_id)]))

    async def ReorderEntries(
        self,
        request: editing_pb2.ReorderEntriesRequest,
        context: grpc.aio.ServicerContext[editing_pb2.ReorderEntriesRequest, editing_pb2.ReorderEntriesResponse],
    ) -> editing_pb2.ReorderEntriesResponse:
        """Put all entries of a playlist of the caller's own in an order, unless somebody edited it in between."""
        entry_ids = rules.check_entries(request.entry_ids, rules.MOST_ENTRIES)
        answer = await self._reorder(
            request.playlist_id,
            request.version,
            lambda before: [one.entry_id for one in before] == entry_ids,
            lambda before: rules.reordered(before, entry_ids),
        )
        return editing_pb2.ReorderEntriesResponse(playlist=answer)

    async def ReorderByTracks(
        self,
        request: editing_pb2.ReorderByTracksRequest,
        context: grpc.aio.ServicerContext[editing_pb2.ReorderByTracksRequest, editing_pb2.ReorderByTracksResponse],
    ) -> editing_pb2.ReorderByTracksResponse:
        """Put all entries of a playlist of the caller's own in the order of these tracks."""
        track_ids = rules.check_track_order(request.track_ids)
        answer = await self._reorder(
            request.playlist_id,
            request.version,
            lambda before: [one.track_id for one in before] == track_ids,
            lambda before: rules.reordered_by_tracks(before, track_ids),
        )
        return editing_pb2.ReorderByTracksResponse(playlist=answer)

    async def CopyPlaylist(
        self,
        request: editing_pb2.CopyPlaylistRequest,
        context: grpc.aio.ServicerContext[editing_pb2.CopyPlaylistRequest, editing_pb2.CopyPlaylistResponse],
    ) -> editing_pb2.CopyPlaylistResponse:
        """Save a playlist as a private one of the caller's own."""
        user_id, key = UserId(require_viewer().user_id), check_key(request.idempotency_key)
        playlist_id = playlist_id_of(request.playlist_id)
        title = fields.line(request.title, "title", longest=LONGEST_TITLE)
        claim = Claim(user_id, "CopyPlaylist", key, digest_of(playlist_id=playlist_id, title=title))
        async with self._database.transaction() as connection:
            await accounts.lock_person(connection, user_id)
            copy_id = await copied(connection, claim, playlist_id, title, self._playlists_per_user, self._clock())
            answer = await shown(connection, copy_id, user_id)
        return editing_pb2.CopyPlaylistResponse(playlist=answer)

    async def BatchGetPlaylists(
        self,
        request: editing_pb2.BatchGetPlaylistsRequest,
        context: grpc.aio.ServicerContext[editing_pb2.BatchGetPlaylistsRequest, editing_pb2.BatchGetPlaylistsResponse],
    ) -> editing_pb2.BatchGetPlaylistsResponse:
        """Return those of these playlists that the caller may open, without entries."""
        fields.count(len(request.playlist_ids), "playlist_ids", _MOST_PLAYLISTS)
        viewer_id, wanted = person(), [PlaylistId(one) for one in request.playlist_ids if is_id(one)]
        async with self._database.connection() as connection:
            found = await playlists.find_playlists(connection, wanted)
            seen = [one for one in found if may_open(thing_of(one), viewer_id, is_admin=is_admin())]
            liked = await engagement.liked_among(connection, viewer_id, [one.playlist_id for one in seen])
        return editing_pb2.BatchGetPlaylistsResponse(
            playlists=[to_playlist(one, viewer_id, one.playlist_id in liked) for one in seen]
        )

    async def GetPlaylistBySlug(
        self,
        request: editing_pb2.GetPlaylistBySlugRequest,
        context: grpc.aio.ServicerContext[editing_pb2.GetPlaylistBySlugRequest, editing_pb2.GetPlaylistBySlugResponse],
    ) -> editing_pb2.GetPlaylistBySlugResponse:
        """Return a public or unlisted playlist by its link."""
        slug = fields.line(request.share_slug, "share_slug", longest=_LONGEST_SLUG, is_required=True)
        viewer_id = person()
        async with self._database.snapshot() as connection:
            found = await playlists.find_by_slug(connection, slug)
            if found is None or found.visibility is Visibility.PRIVATE or not may_open(thing_of(found), viewer_id):
                raise PlaylistNotFound(slug, "share_slug")
            entries = await playlists.entries_of(connection, found.playlist_id)
            liked = await engagement.liked_among(connection, viewer_id, [found.playlist_id])
        return editing_pb2.GetPlaylistBySlugResponse(
            playlist=to_playlist(found, viewer_id, found.playlist_id in liked),
            entries=[to_entry(one) for one in entries],
        )

    async def RotateShareSlug(
        self,
        request: editing_pb2.RotateShareSlugRequest,
        context: grpc.aio.ServicerContext[editing_pb2.RotateShareSlugRequest, editing_pb2.RotateShareSlugResponse],
    ) -> editing_pb2.RotateShareSlugResponse:
        """Give a playlist of the caller's own another link; the same key gives it one other link."""
        user_id, playlist_id = UserId(require_viewer().user_id), playlist_id_of(request.playlist_id)
        claim = Claim(
            user_id,
            "RotateShareSlug",
            check_key(request.idempotency_key or new_id()),
            digest_of(playlist_id=playlist_id),
        )
        made, now = new_id(), self._clock()
        async with self._database.transaction() as connection:
            found, _ = await self._lock(connection, playlist_id, user_id)
            if await claim.bind(connection, made, now) == made:
                await editing.rotate_slug(connection, playlist_id)
                await self._changed(connection, found, user_id, now)
            answer = await shown(connection, playlist_id, user_id)
        return editing_pb2.RotateShareSlugResponse(playlist=answer)

    async def BatchListEntries(
        self,
        request: editing_pb2.BatchListEntriesRequest,
        context: grpc.aio.ServicerContext[editing_pb2.BatchListEntriesRequest, editing_pb2.BatchListEntriesResponse],
    ) -> editing_pb2.BatchListEntriesResponse:
        """Return the same part of the entries of those of these playlists that the caller may open."""
        fields.count(len(request.playlist_ids), "playlist_ids", _MOST_PLAYLISTS)
        fields.integer(request.offset, "offset", 0, rules.MOST_ENTRIES)
        size, viewer_id = keys.page_size(request.page_size), person()
        wanted = [PlaylistId(one) for one in request.playlist_ids if is_id(one)]
        async with self._database.snapshot() as connection:
            seen = await first_pages.openable_among(connection, viewer_id, wanted)
            found = await first_pages.entries_of_each(connection, seen, request.offset, size + 1)
        return editing_pb2.BatchListEntriesResponse(
            playlists=[
                editing_pb2.EntriesOfPlaylist(
                    playlist_id=playlist_id,
                    entries=[to_entry(one) for one in entries[:size]],
                    has_more=len(entries) > size,
                )
                for playlist_id, entries in found.items()
            ]
        )

    async def _reorder(
        self,
        given_id: str,
        version: int,
        is_so: Callable[[Sequence[Entry]], bool],
        order: Callable[[Sequence[Entry]], list[EntryId]],
    ) -> playlists_pb2.Playlist:
        """Set a whole order; one that is so already stays, whatever the version: the request may have come before."""
        user_id, playlist_id = UserId(require_viewer().user_id), playlist_id_of(given_id)
        fields.integer(version, "version", 1, 2**62)
        async with self._database.transaction() as connection:
            found, before = await self._lock(connection, playlist_id, user_id)
            if not is_so(before):
                if version != found.version:
                    raise VersionConflict(version, found.version)
                await editing.renumber(connection, playlist_id, order(before))
                await self._changed(connection, found, user_id, self._clock())
            return await shown(connection, playlist_id, user_id)

    async def _lock(
        self, connection: Connection, playlist_id: PlaylistId, user_id: UserId
    ) -> tuple[Playlist, list[Entry]]:
        await accounts.lock_person(connection, user_id)
        found = await playlists.lock_own(connection, playlist_id, user_id)
        return found, await playlists.entries_of(connection, playlist_id)

    async def _changed(self, connection: Connection, found: Playlist, user_id: UserId, now: datetime) -> None:
        version = await editing.touch(connection, found.playlist_id, now)
        await outbox.add(connection, playlist_changed(found.playlist_id, user_id, version, now))
