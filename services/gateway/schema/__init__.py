"""The GraphQL schema, composed of one module per noun."""

import strawberry
from strawberry.schema.config import StrawberryConfig

from services.gateway.execution import Execution
from services.gateway.gate import GatewaySchema, gates
from services.gateway.schema.account import AccountMutation, AccountQuery
from services.gateway.schema.admin import AdminMutation, AdminQuery
from services.gateway.schema.album import AlbumQuery
from services.gateway.schema.api_token import ApiTokenMutation, ApiTokenQuery
from services.gateway.schema.artist import ArtistQuery
from services.gateway.schema.blocklist import BlocklistMutation, BlocklistQuery
from services.gateway.schema.chart import ChartQuery
from services.gateway.schema.comment import CommentMutation
from services.gateway.schema.credential import CredentialMutation
from services.gateway.schema.encoder import EncoderMutation, EncoderQuery
from services.gateway.schema.errors import REFUSAL_HANDLERS
from services.gateway.schema.extension import ExtensionMutation, ExtensionQuery
from services.gateway.schema.feed import FeedQuery
from services.gateway.schema.follow import FollowMutation, FollowQuery
from services.gateway.schema.generation import GenerationMutation
from services.gateway.schema.genre import GenreQuery
from services.gateway.schema.history import HistoryMutation, HistoryQuery
from services.gateway.schema.job import JobMutation, JobQuery, JobSubscription
from services.gateway.schema.job_admin import JobAdminMutation, JobAdminQuery
from services.gateway.schema.liking import LikingMutation, LikingQuery
from services.gateway.schema.live import LiveSubscription
from services.gateway.schema.login import LogInMutation
from services.gateway.schema.moderation import ModerationMutation, ModerationQuery
from services.gateway.schema.node import NodeQuery
from services.gateway.schema.notification import NotificationMutation, NotificationQuery
from services.gateway.schema.playlist import PlaylistQuery
from services.gateway.schema.playlist_edit import PlaylistEditMutation
from services.gateway.schema.playlist_making import PlaylistMakingMutation
from services.gateway.schema.preview import PreviewQuery
from services.gateway.schema.privacy import PrivacyMutation, PrivacyQuery
from services.gateway.schema.recommendation import RecommendationQuery
from services.gateway.schema.reference import ReferenceQuery
from services.gateway.schema.registration import RegistrationMutation
from services.gateway.schema.report import ReportMutation, ReportQuery
from services.gateway.schema.root_files import RootFilesMutation, RootFilesQuery
from services.gateway.schema.scalars import BIG_INT, UINT64, BigInt, UInt64
from services.gateway.schema.scheduling import SchedulingMutation
from services.gateway.schema.session import SessionMutation, SessionQuery
from services.gateway.schema.stats import StatsQuery
from services.gateway.schema.stream_token import StreamTokenMutation, StreamTokenQuery
from services.gateway.schema.track import TrackQuery
from services.gateway.schema.trend import TrendQuery
from services.gateway.schema.upload import UploadMutation, UploadQuery
from services.gateway.schema.user import UserQuery
from services.gateway.schema.vectors import VectorMutation, VectorQuery
from services.gateway.schema.word_search import WordQuery
from services.gateway.schema.work import WorkMutation, WorkQuery


@strawberry.type(description="What can be read.")
class Query(
    AdminQuery,
    RootFilesQuery,
    VectorQuery,
    EncoderQuery,
    WorkQuery,
    TrendQuery,
    StatsQuery,
    RecommendationQuery,
    HistoryQuery,
    NotificationQuery,
    ChartQuery,
    FeedQuery,
    FollowQuery,
    UserQuery,
    NodeQuery,
    JobQuery,
    JobAdminQuery,
    ExtensionQuery,
    StreamTokenQuery,
    LikingQuery,
    PlaylistQuery,
    ReferenceQuery,
    WordQuery,
    PreviewQuery,
    UploadQuery,
    BlocklistQuery,
    GenreQuery,
    AlbumQuery,
    ArtistQuery,
    TrackQuery,
    ModerationQuery,
    ReportQuery,
    PrivacyQuery,
    ApiTokenQuery,
    SessionQuery,
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
    HistoryMutation,
    NotificationMutation,
    FollowMutation,
    JobMutation,
    JobAdminMutation,
    GenerationMutation,
    ExtensionMutation,
    SchedulingMutation,
    StreamTokenMutation,
    CommentMutation,
    LikingMutation,
    PlaylistMakingMutation,
    PlaylistEditMutation,
    ModerationMutation,
    ReportMutation,
    PrivacyMutation,
    ApiTokenMutation,
    SessionMutation,
    CredentialMutation,
    LogInMutation,
    UploadMutation,
    BlocklistMutation,
    AccountMutation,
):
    """All mutations."""


@strawberry.type(description="What can be followed.")
class Subscription(LiveSubscription, JobSubscription):
    """All subscriptions."""


def make_schema() -> GatewaySchema:
    """Compose the schema with its limits and its way of telling errors."""
    return GatewaySchema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        extensions=[gates()],
        execution_context_class=Execution,
        config=StrawberryConfig(scalar_map={BigInt: BIG_INT, UInt64: UINT64}),
        exception_handlers=REFUSAL_HANDLERS,
    )
