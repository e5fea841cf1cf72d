"""How several processes of each service are described, started, and ended; none of them runs."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from deploy.local import mesh as mesh_module
from deploy.local.mesh import Mesh
from deploy.local.parts import Parts
from deploy.local.ports import Ports
from deploy.local.postgres import CONNECTIONS_OF_SOCIAL, Postgres
from deploy.local.process import Spec, StartError
from deploy.local.settings import LocalSettings
from deploy.local.state import State
from services.social.settings import SocialSettings

SETTINGS = LocalSettings(
    gateway_port=0, social_port=0, embedder_port=0, retriever_port=0, nats_port=0, replicas=3, metrics_port=0
)


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State.open(tmp_path / "state")


@pytest.fixture
def ports() -> Ports:
    return Ports.choose(SETTINGS)


@pytest.fixture
def parts(state: State, ports: Ports) -> Parts:
    postgres = Postgres.at(state / "postgres", state.secret("postgres"))
    return Parts(state, ports, postgres, SETTINGS.gateway_processes)


def changed(first: Spec, other: Spec) -> dict[str, str]:
    """What another process is told otherwise."""
    return {name: value for name, value in other.environment.items() if first.environment.get(name) != value}


def test_replica_differs_in_its_addresses_and_a_retriever_in_its_folder(
    state: State, ports: Ports, parts: Parts
) -> None:
    social, retriever = parts.social(), parts.retriever("e-1")
    second, third = parts.replicas(social)
    assert (second.name, third.name) == ("social.2", "social.3")
    assert changed(social, third) == {
        "SOCIAL_LISTEN": f"127.0.0.1:{ports.replicas['social.3']}",
        "SOCIAL_METRICS_LISTEN": f"127.0.0.1:{ports.metrics['social.3']}",
    }
    assert changed(retriever, parts.replicas(retriever)[0]) == {
        "RETRIEVER_LISTEN": f"127.0.0.1:{ports.replicas['retriever.2']}",
        "RETRIEVER_METRICS_LISTEN": f"127.0.0.1:{ports.metrics['retriever.2']}",
        "RETRIEVER_SNAPSHOT_FOLDER": str(state / "snapshots.2"),
    }


@pytest.mark.parametrize(("replicas", "expected"), [(1, 60), (2, 86), (8, 242)])
def test_database_has_connections_for_every_process_and_one_that_stands_in(
    state: State, replicas: int, expected: int
) -> None:
    ports = Ports.choose(SETTINGS.model_copy(update={"replicas": replicas, "metrics_port": None}))
    made = Parts(state, ports, Postgres.at(state / "postgres", "x"))
    assert f"max_connections={expected}" in made.postgres().command


def test_connections_of_a_process_are_those_of_its_settings() -> None:
    fields = SocialSettings.model_fields
    pools = fields["database_pool_size"].default + fields["background_pool_size"].default
    assert pools + 2 == CONNECTIONS_OF_SOCIAL


def test_second_embedder_has_replicas_of_its_own(ports: Ports, parts: Parts) -> None:
    first = parts.embedder("embedder-2", ports.second_embedder, "auto")
    assert changed(first, parts.replicas(first)[0]) == {
        "EMBEDDER_LISTEN": f"127.0.0.1:{ports.replicas['embedder-2.2']}",
        "EMBEDDER_METRICS_LISTEN": f"127.0.0.1:{ports.metrics['embedder-2.2']}",
    }
    assert [spec.name for spec in parts.replicas(parts.embedder("embedder", ports.embedder, "auto"))] == [
        "embedder.2",
        "embedder.3",
    ]


def test_who_stands_in_for_a_replica_is_the_one_of_its_service(state: State, ports: Ports, parts: Parts) -> None:
    stand_in = parts.stand_in(parts.replicas(parts.retriever("e-1"))[0])
    assert stand_in.name == "retriever-stand-in"
    assert stand_in.environment["RETRIEVER_LISTEN"] == f"127.0.0.1:{ports.stand_ins['retriever']}"
    assert stand_in.environment["RETRIEVER_METRICS_LISTEN"] == ""
    assert stand_in.environment["RETRIEVER_SNAPSHOT_FOLDER"] == str(state / "snapshots-of-stand-in")


@pytest.mark.parametrize(("replicas", "workers", "expected"), [(1, 1, "1"), (3, 1, "3"), (2, 4, "4"), (1, 2, "2")])
def test_gateway_has_as_many_processes_as_either_setting_wants(
    state: State, ports: Ports, replicas: int, workers: int, expected: str
) -> None:
    settings = LocalSettings(replicas=replicas, gateway_workers=workers)
    made = Parts(state, ports, Postgres.at(state / "postgres", "x"), settings.gateway_processes)
    assert made.gateway().environment["GATEWAY_WORKERS"] == expected


class Machine:
    """Processes that are only noted; those that were named do not start."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.fails: set[str] = set()

    def __call__(self, spec: Spec, log_folder: Path, on_change: Callable[[str], None]) -> SimpleNamespace:
        async def start() -> None:
            self.said.append(f"start {spec.name}")
            await asyncio.sleep(0)
            if spec.name in self.fails:
                raise StartError("no room")
            self.said.append(f"{spec.name} is ready")

        async def stop() -> None:
            self.said.append(f"stop {spec.name}")

        return SimpleNamespace(spec=spec, pid=None, start=start, stop=stop)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(mesh_module, "SupervisedProcess", made)
    return made


@pytest.fixture
def mesh(state: State) -> Mesh:
    return Mesh(SETTINGS, state, lambda _text: None)


async def test_first_of_each_service_is_ready_before_the_others_start(mesh: Mesh, machine: Machine) -> None:
    await mesh._launch_all(mesh._parts.social(), mesh._parts.retriever("e-1"))
    assert machine.said[:4] == ["start social", "start retriever", "social is ready", "retriever is ready"]
    names = ["retriever.2", "retriever.3", "social.2", "social.3"]
    assert sorted(machine.said[4:8]) == [f"start {name}" for name in names]


async def test_service_that_does_not_start_whole_leaves_nothing_behind(mesh: Mesh, machine: Machine) -> None:
    machine.fails = {"embedder.3"}
    await mesh._launch(mesh._parts.social())
    with pytest.raises(StartError):
        await mesh._add_all(mesh._parts.embedder("embedder", 1, "auto"))
    assert machine.said[-2:] == ["stop embedder", "stop embedder.2"]
    assert [process.spec.name for process in mesh._running] == ["social"]


async def test_all_processes_of_a_service_end_with_it_and_no_others(mesh: Mesh, machine: Machine) -> None:
    first = await mesh._add_all(mesh._parts.embedder("embedder", 1, "auto"))
    await mesh._add_all(mesh._parts.embedder("embedder-2", 1, "auto"))
    await mesh._drop_all(first)
    assert [process.spec.name for process in mesh._running] == ["embedder-2", "embedder-2.2", "embedder-2.3"]
