"""gRPC in: which encoder is served, and the switch to another."""

import contextlib

import grpc

from museed.social.v1 import encoders_pb2, encoders_pb2_grpc
from services.chassis.auth import require_viewer
from services.chassis.errors import DomainError
from services.social.domain import fields
from services.social.domain.encoders import Roles
from services.social.domain.ids import EncoderId, UserId
from services.social.embedders import Embedders
from services.social.store import encoders, vector_log
from services.social.store.database import Database
from services.social.store.encoders import Coverage
from services.social.workers.switching import EncoderSwitch

_LONGEST_ENCODER_ID = 100


class EncoderServicer(encoders_pb2_grpc.EncoderServiceServicer):
    """Serves EncoderService.

    Args:
        database: The truth.
        embedders: Say which encoders run.
        switch: Changes roles.
    """

    def __init__(self, database: Database, embedders: Embedders, switch: EncoderSwitch) -> None:
        self._database = database
        self._embedders = embedders
        self._switch = switch

    async def GetServingEncoder(
        self,
        request: encoders_pb2.GetServingEncoderRequest,
        context: grpc.aio.ServicerContext[
            encoders_pb2.GetServingEncoderRequest, encoders_pb2.GetServingEncoderResponse
        ],
    ) -> encoders_pb2.GetServingEncoderResponse:
        """Say which encoder is for what."""
        async with self._database.connection() as connection:
            roles = await encoders.find_roles(connection)
            created_at, is_filling = await vector_log.filling(connection)
        answer = encoders_pb2.GetServingEncoderResponse(roles=_roles(roles), is_log_filling=is_filling)
        if created_at is not None:
            answer.log_created_at.FromDatetime(created_at)
        return answer

    async def ListEncoders(
        self,
        request: encoders_pb2.ListEncodersRequest,
        context: grpc.aio.ServicerContext[encoders_pb2.ListEncodersRequest, encoders_pb2.ListEncodersResponse],
    ) -> encoders_pb2.ListEncodersResponse:
        """List all encoders with what they know."""
        running: set[EncoderId] = set()
        with contextlib.suppress(DomainError):  # then none is
            running = {encoder.encoder_id for encoder in await self._embedders.describe()}
        async with self._database.connection() as connection:
            found = await encoders.coverages(connection)
        return encoders_pb2.ListEncodersResponse(
            encoders=[_encoder(one, is_running=one.encoder.encoder_id in running) for one in found]
        )

    async def SwitchEncoder(
        self,
        request: encoders_pb2.SwitchEncoderRequest,
        context: grpc.aio.ServicerContext[encoders_pb2.SwitchEncoderRequest, encoders_pb2.SwitchEncoderResponse],
    ) -> encoders_pb2.SwitchEncoderResponse:
        """Begin a switch."""
        encoder_id = fields.line(request.encoder_id, "encoder_id", longest=_LONGEST_ENCODER_ID, is_required=True)
        roles = await self._switch.begin(EncoderId(encoder_id), UserId(require_viewer().user_id))
        return encoders_pb2.SwitchEncoderResponse(roles=_roles(roles))

    async def RollBackEncoder(
        self,
        request: encoders_pb2.RollBackEncoderRequest,
        context: grpc.aio.ServicerContext[encoders_pb2.RollBackEncoderRequest, encoders_pb2.RollBackEncoderResponse],
    ) -> encoders_pb2.RollBackEncoderResponse:
        """Give up a switch, or go back."""
        roles, given_up = await self._switch.roll_back(UserId(require_viewer().user_id))
        return encoders_pb2.RollBackEncoderResponse(roles=_roles(roles), given_up_id=given_up or "")


def _roles(roles: Roles | None) -> encoders_pb2.EncoderRoles:
    if roles is None:
        return encoders_pb2.EncoderRoles()
    return encoders_pb2.EncoderRoles(
        serving_id=roles.serving, candidate_id=roles.candidate or "", previous_id=roles.previous or ""
    )


def _encoder(one: Coverage, *, is_running: bool) -> encoders_pb2.Encoder:
    return encoders_pb2.Encoder(
        encoder_id=one.encoder.encoder_id,
        name=one.encoder.name,
        dimension=one.encoder.dimension,
        role=encoders_pb2.EncoderRole.Value(f"ENCODER_ROLE_{one.role.value}"),
        track_count=one.tracks,
        indexed_count=one.indexed,
        failed_count=one.failed,
        is_running=is_running,
    )
