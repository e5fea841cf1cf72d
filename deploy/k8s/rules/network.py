"""Rules about the network: what may talk to what is what talks to what, by the settings that the services have."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from deploy.k8s.manifests import Document, named, of_kind, pods_of, value_of, variables
from deploy.k8s.rules.environment import SERVICES

_CODE = Path(__file__).parents[3] / "services"
# Pods that CloudNativePG makes.
POSTGRES = "postgres"
_POSTGRES_LABELS = {"cnpg.io/cluster": "museed-postgres"}
_POSTGRES_PORTS = frozenset({5432, 8000})
_NATS_PORT, _ROUTES_PORT = 4222, 6222
_LOCAL_STORE = "blobs"


class Edge(NamedTuple):
    """Who opens connections to whom."""

    source: str
    target: str
    port: int


class _Place(NamedTuple):
    name: str
    labels: dict[str, str]
    ports: frozenset[int]


def _places(documents: Sequence[Document]) -> list[_Place]:
    found = [_Place(pods.name, pods.labels, frozenset(pods.ports().values())) for pods in pods_of(documents)]
    if named(documents, "Cluster", "museed-postgres"):
        found.append(_Place(POSTGRES, _POSTGRES_LABELS, _POSTGRES_PORTS))
    return found


def allowed_edges(documents: Sequence[Document]) -> set[Edge]:
    """Return which pods may open connections to which, as a cluster reads the policies: both sides must agree."""
    policies, places = of_kind(documents, "NetworkPolicy"), _places(documents)
    return {
        Edge(source.name, target.name, port)
        for source in places
        for target in places
        for port in target.ports
        if _may(policies, "Egress", source, target, port) and _may(policies, "Ingress", target, source, port)
    }


def _may(policies: Sequence[Document], way: str, subject: _Place, peer: _Place, port: int) -> bool:
    applying = [one for one in policies if way in one["spec"]["policyTypes"] and _selects(one, subject)]
    if not applying:
        return True
    rules = [rule for one in applying for rule in one["spec"].get(way.lower(), [])]
    return any(_has_port(rule, port) and _has_peer(rule, way, peer) for rule in rules)


def _selects(policy: Document, place: _Place) -> bool:
    return _matches(policy["spec"]["podSelector"], place.labels)


def _matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    return bool(selector.get("matchLabels", {}).items() <= labels.items())


def _has_port(rule: dict[str, Any], port: int) -> bool:
    return any(one["port"] == port for one in rule.get("ports", [{"port": port}]))


def _has_peer(rule: dict[str, Any], way: str, peer: _Place) -> bool:
    peers = rule.get("from" if way == "Ingress" else "to")
    if peers is None:
        return True
    here = (one for one in peers if "namespaceSelector" not in one and "ipBlock" not in one)
    return any(_matches(one["podSelector"], peer.labels) for one in here)


def real_edges(documents: Sequence[Document]) -> set[Edge]:
    """Return which connections the processes open, by their settings' names and the code."""
    ports = {pods.name: pods.ports() for pods in pods_of(documents)}
    edges: set[Edge] = set()
    for service, kind in SERVICES.items():
        for field in kind.model_fields:
            target = field.removeprefix("second_").removesuffix("_address")
            if field.endswith("_address") and target in ports:
                edges.add(Edge(service, target, ports[target]["grpc"]))
        if "BusSettings" in (_CODE / service / "__main__.py").read_text():
            edges.add(Edge(service, "nats", _NATS_PORT))
        if "database_url" in kind.model_fields:
            edges.add(Edge(service, POSTGRES, 5432))
        if "blob_store_url" in kind.model_fields and _LOCAL_STORE in ports:
            edges.add(Edge(service, _LOCAL_STORE, ports[_LOCAL_STORE]["s3"]))
    edges |= {
        Edge("migrate", POSTGRES, 5432),
        Edge("operator", "social", ports["social"]["grpc"]),
        Edge("ingest", "gateway", ports["gateway"]["http"]),
    }
    if any("NATS_ROUTE_1" in variables(one) for pods in pods_of(documents) for one in pods.containers):
        edges.add(Edge("nats", "nats", _ROUTES_PORT))
    if POSTGRES not in ports:  # those of the operator
        edges |= {Edge(POSTGRES, POSTGRES, port) for port in _POSTGRES_PORTS}
    return edges


def outward_ports(documents: Sequence[Document]) -> dict[str, set[int]]:
    """Return by pods' names the ports that they may reach anywhere."""
    found: dict[str, set[int]] = {}
    for place in _places(documents):
        for policy in of_kind(documents, "NetworkPolicy"):
            if "Egress" not in policy["spec"]["policyTypes"] or not _selects(policy, place):
                continue
            for rule in policy["spec"].get("egress", []):
                if "to" not in rule:
                    found.setdefault(place.name, set()).update(one["port"] for one in rule.get("ports", [{"port": 0}]))
    return found


def _real_outward_ports(documents: Sequence[Document]) -> dict[str, set[int]]:
    found = {name: {443} for name, kind in SERVICES.items() if "blob_store_url" in kind.model_fields}
    found["social"] |= {465, 587}  # mail
    if named(documents, "Cluster", "museed-postgres"):
        found[POSTGRES] = {443, 6443}
    for pods in pods_of(documents):
        if any(value_of(variables(one).get("RETRIEVER_ENGINE"), documents) == "milvus" for one in pods.containers):
            found[pods.name].add(19530)
    return found


def check_network(documents: Sequence[Document]) -> list[str]:
    """Return what is wrong with the policies, a sentence each."""
    allowed, real = allowed_edges(documents), real_edges(documents)
    faults = [f"{one.source} may reach {one.target}:{one.port}, and never does" for one in sorted(allowed - real)]
    faults += [f"{one.source} cannot reach {one.target}:{one.port}" for one in sorted(real - allowed)]
    faults += _caller_faults(documents, real)
    outward, real_outward = outward_ports(documents), _real_outward_ports(documents)
    for name in sorted(outward.keys() | real_outward.keys()):
        if outward.get(name) != real_outward.get(name):
            ports, wanted = sorted(outward.get(name, ())), sorted(real_outward.get(name, ()))
            faults.append(f"{name} may reach ports {ports} anywhere, and needs {wanted}")
    for place in _places(documents):
        policies = of_kind(documents, "NetworkPolicy")
        if not _may(policies, "Egress", place, _Place("dns", {}, frozenset()), 53) and not _has_names(policies, place):
            faults.append(f"{place.name} cannot resolve names")
    return faults


def _caller_faults(documents: Sequence[Document], real: set[Edge]) -> list[str]:
    """Return processes with TLS that would let in others than those that call them, or a part of these."""
    faults = []
    for pods in pods_of(documents):
        found = variables(pods.containers[0])
        port = pods.ports().get("grpc")
        if "TLS_CA_FILE" not in found or port is None:
            continue
        wanted = sorted(edge.source for edge in real if (edge.target, edge.port) == (pods.name, port))
        given = sorted(filter(None, (value_of(found.get("TLS_CALLERS"), documents) or "").split(",")))
        if given != wanted:
            faults.append(f"{pods.name} lets {given} in (TLS_CALLERS), and is called by {wanted}")
    return faults


def _has_names(policies: Sequence[Document], place: _Place) -> bool:
    for policy in policies:
        if _selects(policy, place):
            for rule in policy["spec"].get("egress", []):
                if {one["port"] for one in rule.get("ports", [])} == {53}:
                    return True
    return False
