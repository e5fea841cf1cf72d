"""What the retriever asks of social: one thin function per remote call, each with a timeout."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import grpc.aio

from museed.social.v1 import accounts_pb2, accounts_pb2_grpc, encoders_pb2, encoders_pb2_grpc
from services.chassis.errors import Internal
from services.retriever.settings import ENCODER_ID

_SERVICE = "/museed.social.v1.AccountService"
_TIMEOUT_S = 2.0

IDEMPOTENT = (f"{_SERVICE}/GetJwks", f"{_SERVICE}/ListRevokedSessions")


@dataclass(frozen=True, slots=True)
class Kept:
    """What social keeps up to date.

    Attributes:
        serving: Encoder whose vectors are served; empty where it has seen none yet.
        others: Encoders whose vectors are kept up to date, too.
        log_created_at: Creation time of the VECTORS stream that it fills; None where that is not known.
        is_log_filling: Whether that stream does not hold all tracks yet.
    """

    serving: str
    others: tuple[str, ...] = ()
    log_created_at: datetime | None = None
    is_log_filling: bool = False


class Accounts:
    """Social's accounts, as far as tokens are concerned.

    Args:
        channel: To social, made by `services.chassis.channel.connect` with IDEMPOTENT.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = accounts_pb2_grpc.AccountServiceStub(channel)

    async def fetch_jwks(self) -> str:
        """Return the public keys of tokens as JSON text; raises DomainError when social is away."""
        response = await self._stub.GetJwks(accounts_pb2.GetJwksRequest(), timeout=_TIMEOUT_S)
        return response.jwks

    async def fetch_revoked_sessions(self) -> Sequence[str]:
        """Return the sessions that ended within the life of an access token; raises DomainError when social is away."""
        response = await self._stub.ListRevokedSessions(accounts_pb2.ListRevokedSessionsRequest(), timeout=_TIMEOUT_S)
        return response.session_ids


class Encoders:
    """Social's encoders, as far as indexes are concerned.

    Args:
        channel: To social.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = encoders_pb2_grpc.EncoderServiceStub(channel)

    async def fetch_kept(self) -> Kept:
        """Return which encoders are kept and which is served; raises DomainError when social is away, or confused."""
        answer = await self._stub.GetServingEncoder(encoders_pb2.GetServingEncoderRequest(), timeout=_TIMEOUT_S)
        roles = answer.roles
        for encoder_id in filter(None, (roles.serving_id, roles.candidate_id, roles.previous_id)):
            if not re.fullmatch(ENCODER_ID, encoder_id):
                raise Internal(f"social keeps the encoder {encoder_id!r}, {ENCODER_ID} is expected", field="encoder_id")
        created_at = answer.log_created_at.ToDatetime(tzinfo=UTC) if answer.HasField("log_created_at") else None
        others = tuple(filter(None, (roles.candidate_id, roles.previous_id)))
        return Kept(roles.serving_id, others, created_at, answer.is_log_filling)
