"""What a resolver can reach: the parts of the process, and what this operation has loaded and spent."""

import secrets
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
import strawberry

from museed.social.v1 import catalog_pb2
from services.chassis import auth
from services.chassis.blobs import BlobStore
from services.chassis.errors import ResourceExhausted
from services.chassis.places import SERVER_BUSY
from services.chassis.server import limit_time, time_left_s
from services.gateway.auth import Authenticator
from services.gateway.budget import Budgets, bucket_key
from services.gateway.clients import Upstream
from services.gateway.cookies import Browser
from services.gateway.counts import GatewayCounts
from services.gateway.execution import Selections
from services.gateway.live.live import Live
from services.gateway.loaders import Loaders
from services.gateway.programs import USER_AGENT_METADATA, program_name
from services.gateway.sealing import TokenSealer
from services.gateway.settings import GatewaySettings
from services.gateway.signing import StreamSigner
from services.gateway.transcoding.formats import AudioFormat, check_query
from services.gateway.transcoding.transcoder import Transcoder
from services.gateway.trusted import TrustedDocuments

# A document that needs more than this asks for lists of lists: it is told so instead of being served slowly.
MAX_UPSTREAM_CALLS = 40

# What an address of an upload's audio has signed beside its id: where the bytes lie, and what they are.
UPLOAD_FACTS = ("digest", "type")

Q = TypeVar("Q")
R = TypeVar("R")


def upload_subject(upload_id: str) -> str:
    """Return what a signed address of an upload's audio opens."""
    return f"upload {upload_id}"


