"""Playlists as they are read: one with its entries, by id or by link, and one's own."""

from collections.abc import Sequence
from datetime import datetime
from enum import Enum
from typing import Annotated, ClassVar, Self

import strawberry
from strawberry import field, relay

from museed.social.v1 import editing_pb2, feed_pb2, playlists_pb2
from services.gateway.context import Info, RequestContext
from services.gateway.errors import asked_by
from services.gateway.ids import decode_id
from services.gateway.playlist_loaders import EntriesKey, PageKey
from services.gateway.schema.comment import Comment, comments_of
from services.gateway.schema.fields import AnyId, identity, member, resolver
from services.gateway.schema.liker import LikerConnection, likers_of
from services.gateway.schema.paging import (
    MAX_PAGE_SIZE,
    After,
    Connection,
    First,
    connection_from_page,
    connection_from_part,
    list_window,
    page_request,
)
from services.gateway.schema.playlist_format import PlaylistFormat, export_url
from services.gateway.schema.reason import EntryReason
from services.gateway.schema.recipe import Recipe, load_recipe
from services.gateway.schema.schedule import Schedule, load_schedule
from services.gateway.schema.track import Track, load_track, track_by
from services.gateway.schema.user import User, load_user, user_by
from services.gateway.schema.values import round_single, to_datetime

# As many as social keeps; a page beyond them is empty.
MAX_ENTRIES = 1000

ShareSlug = Annotated[str, strawberry.argument(description="Last part of the link, 22 characters.")]


@strawberry.enum(description="Who may open a playlist.")
class Visibility(Enum):
    """Social's values."""

    PRIVATE = member(playlists_pb2.VISIBILITY_PRIVATE, "Its owner.")
    UNLISTED = member(playlists_pb2.VISIBILITY_UNLISTED, "Everybody who knows its id; it is listed nowhere.")
    PUBLIC = member(playlists_pb2.VISIBILITY_PUBLIC, "Everybody.")


@strawberry.type(description="A place in a playlist; a track may stand twice.")
class PlaylistEntry:
    """A place and why its track is there."""

    id: strawberry.ID = identity("PlaylistEntry", "entry_id")
    entry_id: strawberry.ID = field(description="UUID of the place itself.")
    position: int = field(description="From 0.")
    is_seed: bool = field(description="True for a seed that the list grew from.")
    similarity: float | None = field(description="Cosine to the seeds, −1 to 1; null when a person put it there.")
    shared_tags: list[str] = field(description="Tags shared with a seed, best first.")
    track_id: strawberry.ID = field(description="UUID of the track.")
    reason: EntryReason | None = field(description="Why it stands here; null when a person put it there.")
    added_by_id: strawberry.ID | None = field(description="UUID of who put it there by hand; null where nobody did.")

    @resolver("Who put it there by hand; null where it was generated.", user_by("added_by_id"))
    async def added_by(self, info: Info) -> User | None:
        """Load the person together with all others of the document."""
        return await load_user(info.context, self.added_by_id)

    @resolver("The track; null when it was deleted.", track_by("track_id"))
    async def track(self, info: Info) -> Track | None:
        """Load it together with all others of the document."""
        return await load_track(info.context, self.track_id)

    @classmethod
    def from_message(cls, message: playlists_pb2.PlaylistEntry, playlist_id: str) -> Self:
        """Translate social's message."""
        return cls(
            entry_id=strawberry.ID(message.entry_id),
            position=message.position,
            is_seed=message.is_seed,
            similarity=round_single(message.similarity) if message.HasField("similarity") else None,
            shared_tags=list(message.shared_tags),
            track_id=strawberry.ID(message.track_id),
            reason=EntryReason.from_message(message, playlist_id),
            added_by_id=strawberry.ID(message.added_by) if message.added_by else None,
        )


