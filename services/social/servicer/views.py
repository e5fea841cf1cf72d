"""gRPC in: what the caller may see, asked for many things at once."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence

import grpc

from museed.social.v1 import access_pb2, access_pb2_grpc
from services.social.domain import fields
from services.social.domain.ids import UserId, is_id
from services.social.errors import Malformed, Missing
from services.social.servicer import keys
from services.social.store import views
from services.social.store.database import Connection, Database

_MOST_THINGS = 500

_Seen = Callable[[Connection, UserId | None, Sequence[str]], Awaitable[set[str]]]
_SEEN: dict[int, _Seen] = {
    access_pb2.THING_KIND_PLAYLIST: views.playlists_seen,
    access_pb2.THING_KIND_JOB: views.jobs_seen,
    access_pb2.THING_KIND_NOTIFICATION: views.notifications_seen,
    access_pb2.THING_KIND_ACTIVITY: views.activities_seen,
    access_pb2.THING_KIND_USER: views.people_seen,
    access_pb2.THING_KIND_COMMENT: views.comments_seen,
}
_KINDS = "PLAYLIST, JOB, NOTIFICATION, ACTIVITY, USER or COMMENT"


class ViewServicer(access_pb2_grpc.ViewServiceServicer):
    """Serves ViewService."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def CanView(
        self,
        request: access_pb2.CanViewRequest,
        context: grpc.aio.ServicerContext[access_pb2.CanViewRequest, access_pb2.CanViewResponse],
    ) -> access_pb2.CanViewResponse:
        """Say of each thing whether the caller may see it, with one statement for each kind."""
        if not request.things:
            raise Missing("things")
        fields.count(len(request.things), "things", _MOST_THINGS)
        ids: defaultdict[int, set[str]] = defaultdict(set)
        for number, thing in enumerate(request.things):
            if thing.kind not in _SEEN:
                raise Malformed(f"things[{number}].kind", thing.kind, _KINDS)
            if is_id(thing.id):
                ids[thing.kind].add(thing.id)
        viewer_id = keys.viewer_id()
        async with self._database.connection() as connection:
            seen = {kind: await _SEEN[kind](connection, viewer_id, sorted(of_kind)) for kind, of_kind in ids.items()}
        return access_pb2.CanViewResponse(can_view=[thing.id in seen.get(thing.kind, ()) for thing in request.things])
