"""What the retriever asks of social: one thin function per remote call, each with a timeout."""

from collections.abc import Sequence
from dataclasses import dataclass

import grpc.aio

from museed.social.v1 import accounts_pb2, accounts_pb2_grpc, encoders_pb2, encoders_pb2_grpc

_SERVICE = "/museed.social.v1.AccountService"
_TIMEOUT_S = 2.0

IDEMPOTENT = (f"{_SERVICE}/GetJwks", f"{_SERVICE}/ListRevokedSessions")


@dataclass(frozen=True, slots=True)
class Kept:
    """The encoders whose vectors social keeps up to date. `serving` is empty where it has seen none yet."""

    serving: str
    others: tuple[str, ...] = ()


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
        """Return which encoders are kept and which is served; raises DomainError when social is away."""
        answer = await self._stub.GetServingEncoder(encoders_pb2.GetServingEncoderRequest(), timeout=_TIMEOUT_S)
        others = (answer.roles.candidate_id, answer.roles.previous_id)
        return Kept(answer.roles.serving_id, tuple(filter(None, others)))
