"""The parts of a local mesh: what each process runs, which settings it gets, and how it shows that it works."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import asyncpg
import httpx
from grpc_health.v1 import health_pb2

from deploy.local import nats
from deploy.local.ports import LOOPBACK, Ports, service_of
from deploy.local.postgres import Postgres
from deploy.local.process import Spec
from deploy.local.state import State
from services.chassis.channel import connect
from services.chassis.errors import DomainError

_PROBE_TIMEOUT_S = 2.0
STAND_IN_SNAPSHOTS = "snapshots-of-stand-in"
# Of a checkout; an installed wheel has none.
_EXAMPLE_PAGE = Path(__file__).parents[2] / "examples" / "web"


class Parts:
    """Makes the Spec of every process of one mesh.

    Args:
        state: Where everything is kept.
        ports: Where everything listens.
        postgres: The server of the state folder.
        gateway_processes: How many of the gateway.
        more: Variables that every service gets.
    """

    def __init__(
        self,
        state: State,
        ports: Ports,
        postgres: Postgres,
        gateway_processes: int = 1,
        more: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._gateway_processes = gateway_processes
        self._more = more
        self._state = state
        self._ports = ports
        self._postgres = postgres

    def _python(self, module: str) -> list[str]:
        return [sys.executable, "-m", module]

    def _common_environment(self, user: str) -> dict[str, str]:
        return {
            **self._more,
            "NATS_URL": f"nats://{LOOPBACK}:{self._ports.nats}",
            "NATS_USER": user,
            "NATS_PASSWORD": self._state.secret(f"nats_{user}"),
        }

    def postgres(self) -> Spec:
        """Describe PostgreSQL."""

        async def answers() -> bool:
            try:
                connection = await asyncpg.connect(self._postgres.url(), timeout=_PROBE_TIMEOUT_S)
            except (OSError, asyncpg.PostgresError, TimeoutError):
                return False
            await connection.close()
            return True

        # Every process of social, and who stands in for one.
        socials = 2 + sum(service_of(name) == "social" for name in self._ports.replicas)
        command = self._postgres.command(socials)
        return Spec("postgres", command, answers, user=self._postgres.user, stop_signal=signal.SIGINT)

    def nats(self) -> Spec:
        """Describe the NATS server."""

        async def answers() -> bool:
            try:
                _, writer = await asyncio.open_connection(LOOPBACK, self._ports.nats)
            except OSError:
                return False
            writer.close()
            return True

        return Spec("nats", nats.command(self._state / "nats.json"), answers)

    def embedder(self, name: str, port: int, encoder: str) -> Spec:
        """Describe an embedder with the encoder of this name or folder."""
        environment = {
            "EMBEDDER_LISTEN": f"{LOOPBACK}:{port}",
            "EMBEDDER_SOCIAL_ADDRESS": self._ports.target("social"),
            "EMBEDDER_ENCODER": encoder,
            "EMBEDDER_ARTIFACT_FOLDER": str(self._state / "artifacts"),
            "EMBEDDER_BLOB_STORE_URL": self._blob_store_url,
            "EMBEDDER_METRICS_LISTEN": self._ports.metrics_listen(name),
            **self._common_environment("embedder"),
        }
        probe = self._healthy(port)
        return Spec(name, self._python("services.embedder"), probe, environment, start_timeout_s=180.0)

    def social(self) -> Spec:
        """Describe social, which migrates the database first."""
        environment = {
            "SOCIAL_LISTEN": f"{LOOPBACK}:{self._ports.social}",
            "SOCIAL_METRICS_LISTEN": self._ports.metrics_listen("social"),
            "SOCIAL_DATABASE_URL": self._postgres.url(),
            "SOCIAL_EMBEDDER_ADDRESS": self._ports.target("embedder"),
            "SOCIAL_SECOND_EMBEDDER_ADDRESS": self._ports.target("embedder-2"),
            "SOCIAL_RETRIEVER_ADDRESS": self._ports.target("retriever"),
            "SOCIAL_BLOB_STORE_URL": self._blob_store_url,
            "SOCIAL_MAIL_URL": (self._state / "mails").as_uri(),
            "SOCIAL_PUBLIC_URL": self._ports.url,
            **self._common_environment("social"),
        }
        probe = self._healthy(self._ports.social)
        # A large library of an older release takes its time.
        return Spec("social", self._python("services.social"), probe, environment, start_timeout_s=900.0)

    def retriever(self, encoder_id: str) -> Spec:
        """Describe the retriever of one encoder's vectors."""
        environment = {
            "RETRIEVER_LISTEN": f"{LOOPBACK}:{self._ports.retriever}",
            "RETRIEVER_METRICS_LISTEN": self._ports.metrics_listen("retriever"),
            "RETRIEVER_SOCIAL_ADDRESS": self._ports.target("social"),
            "RETRIEVER_ENCODER_ID": encoder_id,
            "RETRIEVER_SNAPSHOT_FOLDER": str(self._state / "snapshots"),
            "RETRIEVER_BLOB_STORE_URL": self._blob_store_url,
            **self._common_environment("retriever"),
        }
        return Spec("retriever", self._python("services.retriever"), self._healthy(self._ports.retriever), environment)

    def gateway(self) -> Spec:
        """Describe the gateway."""

        async def answers() -> bool:
            try:
                async with httpx.AsyncClient(timeout=_PROBE_TIMEOUT_S) as client:
                    return (await client.get(f"{self._ports.url}/readyz")).status_code == httpx.codes.OK
            except httpx.HTTPError:
                return False

        environment = {
            "GATEWAY_LISTEN": f"{LOOPBACK}:{self._ports.gateway}",
            "GATEWAY_METRICS_LISTEN": self._ports.metrics_listen("gateway"),
            "GATEWAY_SOCIAL_ADDRESS": self._ports.target("social"),
            "GATEWAY_RETRIEVER_ADDRESS": self._ports.target("retriever"),
            "GATEWAY_BLOB_STORE_URL": self._blob_store_url,
            "GATEWAY_TRANSCODE_FOLDER": str(self._state / "transcodes"),
            "GATEWAY_PUBLIC_URL": self._ports.url,
            # Not every browser takes a Secure cookie from a loopback without TLS.
            "GATEWAY_COOKIE_SECURE": "false",
            "GATEWAY_ALLOWED_HOSTS": f"{LOOPBACK},localhost",
            "GATEWAY_WEB_FOLDER": str(_EXAMPLE_PAGE) if _EXAMPLE_PAGE.is_dir() else "",
            "GATEWAY_WORKERS": str(self._gateway_processes),
            "GATEWAY_URL_SIGNING_KEY": self._state.secret("url_signing_key"),
            **self._common_environment("gateway"),
        }
        return Spec("gateway", self._python("services.gateway"), answers, environment)

    def stand_in(self, spec: Spec) -> Spec:
        """Describe who serves in the place of a service while that is started again, at an address of its own."""
        service = service_of(spec.name)
        return self._beside(spec, f"{service}-stand-in", self._ports.stand_ins[service], STAND_IN_SNAPSHOTS)

    def replicas(self, spec: Spec) -> list[Spec]:
        """Describe the further processes of a service, each at an address of its own."""
        mine = {name: port for name, port in self._ports.replicas.items() if service_of(name) == spec.name}
        return [
            self._beside(spec, name, port, f"snapshots.{number}") for number, (name, port) in enumerate(mine.items(), 2)
        ]

    def _beside(self, spec: Spec, name: str, port: int, snapshots: str) -> Spec:
        service = service_of(spec.name).partition("-")[0].upper()
        environment = {
            **spec.environment,
            f"{service}_LISTEN": f"{LOOPBACK}:{port}",
            f"{service}_METRICS_LISTEN": self._ports.metrics_listen(name),
        }
        if self._more:  # spans are taken: whose they are
            environment["OTEL_RESOURCE_ATTRIBUTES"] = f"service.instance.id={name}"
        if service == "RETRIEVER":  # each has a folder of its own
            environment["RETRIEVER_SNAPSHOT_FOLDER"] = str(self._state / snapshots)
        return replace(spec, name=name, environment=environment, is_ready=self._healthy(port))

    @property
    def _blob_store_url(self) -> str:
        return f"file://{self._state / 'blobs'}"

    def _healthy(self, port: int) -> Callable[[], Awaitable[bool]]:
        async def answers() -> bool:
            try:
                async with connect(f"{LOOPBACK}:{port}") as channel:
                    check = channel.unary_unary(
                        "/grpc.health.v1.Health/Check",
                        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                        response_deserializer=health_pb2.HealthCheckResponse.FromString,
                    )
                    answer = await check(health_pb2.HealthCheckRequest(), timeout=_PROBE_TIMEOUT_S)
            except DomainError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

        return answers
