"""The GraphQL schema, composed of one module per noun."""

import strawberry
from strawberry.schema.config import StrawberryConfig

from services.gateway.gate import GatewaySchema, gates
from services.gateway.schema.account import AccountMutation, AccountQuery
from services.gateway.schema.admin import AdminMutation, AdminQuery
from services.gateway.schema.encoder import EncoderMutation, EncoderQuery
from services.gateway.schema.errors import REFUSAL_HANDLERS
from services.gateway.schema.job import JobMutation, JobQuery, JobSubscription
from services.gateway.schema.node import NodeQuery
from services.gateway.schema.playlist import PlaylistMutation, PlaylistQuery
from services.gateway.schema.registration import RegistrationMutation
from services.gateway.schema.root_files import RootFilesMutation, RootFilesQuery
from services.gateway.schema.scalars import BIG_INT, BigInt
from services.gateway.schema.stats import StatsQuery
from services.gateway.schema.track import TrackQuery
from services.gateway.schema.vectors import VectorMutation, VectorQuery
from services.gateway.schema.work import WorkMutation, WorkQuery


@strawberry.type(description="What can be read.")
class Query(
    AdminQuery,
    RootFilesQuery,
    VectorQuery,
    EncoderQuery,
    WorkQuery,
    StatsQuery,
    NodeQuery,
    JobQuery,
    PlaylistQuery,
    TrackQuery,
    AccountQuery,
):
    """All queries."""


@strawberry.type(description="What can be done.")
class Mutation(
    AdminMutation,
    RegistrationMutation,
    RootFilesMutation,
    VectorMutation,
    EncoderMutation,
    WorkMutation,
    JobMutation,
    PlaylistMutation,
    AccountMutation,
):
    """All mutations."""


@strawberry.type(description="What can be followed.")
class Subscription(JobSubscription):
    """All subscriptions."""


def make_schema() -> GatewaySchema:
    """Compose the schema with its limits and its way of telling errors."""
    return GatewaySchema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        extensions=[gates()],
        config=StrawberryConfig(scalar_map={BigInt: BIG_INT}),
        exception_handlers=REFUSAL_HANDLERS,
    )