@strawberry.type(description="A list of tracks with an owner.")
class Playlist(relay.Node):
    """A playlist, with its entries where they came along."""

    _id_attr: ClassVar[str | None] = "playlist_id"

    playlist_id: strawberry.ID = field(description="Its UUID.")
    title: str = field(description="1 to 200 characters.")
    description: str = field(description="At most 2,000 characters.")
    visibility: Visibility = field(description="Who may open it.")
    entry_count: int = field(description="Number of entries.")
    duration_seconds: float = field(description="Sum of the tracks' lengths.")
    encoder_id: str | None = field(description="Model whose ear chose the tracks; null when a person did.")
    version: int = field(description="Rises with every edit; give it back when you edit.")
    created_at: datetime = field(description="When it was made.")
    updated_at: datetime = field(description="When it was last edited.")
    owner_id: strawberry.ID = field(description="UUID of its owner.")
    has_recipe: bool = field(description="Whether its recipe is kept, so that it can be made again.")
    share_slug: str | None = field(description="Last part of its link; null where the caller is not told.")
    copied_from_id: strawberry.ID | None = field(
        description="UUID of the playlist that it was saved from, where the caller may know."
    )
    like_count: int = field(description="Likes; in lists at most a second behind.")
    save_count: int = field(description="Copies that others saved; in lists at most a second behind.")
    comment_count: int = field(description="Comments; in lists at most a second behind.")
    listed_at: datetime | None = field(description="When it was made public; null where it is not.")
    is_hidden: bool = field(description="Whether admins hid it: then only its owner gets it.")
    is_liked: bool | None = field(description="Whether the caller likes it; null for guests.")
    loaded_entries: strawberry.Private[Sequence[playlists_pb2.PlaylistEntry] | None]

    @resolver("Its owner.", user_by("owner_id"))
    async def owner(self, info: Info) -> User | None:
        """Load the owner together with all others of the document."""
        return await load_user(info.context, self.owner_id)

    @resolver("The playlist that it was saved from; null for an original, and where the caller may not open that.")
    async def copied_from(self, info: Info) -> "Playlist | None":
        """Load it together with all others of the document."""
        return await find_playlist(info.context, self.copied_from_id or "")

    @resolver("Its page for people without the app. It opens while the playlist is unlisted or public.")
    def share_url(self, info: Info) -> str | None:
        """Put the link together."""
        return f"{info.context.parts.settings.public_url}/p/{self.share_slug}" if self.share_slug else None

    @resolver(
        "Address of the playlist as a file. That of a private one is good as long as the access token that asks, at "
        "most 15 minutes, and no longer than its session; one for other programs comes with a stream token."
    )
    def export_url(
        self, info: Info, format: Annotated[PlaylistFormat, strawberry.argument(description="Format of the file.")]
    ) -> str:
        """Put the address together."""
        is_closed = self.visibility is Visibility.PRIVATE or self.is_hidden
        return export_url(info.context, self.playlist_id, format, is_closed=is_closed)

    @resolver("What people say of it, newest first, without those whom a block keeps apart from the caller.")
    async def comments(self, info: Info, first: First = 20, after: After = None) -> Connection[Comment] | None:
        """List them together with those of all other playlists of the document."""
        return await comments_of(info.context, self.playlist_id, first, after)

    @resolver("Who likes it, newest first.")
    async def likers(self, info: Info, first: First = 20, after: After = None) -> LikerConnection | None:
        """List them together with those of all other playlists of the document."""
        return await likers_of(info.context, self.playlist_id, first, after)

    @resolver("Its tracks in playing order; null with an error while they cannot be had.")
    async def entries(
        self, info: Info, first: First = MAX_PAGE_SIZE, after: After = None
    ) -> Connection[PlaylistEntry] | None:
        """Page through the list that came along, or load this part of it together with those of other playlists."""
        page = page_request(first, after)
        offset, end = list_window(page)
        if (loaded := self.loaded_entries) is not None:
            return connection_from_part(offset, self._entries(loaded[offset:end]), has_next_page=end < len(loaded))
        key = EntriesKey(self.playlist_id, min(offset, MAX_ENTRIES), end - offset)
        found = await info.context.loaders.of_playlists.entries.load(key)
        entries = [] if found is None else self._entries(found.entries)
        return connection_from_part(key.offset, entries, has_next_page=found is not None and found.has_more)

    @resolver("What it was made from; null where nothing is kept, and to others than its owner.")
    async def recipe(self, info: Info) -> Recipe | None:
        """Load it together with all others of the document."""
        return await load_recipe(info.context, self.playlist_id) if self.has_recipe else None

    @resolver("When it is made again by itself; null where it is not, and to others than its owner.")
    async def schedule(self, info: Info) -> Schedule | None:
        """Load it together with all others of the document."""
        return await load_schedule(info.context, self.playlist_id)

    def _entries(self, messages: Sequence[playlists_pb2.PlaylistEntry]) -> list[PlaylistEntry]:
        return [PlaylistEntry.from_message(message, self.playlist_id) for message in messages]

    @classmethod
    def from_message(
        cls, message: playlists_pb2.Playlist, entries: Sequence[playlists_pb2.PlaylistEntry] | None = None
    ) -> Self:
        """Translate social's message; without entries they are loaded when they are asked for."""
        return cls(
            playlist_id=strawberry.ID(message.playlist_id),
            title=message.title,
            description=message.description,
            visibility=Visibility(message.visibility),
            entry_count=message.entry_count,
            duration_seconds=message.duration_seconds,
            encoder_id=message.encoder_id or None,
            version=message.version,
            created_at=to_datetime(message.created_at),
            updated_at=to_datetime(message.updated_at),
            owner_id=strawberry.ID(message.owner_id),
            has_recipe=message.has_recipe,
            share_slug=message.share_slug or None,
            copied_from_id=strawberry.ID(message.copied_from) if message.copied_from else None,
            like_count=message.like_count,
            save_count=message.save_count,
            comment_count=message.comment_count,
            listed_at=to_datetime(message.listed_at) if message.HasField("listed_at") else None,
            is_hidden=message.is_hidden,
            is_liked=message.is_liked if message.HasField("is_liked") else None,
            loaded_entries=entries,
        )


