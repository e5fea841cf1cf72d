"""Rules about settings: the process knows each variable, none that it needs is missing, and each value will do."""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import SecretStr, ValidationError

from deploy.k8s.manifests import Document, Pods, named, pods_of, title, value_of, variables
from deploy.local.settings import LocalSettings
from services.chassis.bus import BusSettings
from services.chassis.settings import Settings, SettingsError
from services.chassis.telemetry.settings import OtlpSettings
from services.chassis.tls import TlsSettings
from services.embedder.artifact import open_artifact
from services.embedder.choice import MINI_FOLDER
from services.embedder.settings import EmbedderSettings, EncodingSettings
from services.gateway.settings import GatewaySettings
from services.retriever.settings import RetrieverSettings
from services.social.migrating import MigrationSettings
from services.social.settings import SocialSettings

SERVICES: dict[str, type[Settings]] = {
    "social": SocialSettings,
    "embedder": EmbedderSettings,
    "retriever": RetrieverSettings,
    "gateway": GatewaySettings,
}
# Of obstore, as far as they are used here.
_STORE = frozenset({"AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ALLOW_HTTP"})
# Of the `museed` command as a client, beside LocalSettings.
CLIENT = frozenset({"MUSEED_URL", "MUSEED_LOGIN", "MUSEED_PASSWORD", "MUSEED_SIGN_UP_EMAIL"})
# Of uvicorn and of asyncpg.
_OTHERS = {"gateway": frozenset({"FORWARDED_ALLOW_IPS"}), "social": frozenset({"PGSSLMODE", "PGSSLROOTCERT"})}
# Of OpenTelemetry's SDK, which reads them itself; the others of OTEL_* are OtlpSettings.
_OTEL = frozenset(
    {"OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_RESOURCE_ATTRIBUTES"}
)
_RAY = frozenset({"RAY_USAGE_STATS_ENABLED"})
_OTHER_CONNECTIONS = 20
_MIGRATES = "services.social.migrate"
# What a Secret will hold, as far as settings judge it; anything long enough stands for the rest.
_STAND_INS = {"blob_store_url": "s3://museed", "database_url": "postgresql://museed@museed-postgres-rw/museed"}
_STAND_IN = "x" * 64


SECRET_VARIABLES = frozenset(
    f"{kind.model_config['env_prefix']}{name}".upper()
    for kind in SERVICES.values()
    for name, field in kind.model_fields.items()
    if field.annotation is SecretStr
)


def service_of(container: dict[str, Any]) -> str | None:
    """Return which of our images a container runs, wherever it is pulled from; None for other people's."""
    service = _image_name(container).partition("-")[0]
    return service if service in {*SERVICES, "museed"} else None


def _kind_of(container: dict[str, Any]) -> str:
    """Return which build of a service's image a container runs: "gpu", "milvus", "bulk", or "" for the plain one."""
    return _image_name(container).partition("-")[2]


def _image_name(container: dict[str, Any]) -> str:
    return str(container["image"].partition("@")[0].rpartition("/")[2].partition(":")[0])


def check_environment(documents: Sequence[Document]) -> list[str]:
    """Return what is wrong with the settings of our containers, a sentence each."""
    return [
        f"{title(pods.owner)}: {container['name']}: {fault}"
        for pods in pods_of(documents)
        for container in pods.all_containers
        for fault in _faults(pods, container, documents)
    ]


def _faults(pods: Pods, container: dict[str, Any], documents: Sequence[Document]) -> Iterator[str]:
    service, given = service_of(container), variables(container)
    if container.get("envFrom"):
        yield "envFrom: which variables come of it is not said"
    if len(given) != len(container.get("env", [])):
        yield "a variable stands twice"
    if service is None:
        return
    if "*" in (value_of(given.get("FORWARDED_ALLOW_IPS"), documents) or ""):
        yield "FORWARDED_ALLOW_IPS believes everybody: name the networks of the proxies"
    if service == "museed":
        known = CLIENT | {f"MUSEED_{name.upper()}" for name in LocalSettings.model_fields}
        known |= {_variable(TlsSettings, name) for name in TlsSettings.model_fields}
        yield from (f"{name} is no variable of the museed command" for name in given if name not in known)
        return
    kinds: list[type[Settings]] = [SERVICES[service], BusSettings, TlsSettings]
    if _MIGRATES in container.get("command", []):
        kinds = [MigrationSettings]
    if _kind_of(container) == "bulk":
        kinds = [EncodingSettings]
    fields = {_variable(kind, field): (kind, field) for kind in kinds for field in kind.model_fields}
    for name in given:
        is_of_ray = _kind_of(container) == "bulk" and name in _RAY
        if name not in fields and not is_of_ray and not _is_known_elsewhere(service, name):
            yield f"{name} is no setting of {service}"
    for name, (kind, field) in fields.items():
        if kind.model_fields[field].is_required() and name not in given:
            yield f"{name} is missing"
    for kind in kinds:
        yield from _value_faults(kind, given, documents)
    yield from _build_faults(container, {name: value_of(one, documents) for name, one in given.items()})


