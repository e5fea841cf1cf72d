"""Relay's `node`: anything that has a global id."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated

import strawberry
from strawberry import relay

from services.chassis import auth
from services.chassis.errors import InvalidArgument, NotFound
from services.gateway.context import Info, RequestContext
from services.gateway.errors import asked_by
from services.gateway.ids import decode_global_id
from services.gateway.schema.account import read_viewer
from services.gateway.schema.album import load_album, require_album
from services.gateway.schema.artist import load_artist, require_artist
from services.gateway.schema.comment import find_comment, require_comment
from services.gateway.schema.fields import GlobalId, resolver
from services.gateway.schema.job import read_job
from services.gateway.schema.paging import MAX_PAGE_SIZE
from services.gateway.schema.playlist import find_playlist, load_playlist
from services.gateway.schema.privacy import read_export
from services.gateway.schema.track import load_track, require_track
from services.gateway.schema.upload import read_upload
from services.gateway.schema.user import User, load_user

_Load = Callable[[RequestContext, str], Awaitable[relay.Node | None]]
# What can be had by the hundred.
_LOADERS: dict[str, _Load] = {
    "Track": load_track,
    "Artist": load_artist,
    "Album": load_album,
    "Playlist": find_playlist,
    "Comment": find_comment,
    "User": load_user,
}
GlobalIds = Annotated[
    list[strawberry.ID], strawberry.argument(description="What the fields `id` of things give, at most 100.")
]


@strawberry.type
class NodeQuery:
    """The query by global id."""

    @resolver("Anything by its global `id`.")
    async def node(self, info: Info, id: GlobalId) -> relay.Node | None:
        """Load it by its type."""
        with asked_by("id"):
            return await _load(info.context, id)

    @resolver(
        "Tracks, artists, albums, playlists, comments and people by their global ids, in their order; null for what is "
        "not there, and for what the caller may not see."
    )
    async def nodes(self, info: Info, ids: GlobalIds) -> list[relay.Node | None] | None:
        """Load what is of one type together."""
        if len(ids) > MAX_PAGE_SIZE:
            raise InvalidArgument(
                f"{len(ids)} ids, the limit is {MAX_PAGE_SIZE}",
                reason="TOO_MANY_IDS",
                field="ids",
                value=len(ids),
                limit=MAX_PAGE_SIZE,
            )
        wanted = [_loader(given, f"ids[{place}]") for place, given in enumerate(ids)]
        return list(await asyncio.gather(*(load(info.context, node_id) for load, node_id in wanted)))


def _loader(given: str, field: str) -> tuple[_Load, str]:
    kind, node_id = decode_global_id(given, field)
    load = _LOADERS.get(kind)
    if load is None:
        raise InvalidArgument(
            f"a {kind} cannot be had together with others, ask for it by node",
            reason="ID_OF_ANOTHER_TYPE",
            field=field,
            value=given,
            limit=", ".join(_LOADERS),
        )
    return load, node_id


async def _load(context: RequestContext, id: str) -> relay.Node:
    kind, node_id = decode_global_id(id, "id")
    if kind == "Track":
        return await require_track(context, node_id, "id")
    if kind == "Artist":
        return await require_artist(context, node_id, "id")
    if kind == "Album":
        return await require_album(context, node_id, "id")
    if kind == "Upload":
        return await read_upload(context, node_id)
    if kind == "Playlist":
        return await load_playlist(context, node_id)
    if kind == "Comment":
        return await require_comment(context, node_id)
    if kind == "Job":
        return await read_job(context, node_id)
    if kind == "DataExport":
        return await read_export(context, node_id)
    if kind == "Viewer":
        if auth.require_viewer().user_id != node_id:
            raise NotFound("this is somebody else's account", reason="USER_NOT_FOUND", field="id", value=id)
        return await read_viewer(context)
    if kind == "User":
        message = await context.loaders.users.load(node_id)
        if message is None:
            raise NotFound("there is no such user", reason="USER_NOT_FOUND", field="id", value=id)
        return User.from_message(message)
    raise InvalidArgument("nothing of this type has an id", reason="ID_INVALID", field="id", value=id)
