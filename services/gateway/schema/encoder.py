"""Which model's vectors are served, and the switch to another. Social admits admins only."""

from enum import Enum
from typing import Annotated, Self

import strawberry
from strawberry import field

from museed.social.v1 import encoders_pb2
from services.gateway.context import Info
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import member, mutation, resolver


@strawberry.enum(description="What an encoder is for.")
class EncoderRole(Enum):
    """Social's roles."""

    SERVING = member(encoders_pb2.ENCODER_ROLE_SERVING, "Its vectors are served.")
    CANDIDATE = member(encoders_pb2.ENCODER_ROLE_CANDIDATE, "It hears the library, to be served afterwards.")
    PREVIOUS = member(encoders_pb2.ENCODER_ROLE_PREVIOUS, "Served before; a rollback goes to it.")
    RETIRED = member(encoders_pb2.ENCODER_ROLE_RETIRED, "Its vectors stay as they were; it hears nothing new.")


@strawberry.type(description="A model that turns sound into vectors, and what it knows of the library.")
class Encoder:
    """An encoder with its counts."""

    encoder_id: str = field(description="Digest of the weights and of everything that moves a vector.")
    name: str = field(description='Human name, for example "musicnn-msd".')
    dimension: int = field(description="Numbers in a vector.")
    role: EncoderRole = field(description="What it is for.")
    track_count: int = field(description="Tracks of the library.")
    indexed_count: int = field(description="Tracks of these that its index holds.")
    failed_count: int = field(description="Tracks of these that it cannot hear.")
    is_running: bool = field(description="Whether an embedder serves it now.")

    @classmethod
    def from_message(cls, message: encoders_pb2.Encoder) -> Self:
        """Translate social's message."""
        return cls(
            encoder_id=message.encoder_id,
            name=message.name,
            dimension=message.dimension,
            role=EncoderRole(message.role),
            track_count=message.track_count,
            indexed_count=message.indexed_count,
            failed_count=message.failed_count,
            is_running=message.is_running,
        )


@strawberry.type(description="Which encoder is for what.")
class EncoderRoles:
    """Ids by role."""

    serving_id: str | None = field(description="Whose vectors are served; null until an embedder was seen.")
    candidate_id: str | None = field(description="Served once it knows every track; null while nobody is on the way.")
    previous_id: str | None = field(description="Served before; null before the first switch.")

    @classmethod
    def from_message(cls, message: encoders_pb2.EncoderRoles) -> Self:
        """Translate social's message."""
        return cls(
            serving_id=message.serving_id or None,
            candidate_id=message.candidate_id or None,
            previous_id=message.previous_id or None,
        )


@strawberry.input(description="An encoder to serve.")
class SwitchEncoderInput:
    """For `switchEncoder`."""

    encoder_id: str = field(description="An embedder of the mesh must serve it already.")


@strawberry.type(description="The encoder hears the library, or is served already where nothing was left to hear.")
class SwitchEncoderSuccess:
    """Of `switchEncoder`."""

    roles: EncoderRoles = field(description="Which encoder is for what now.")


@strawberry.type(description="The switch was given up, or the encoder before is served or on its way.")
class RollbackEncoderSuccess:
    """Of `rollbackEncoder`."""

    roles: EncoderRoles = field(description="Which encoder is for what now.")
    given_up_id: str | None = field(description="The candidate that was given up; null where there was none.")


SwitchEncoderResult = Annotated[SwitchEncoderSuccess | Refusal, strawberry.union("SwitchEncoderResult")]
RollbackEncoderResult = Annotated[RollbackEncoderSuccess | Refusal, strawberry.union("RollbackEncoderResult")]


@strawberry.type
class EncoderQuery:
    """Queries about encoders."""

    @resolver("Every encoder that was ever seen, the serving one first. Admins only.")
    async def encoders(self, info: Info) -> list[Encoder] | None:
        """Ask social."""
        method = info.context.parts.upstream.encoders.ListEncoders
        answer = await info.context.call(method, encoders_pb2.ListEncodersRequest())
        return [Encoder.from_message(each) for each in answer.encoders]


@strawberry.type
class EncoderMutation:
    """Mutations of encoders."""

    @mutation("Lets an encoder hear the library, and serves it once it knows every track. Admins only.")
    async def switch_encoder(self, info: Info, input: SwitchEncoderInput) -> SwitchEncoderResult:
        """Pass it on."""
        method = info.context.parts.upstream.encoders.SwitchEncoder
        answer = await info.context.call(method, encoders_pb2.SwitchEncoderRequest(encoder_id=input.encoder_id))
        return SwitchEncoderSuccess(roles=EncoderRoles.from_message(answer.roles))

    @mutation("Gives up the switch under way; without one, goes back to the encoder before. Admins only.")
    async def rollback_encoder(self, info: Info) -> RollbackEncoderResult:
        """Pass it on."""
        method = info.context.parts.upstream.encoders.RollBackEncoder
        answer = await info.context.call(method, encoders_pb2.RollBackEncoderRequest())
        return RollbackEncoderSuccess(
            roles=EncoderRoles.from_message(answer.roles), given_up_id=answer.given_up_id or None
        )