def _build_faults(container: dict[str, Any], values: dict[str, str | None]) -> Iterator[str]:
    """Yield what an image lacks for its settings, and what it has in vain."""
    build, gpus = _kind_of(container), "nvidia.com/gpu" in container.get("resources", {}).get("limits", {})
    if (values.get("RETRIEVER_ENGINE") == "milvus") != (build == "milvus"):
        yield f"{container['image']} with RETRIEVER_ENGINE={values.get('RETRIEVER_ENGINE')}"
    # Of bulk work one node hears nothing itself, and CPUs may do it, too.
    if build != "bulk" and (build == "gpu") != gpus:
        yield f"{container['image']} {'has a GPU' if gpus else 'has no GPU'}"
    if values.get("RETRIEVER_INDEX") == "gpu-flat" and build != "gpu":
        yield f"{container['image']} with RETRIEVER_INDEX=gpu-flat"


def check_connections(documents: Sequence[Document]) -> list[str]:
    """Return whether PostgreSQL has fewer connections than all replicas of social take, with the one of a rollout."""
    cluster = named(documents, "Cluster", "museed-postgres")
    social = next((pods for pods in pods_of(documents) if pods.name == "social" and pods.is_serving), None)
    if cluster is None or social is None:
        return []
    given = variables(social.containers[0])
    pools = [
        int(value_of(given.get(f"SOCIAL_{name.upper()}"), documents) or SocialSettings.model_fields[name].default)
        for name in ("database_pool_size", "background_pool_size")
    ]
    # One beside the pools for the publisher's locks; Jobs, an operator's own and PostgreSQL's reserve.
    needed = (int(social.owner["spec"].get("replicas", 1)) + 1) * (sum(pools) + 1) + _OTHER_CONNECTIONS
    found = int(cluster["spec"]["postgresql"]["parameters"]["max_connections"])
    return [f"PostgreSQL has {found} connections, and {needed} are needed"] if found < needed else []


@functools.cache
def _window_seconds() -> float:
    return open_artifact(MINI_FOLDER).manifest.window_seconds


def _shown(value: str | None) -> str:
    return "" if value is None else f"={value}"


def _variable(kind: type[Settings], field: str) -> str:
    return f"{kind.model_config.get('env_prefix', '')}{field}".upper()


def _is_known_elsewhere(service: str, name: str) -> bool:
    otel = _OTEL | {_variable(OtlpSettings, field) for field in OtlpSettings.model_fields}
    return name in _STORE | otel | _OTHERS.get(service, frozenset())


def _value_faults(
    kind: type[Settings], given: dict[str, dict[str, Any]], documents: Sequence[Document]
) -> Iterator[str]:
    values = {}
    for field in kind.model_fields:
        variable = given.get(_variable(kind, field))
        if variable is None:
            continue
        values[field] = value_of(variable, documents)
        if values[field] is None:
            if "configMapKeyRef" in variable.get("valueFrom", {}):
                yield f"{variable['name']} is not in its ConfigMap"
            values[field] = _STAND_INS.get(field, _STAND_IN)
    try:
        settings = kind.model_validate(values)
        if isinstance(settings, EmbedderSettings):
            settings.check_room(_window_seconds())
    except ValidationError as error:
        for fault in error.errors(include_input=False, include_url=False):
            if fault["type"] != "missing":
                name = _variable(kind, "_".join(map(str, fault["loc"])))
                # Of what is secret the name is enough.
                value = None if name in SECRET_VARIABLES else value_of(given.get(name), documents)
                yield f"{name}{_shown(value)}: {fault['msg']}"
    except SettingsError as error:
        yield str(error)