async def load_playlist(context: RequestContext, playlist_id: str) -> Playlist:
    """Return a playlist with its entries through the loader.

    Raises:
        NotFound: There is none, or it is somebody else's private one.
    """
    answer = await context.loaders.whole_playlists.load(playlist_id)
    return Playlist.from_message(answer.playlist, answer.entries)


async def find_playlist(context: RequestContext, playlist_id: str) -> Playlist | None:
    """Return a playlist through the loader, without its entries; None for no id, and what is not theirs to open."""
    message = await context.loaders.playlists.load(playlist_id) if playlist_id else None
    return None if message is None else Playlist.from_message(message)


async def playlists_of(context: RequestContext, user_id: str, first: int, after: str | None) -> Connection[Playlist]:
    """Return a person's public playlists: first pages of many people in one call, further ones by themselves."""
    page = page_request(first, after)
    found: feed_pb2.PlaylistsOfUser | feed_pb2.ListPlaylistsOfUserResponse | None
    if page.token:
        request = feed_pb2.ListPlaylistsOfUserRequest(user_id=user_id, page_size=page.size, page_token=page.token)
        found = await context.call(context.parts.upstream.feed.ListPlaylistsOfUser, request)
    else:
        found = await context.loaders.of_playlists.of_users.load(PageKey(user_id, page.size))
    playlists, next_token = ([], "") if found is None else (list(found.playlists), found.next_page_token)
    return connection_from_page(page, [Playlist.from_message(each) for each in playlists], next_token)


@strawberry.type
class PlaylistQuery:
    """Queries about playlists."""

    @resolver("A playlist by id; somebody else's private one is not found.")
    async def playlist(self, info: Info, id: AnyId) -> Playlist | None:
        """Load it."""
        with asked_by("id"):
            return await load_playlist(info.context, decode_id(id, "Playlist", "id"))

    @resolver("An unlisted or public playlist by the last part of its link; another is not found.")
    async def playlist_by_share_slug(self, info: Info, share_slug: ShareSlug) -> Playlist | None:
        """Ask social for it."""
        request = editing_pb2.GetPlaylistBySlugRequest(share_slug=share_slug)
        answer = await info.context.call(info.context.parts.upstream.editing.GetPlaylistBySlug, request)
        return Playlist.from_message(answer.playlist, answer.entries)

    @resolver("The caller's own playlists, newest first.")
    async def my_playlists(self, info: Info, first: First = 20, after: After = None) -> Connection[Playlist] | None:
        """List them."""
        page = page_request(first, after)
        request = playlists_pb2.ListMyPlaylistsRequest(page_size=page.size, page_token=page.token)
        answer = await info.context.call(info.context.parts.upstream.playlists.ListMyPlaylists, request)
        nodes = [Playlist.from_message(each) for each in answer.playlists]
        return connection_from_page(page, nodes, answer.next_page_token)
