"""Settings of the social service, read from `SOCIAL_<NAME>`: a module for each part of the service."""

from pydantic import Field

from services.chassis.settings import Listen, OptionalListen, settings_config
from services.social.settings.accounts import AccountSettings
from services.social.settings.care import CareSettings
from services.social.settings.catalogue import CatalogueSettings
from services.social.settings.database import DatabaseSettings
from services.social.settings.ingest import IngestSettings
from services.social.settings.jobs import JobSettings
from services.social.settings.people import PeopleSettings
from services.social.settings.playlists import PlaylistSettings
from services.social.settings.taste import TasteSettings
from services.social.settings.uploads import UploadSettings

__all__ = ["SocialSettings"]


class SocialSettings(
    DatabaseSettings,
    AccountSettings,
    CareSettings,
    CatalogueSettings,
    IngestSettings,
    PlaylistSettings,
    JobSettings,
    UploadSettings,
    PeopleSettings,
    TasteSettings,
):
    """Everything that can be set about a process of this service; NATS has its own `NATS_<NAME>`."""

    model_config = settings_config("SOCIAL_")

    embedder_address: str
    # A second encoder's, while one takes the other's place and as long as one can go back; empty where there is none.
    second_embedder_address: str = ""
    retriever_address: str
    listen: Listen = "127.0.0.1:7401"
    log_level: str = "INFO"
    # Where Prometheus finds /metrics, "host:port"; empty counts nothing.
    metrics_listen: OptionalListen = ""

    work_lost_after_s: float = Field(300.0, ge=1, le=86_400)
