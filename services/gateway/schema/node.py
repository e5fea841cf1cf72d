"""Relay's `node`: anything that has a global id."""

import strawberry
from strawberry import relay

from services.chassis import auth
from services.chassis.errors import InvalidArgument, NotFound
from services.gateway.context import Info
from services.gateway.ids import decode_global_id
from services.gateway.schema.account import read_viewer
from services.gateway.schema.album import require_album
from services.gateway.schema.artist import require_artist
from services.gateway.schema.comment import require_comment
from services.gateway.schema.fields import GlobalId, resolver
from services.gateway.schema.job import read_job
from services.gateway.schema.playlist import load_playlist
from services.gateway.schema.privacy import read_export
from services.gateway.schema.track import require_track
from services.gateway.schema.upload import read_upload
from services.gateway.schema.user import User


@strawberry.type
class NodeQuery:
    """The query by global id."""

    @resolver("Anything by its global `id`.")
    async def node(self, info: Info, id: GlobalId) -> relay.Node | None:
        """Load it by its type."""
        kind, node_id = decode_global_id(id, "id")
        if kind == "Track":
            return await require_track(info.context, node_id, "id")
        if kind == "Artist":
            return await require_artist(info.context, node_id, "id")
        if kind == "Album":
            return await require_album(info.context, node_id, "id")
        if kind == "Upload":
            return await read_upload(info.context, node_id)
        if kind == "Playlist":
            return await load_playlist(info.context, node_id)
        if kind == "Comment":
            return await require_comment(info.context, node_id)
        if kind == "Job":
            return await read_job(info.context, node_id)
        if kind == "DataExport":
            return await read_export(info.context, node_id)
        if kind == "Viewer":
            if auth.require_viewer().user_id != node_id:
                raise NotFound("this is somebody else's account", reason="USER_NOT_FOUND", field="id", value=id)
            return await read_viewer(info.context)
        if kind == "User":
            message = await info.context.loaders.users.load(node_id)
            if message is None:
                raise NotFound("there is no such user", reason="USER_NOT_FOUND", field="id", value=id)
            return User.from_message(message)
        raise InvalidArgument("nothing of this type has an id", reason="ID_INVALID", field="id", value=id)
