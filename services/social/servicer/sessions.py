"""gRPC in: the sessions of the caller."""

from collections.abc import Callable
from datetime import datetime

import grpc

from museed.social.v1 import sessions_pb2, sessions_pb2_grpc
from services.chassis.auth import require_viewer
from services.social.domain import paging
from services.social.domain.ids import SessionId, UserId, is_id
from services.social.domain.sessions import Ending, Session, SessionKind
from services.social.errors.sessions import SessionNotFound
from services.social.store import accounts, sessions
from services.social.store.database import Database
from services.social.wire import timestamp

_DEFAULT_PAGE, _LARGEST_PAGE = 20, 100


class SessionServicer(sessions_pb2_grpc.SessionServiceServicer):
    """Serves SessionService. A session that is somebody else's is as good as none."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    async def ListSessions(
        self,
        request: sessions_pb2.ListSessionsRequest,
        context: grpc.aio.ServicerContext[sessions_pb2.ListSessionsRequest, sessions_pb2.ListSessionsResponse],
    ) -> sessions_pb2.ListSessionsResponse:
        """List the caller's living sessions, newest first."""
        who = require_viewer()
        size = paging.page_size(request.page_size, _DEFAULT_PAGE, _LARGEST_PAGE)
        scope = f"ListSessions {who.user_id}"
        key = paging.decode_token(scope, request.page_token, [is_id])
        before = None if key is None else SessionId(str(key[0]))
        async with self._database.connection() as connection:
            found = await sessions.living_sessions(connection, UserId(who.user_id), self._clock(), before, size + 1)
        page = paging.cut(found, size, scope, lambda one: (one.session_id,))
        return sessions_pb2.ListSessionsResponse(
            sessions=[_session(one, who.session_id) for one in page.items], next_page_token=page.next_token
        )

    async def RevokeSession(
        self,
        request: sessions_pb2.RevokeSessionRequest,
        context: grpc.aio.ServicerContext[sessions_pb2.RevokeSessionRequest, sessions_pb2.RevokeSessionResponse],
    ) -> sessions_pb2.RevokeSessionResponse:
        """End a session of the caller's; ending it again is done already."""
        session_id, user_id = SessionId(request.session_id), UserId(require_viewer().user_id)
        if not is_id(session_id):
            raise SessionNotFound(session_id)
        async with self._database.transaction() as connection:
            if not await sessions.is_own(connection, session_id, user_id):
                raise SessionNotFound(session_id)
            await sessions.end_session(connection, session_id, Ending.REVOKED, self._clock())
        return sessions_pb2.RevokeSessionResponse()

    async def RevokeOtherSessions(
        self,
        request: sessions_pb2.RevokeOtherSessionsRequest,
        context: grpc.aio.ServicerContext[
            sessions_pb2.RevokeOtherSessionsRequest, sessions_pb2.RevokeOtherSessionsResponse
        ],
    ) -> sessions_pb2.RevokeOtherSessionsResponse:
        """End every session of the caller's but this one and those of API tokens."""
        who = require_viewer()
        user_id, current = UserId(who.user_id), SessionId(who.session_id)
        async with self._database.transaction() as connection:
            await accounts.lock_person(connection, user_id)
            count = await sessions.end_sessions_of(
                connection, user_id, Ending.REVOKED, self._clock(), kinds=(SessionKind.LOGIN,), but=current
            )
        return sessions_pb2.RevokeOtherSessionsResponse(revoked_count=count)


def _session(one: Session, current_id: str) -> sessions_pb2.Session:
    return sessions_pb2.Session(
        session_id=one.session_id,
        kind=sessions_pb2.SessionKind.Value(f"SESSION_KIND_{one.kind.value}"),
        user_agent=one.origin.user_agent,
        client=one.origin.client,
        created_at=timestamp(one.created_at),
        seen_at=None if one.seen_at is None else timestamp(one.seen_at),
        is_current=one.session_id == current_id,
    )
