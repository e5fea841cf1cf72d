import random
import socket

import pytest

from deploy.local.ports import Ports
from deploy.local.settings import LocalSettings
from deploy.local.state import StateError


def settings(retriever_port: int = 0) -> LocalSettings:
    return LocalSettings(gateway_port=0, social_port=0, embedder_port=0, retriever_port=retriever_port, nats_port=0)


def test_zero_picks_different_free_ports() -> None:
    ports = Ports.choose(settings())
    chosen = {ports.gateway, ports.social, ports.embedder, ports.retriever, ports.nats, ports.second_embedder}
    assert len(chosen) == 6
    assert 0 not in chosen


def test_free_ports_are_none_that_the_kernel_gives_to_outgoing_connections() -> None:
    with socket.socket() as outgoing:
        outgoing.bind(("127.0.0.1", 0))
        given_by_the_kernel = outgoing.getsockname()[1]
    for _ in range(20):
        ports = Ports.choose(settings())
        chosen = {ports.gateway, ports.social, ports.embedder, ports.retriever, ports.nats, ports.second_embedder}
        assert all(20_000 <= port < given_by_the_kernel for port in chosen)


def test_taken_port_is_named_with_its_setting() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StateError, match=rf"port {port} is taken(.|\n)*MUSEED_RETRIEVER_PORT"):
            Ports.choose(settings(port))


def choose_consecutive() -> tuple[int, Ports]:
    """Choose ports for metrics from a first one on; another program may take one of them meanwhile: then again."""
    for _ in range(20):
        free = Ports.choose(settings().model_copy(update={"metrics_port": 0}))
        first = min(free.metrics.values())
        try:
            return first, Ports.choose(settings().model_copy(update={"metrics_port": first}))
        except StateError:
            continue
    raise AssertionError("no five ports in a row are free")


def test_metrics_get_consecutive_ports_where_they_are_asked_for() -> None:
    assert Ports.choose(settings()).metrics_urls == {}
    assert Ports.choose(settings()).metrics_listen("embedder") == ""
    free = Ports.choose(settings().model_copy(update={"metrics_port": 0}))
    assert len(set(free.metrics.values())) == 5
    first, chosen = choose_consecutive()
    names = ["gateway", "social", "embedder", "retriever", "embedder-2"]
    assert chosen.metrics == {name: first + number for number, name in enumerate(names)}
    assert chosen.metrics_listen("embedder") == f"127.0.0.1:{first + 2}"
    assert chosen.metrics_urls["embedder"] == f"http://127.0.0.1:{first + 2}/metrics"


def test_taken_port_among_those_of_metrics_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StateError, match=rf"port {port} is taken(.|\n)*MUSEED_METRICS_PORT"):
            Ports.choose(settings().model_copy(update={"metrics_port": port}))


def test_services_are_called_at_their_own_address_and_that_of_a_stand_in() -> None:
    ports = Ports.choose(settings())
    stand_ins = {"social", "embedder", "retriever", "embedder-2"}
    assert set(ports.stand_ins) == stand_ins
    assert len({*ports.stand_ins.values(), ports.social, ports.embedder, ports.retriever, ports.second_embedder}) == 8
    assert ports.target("social") == f"ipv4:127.0.0.1:{ports.social},127.0.0.1:{ports.stand_ins['social']}"
    second = ports.target("embedder-2")
    assert second == f"ipv4:127.0.0.1:{ports.second_embedder},127.0.0.1:{ports.stand_ins['embedder-2']}"


def test_replicas_have_addresses_of_their_own_and_callers_know_all_of_them() -> None:
    ports = Ports.choose(settings().model_copy(update={"replicas": 3}))
    assert list(ports.replicas) == [
        *("social.2", "social.3", "embedder.2", "embedder.3"),
        *("retriever.2", "retriever.3", "embedder-2.2", "embedder-2.3"),
    ]
    chosen = [*ports.replicas.values(), *ports.stand_ins.values(), ports.social, ports.embedder, ports.retriever]
    assert len(set(chosen)) == 15
    own = (ports.social, ports.replicas["social.2"], ports.replicas["social.3"], ports.stand_ins["social"])
    assert ports.target("social") == "ipv4:" + ",".join(f"127.0.0.1:{port}" for port in own)
    second = (ports.second_embedder, ports.replicas["embedder-2.2"], ports.replicas["embedder-2.3"])
    expected = ",".join(f"127.0.0.1:{port}" for port in (*second, ports.stand_ins["embedder-2"]))
    assert ports.target("embedder-2") == f"ipv4:{expected}"


NAMES_OF_TWO = [
    *("gateway", "gateway.2", "social", "social.2", "embedder", "embedder.2"),
    *("retriever", "retriever.2", "embedder-2", "embedder-2.2"),
]


def test_metrics_of_replicas_stand_behind_each_other() -> None:
    for _ in range(20):
        changed = {"replicas": 2, "metrics_port": random.randrange(20_000, 32_000)}
        try:
            chosen = Ports.choose(settings().model_copy(update=changed))
        except StateError:  # another program has one of them
            continue
        assert chosen.metrics == {name: changed["metrics_port"] + place for place, name in enumerate(NAMES_OF_TWO)}
        assert chosen.metrics_listen("retriever.2") == f"127.0.0.1:{changed['metrics_port'] + 7}"
        return
    raise AssertionError("no ten ports in a row are free")


def test_processes_of_the_gateway_count_their_free_ports_for_metrics_themselves() -> None:
    ports = Ports.choose(settings().model_copy(update={"replicas": 2, "gateway_workers": 4, "metrics_port": 0}))
    gateways = [port for name, port in ports.metrics.items() if name.startswith("gateway")]
    assert gateways == [gateways[0] + place for place in range(4)]
    assert len(set(ports.metrics.values())) == 12


def test_first_port_for_metrics_that_leaves_no_room_is_named() -> None:
    with pytest.raises(StateError, match=r"port 65530 is too high: 10 processes(.|\n)*MUSEED_METRICS_PORT"):
        Ports.choose(settings().model_copy(update={"replicas": 2, "metrics_port": 65_530}))


def test_free_port_that_was_chosen_already_is_not_chosen_again(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = iter([*(port for port in range(21_000, 32_000) for _ in range(2))])
    monkeypatch.setattr(random, "randrange", lambda start, stop: next(drawn))
    ports = Ports.choose(settings().model_copy(update={"replicas": 8, "metrics_port": 0}))
    chosen = [*ports.replicas.values(), *ports.stand_ins.values(), *ports.metrics.values(), ports.social, ports.nats]
    assert len(chosen) == len(set(chosen)) == 74