def upload_facts(upload: catalog_pb2.Upload) -> dict[str, str]:
    """Return what is signed with it, by UPLOAD_FACTS."""
    return dict(zip(UPLOAD_FACTS, (upload.digest.hex(), upload.content_type), strict=True))


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of the process, built once by `__main__`."""

    settings: GatewaySettings
    upstream: Upstream
    authenticator: Authenticator
    signer: StreamSigner
    live: Live
    blobs: BlobStore
    budgets: Budgets
    trusted: TrustedDocuments
    transcoder: Transcoder
    counts: GatewayCounts = field(default_factory=GatewayCounts)


@dataclass
class RequestContext:
    """Context of one operation. That of a WebSocket is the pattern from which each of its operations gets its own.

    Attributes:
        parts: The parts of the process.
        authorization: Header of the HTTP request; None on a WebSocket, where `connection_params` has it.
        connection_params: Payload of connection_init, set by Strawberry.
        is_socket: Whether it came over a WebSocket.
        guest_nonce: Stands for a guest in signed addresses.
        user_agent: What the program that asks says of itself.
        browser: Where a cookie can be kept; None on a WebSocket.
        selections: What its document selects, where that is known from others who asked it.
    """

    parts: Parts
    authorization: str | None = None
    connection_params: dict[str, Any] | None = None
    is_socket: bool = False
    guest_nonce: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    user_agent: str = ""
    browser: Browser | None = None

    def __post_init__(self) -> None:
        self.calls_made = 0
        self.selections: Selections | None = None
        self.refresh()

    def refresh(self) -> None:
        """Forget what was loaded, and start a new budget: for the next event of a subscription."""
        self.calls_made = 0
        self.forget_loaded()

    def forget_loaded(self) -> None:
        """Read anew what is asked for from now on: something is about to change it."""
        self._loaders: Loaders | None = None

    def begin_event(self) -> None:
        """Give what follows in a subscription a budget of calls and of time, whenever the last event was."""
        self.refresh()
        limit_time(self.parts.settings.request_timeout_s)

    @property
    def loaders(self) -> Loaders:
        """What loads in batches; made when it is wanted, since an open socket would hold 50 KiB of it for nothing."""
        if self._loaders is None:
            self._loaders = Loaders(self.parts.upstream, self.call)
        return self._loaders

    def for_operation(self) -> "RequestContext":
        """Return a context for one operation of this request or socket."""
        return RequestContext(
            self.parts,
            self.authorization,
            self.connection_params,
            self.is_socket,
            self.guest_nonce,
            self.user_agent,
            self.browser,
        )

    async def authenticate(self) -> None:
        """Bind this task to the sender.

        Raises:
            Unauthenticated: TOKEN_INVALID, TOKEN_EXPIRED or SESSION_REVOKED.
            Unavailable: Tokens cannot be verified now.
        """
        authorization = self.authorization
        if authorization is None and self.connection_params is not None:
            given = self.connection_params.get("authorization") or self.connection_params.get("Authorization")
            authorization = given if isinstance(given, str) else None
        await self.parts.authenticator.bind(authorization)

    def forget_sender(self) -> None:
        """Bind this task to nobody, whatever was sent."""
        auth.bind("", None)

    async def call(
        self,
        method: grpc.aio.UnaryUnaryMultiCallable[Q, R],
        request: Q,
        *,
        extra_time_s: float = 0.0,
        names_program: bool = False,
    ) -> R:
        """Call upstream with a deadline, within this operation's budget of calls.

        Args:
            method: Of a stub of `parts.upstream`.
            request: What it takes.
            extra_time_s: What upstream was asked to wait for.
            names_program: Whether upstream is told `user_agent`, because it begins a session.

        Raises:
            ResourceExhausted: QUERY_TOO_COSTLY.
            DomainError: What upstream says.
        """
        self.calls_made += 1
        if self.calls_made > MAX_UPSTREAM_CALLS:
            raise ResourceExhausted(
                f"this document needs more than {MAX_UPSTREAM_CALLS} calls to other services",
                reason="QUERY_TOO_COSTLY",
                field="query",
                limit=MAX_UPSTREAM_CALLS,
            )
        timeout_s = _share(self.parts.settings.upstream_timeout_s + extra_time_s)
        said = program_name(self.user_agent) if names_program else ""
        with self.parts.budgets.times.calling(bucket_key()):
            try:
                return await method(request, timeout=timeout_s, metadata=((USER_AGENT_METADATA, said),) if said else ())
            except ResourceExhausted as refusal:
                if refusal.reason == SERVER_BUSY:
                    self.parts.upstream.on_busy()
                raise

    def stream_url(self, track_id: str, wanted: AudioFormat | None = None, max_bit_rate: int | None = None) -> str:
        """Return the signed address of a track's audio, bound to the viewer's session where there is one.

        Args:
            track_id: UUID.
            wanted: Format to send it in; None leaves that to `max_bit_rate`.
            max_bit_rate: In kbit/s.

        Raises:
            InvalidArgument: BIT_RATE_OUT_OF_RANGE.
        """
        viewer = auth.viewer()
        query = self.parts.signer.query(
            track_id, session_id=viewer.session_id if viewer else "", guest_nonce=self.guest_nonce
        )
        query += check_query(wanted, max_bit_rate)
        return f"{self.parts.settings.public_url}/tracks/{track_id}/stream?{query}"

    def sealed_query(self, subject: str) -> str:
        """Return what makes an address act for the caller, for one thing; empty for guests."""
        key = self.parts.settings.url_signing_key.get_secret_value().encode()
        return TokenSealer(key).query(subject, auth.bearer_token())

    def upload_stream_url(
        self, upload: catalog_pb2.Upload, wanted: AudioFormat | None = None, max_bit_rate: int | None = None
    ) -> str:
        """Return the signed address of the audio of an upload of the viewer's, bound to their session.

        Raises:
            InvalidArgument: BIT_RATE_OUT_OF_RANGE.
        """
        query = self.parts.signer.query(
            upload_subject(upload.upload_id), session_id=auth.require_viewer().session_id, facts=upload_facts(upload)
        )
        query += check_query(wanted, max_bit_rate)
        return f"{self.parts.settings.public_url}/uploads/{upload.upload_id}/stream?{query}"


def _share(wanted_s: float) -> float:
    """Return how long a call may take: at most half of what is left of its operation.

    So one service that hangs never takes the time of those that are asked after it, and the operation answers in time.
    """
    left_s = time_left_s()
    return wanted_s if left_s is None else min(wanted_s, left_s / 2)


Info = strawberry.Info[RequestContext, None]
