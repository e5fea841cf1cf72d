"""One's sessions: what they are, and ending them."""

from datetime import datetime
from enum import Enum
from typing import Annotated, Self

import strawberry
from strawberry import field

from museed.social.v1 import sessions_pb2
from services.chassis import auth
from services.gateway.context import Info
from services.gateway.ids import decode_id
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import identity, member, mutation, resolver
from services.gateway.schema.login import forget_cookie
from services.gateway.schema.paging import After, Connection, First, connection_from_page, page_request
from services.gateway.schema.values import optional_datetime, to_datetime


@strawberry.enum(description="What a session stands for.")
class SessionKind(Enum):
    """Social's kinds."""

    LOGIN = member(sessions_pb2.SESSION_KIND_LOGIN, "Somebody logged in.")
    API = member(sessions_pb2.SESSION_KIND_API, "An API token of the person's.")


@strawberry.type(description="A session of the caller's that has not ended.")
class Session:
    """Where somebody is logged in."""

    id: strawberry.ID = identity("Session", "session_id")
    session_id: strawberry.ID = field(description="Its UUID.")
    kind: SessionKind = field(description="What it stands for.")
    user_agent: str = field(description="What the program said of itself at its start; empty when it said nothing.")
    network: str = field(
        description="Network that it was started from, an address cut to /24 or /64; empty when it is not known."
    )
    created_at: datetime = field(description="When it was started.")
    seen_at: datetime | None = field(description="When it last asked for new tokens; null before the first time.")
    is_current: bool = field(description="Whether it is the one that asks.")

    @classmethod
    def from_message(cls, message: sessions_pb2.Session) -> Self:
        """Translate social's message."""
        return cls(
            session_id=strawberry.ID(message.session_id),
            kind=SessionKind(message.kind),
            user_agent=message.user_agent,
            network=message.client,
            created_at=to_datetime(message.created_at),
            seen_at=optional_datetime(message, "seen_at"),
            is_current=message.is_current,
        )


@strawberry.input(description="A session to end.")
class RevokeSessionInput:
    """For `revokeSession`."""

    session_id: strawberry.ID = field(description="UUID of the session.")


@strawberry.type(description="The session has ended: its tokens, sockets and stream addresses are void within 5 s.")
class RevokeSessionSuccess:
    """Of `revokeSession`."""

    session_id: strawberry.ID = field(description="The session.")


@strawberry.type(description="The other sessions have ended.")
class RevokeOtherSessionsSuccess:
    """Of `revokeOtherSessions`."""

    revoked_count: int = field(description="How many there were.")


RevokeSessionResult = Annotated[RevokeSessionSuccess | Refusal, strawberry.union("RevokeSessionResult")]
RevokeOtherSessionsResult = Annotated[
    RevokeOtherSessionsSuccess | Refusal, strawberry.union("RevokeOtherSessionsResult")
]


@strawberry.type
class SessionQuery:
    """Queries about sessions."""

    @resolver("The caller's sessions that have not ended, newest first.")
    async def my_sessions(self, info: Info, first: First = 20, after: After = None) -> Connection[Session] | None:
        """List them."""
        page = page_request(first, after)
        request = sessions_pb2.ListSessionsRequest(page_size=page.size, page_token=page.token)
        answer = await info.context.call(info.context.parts.upstream.sessions.ListSessions, request)
        nodes = [Session.from_message(each) for each in answer.sessions]
        return connection_from_page(page, nodes, answer.next_page_token)


@strawberry.type
class SessionMutation:
    """Mutations of sessions."""

    @mutation("Ends a session of the caller's, the current one too. API tokens may not.")
    async def revoke_session(self, info: Info, input: RevokeSessionInput) -> RevokeSessionResult:
        """Pass it on."""
        session_id = decode_id(input.session_id, "Session", "sessionId")
        request = sessions_pb2.RevokeSessionRequest(session_id=session_id)
        await info.context.call(info.context.parts.upstream.sessions.RevokeSession, request)
        who = auth.viewer()
        if who is not None and who.session_id == session_id:
            forget_cookie(info.context)
        return RevokeSessionSuccess(session_id=strawberry.ID(session_id))

    @mutation("Ends every session of the caller's but the current one and those of API tokens. API tokens may not.")
    async def revoke_other_sessions(self, info: Info) -> RevokeOtherSessionsResult:
        """Ask social to end them."""
        method = info.context.parts.upstream.sessions.RevokeOtherSessions
        answer = await info.context.call(method, sessions_pb2.RevokeOtherSessionsRequest())
        return RevokeOtherSessionsSuccess(revoked_count=answer.revoked_count)
