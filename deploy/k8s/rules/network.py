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


class Place(NamedTuple):
    """Pods that are alike: what they are called, by what policies find them, and where they listen."""

    name: str
    labels: dict[str, str]
    ports: frozenset[int]


def places_of(documents: Sequence[Document]) -> list[Place]:
    """Return all kinds of pods, those of PostgreSQL's operator among them."""
    found = [Place(pods.name, pods.labels, frozenset(pods.ports().values())) for pods in pods_of(documents)]
    if named(documents, "Cluster", "museed-postgres"):
        found.append(Place(POSTGRES, _POSTGRES_LABELS, _POSTGRES_PORTS))
    return found


def allowed_edges(documents: Sequence[Document]) -> set[Edge]:
    """Return which pods may open connections to which, as a cluster reads the policies: both sides must agree."""
    policies, places = of_kind(documents, "NetworkPolicy"), places_of(documents)
    return {
        Edge(source.name, target.name, port)
        for source in places
        for target in places
        for port in target.ports
        if _may(policies, "Egress", source, target, port) and _may(policies, "Ingress", target, source, port)
    }


def _may(policies: Sequence[Document], way: str, subject: Place, peer: Place, port: int) -> bool:
    applying = [one for one in policies if way in types_of(one) and selects(one, subject)]
    if not applying:
        return True
    rules = [rule for one in applying for rule in one["spec"].get(way.lower(), [])]
    return any(_has_port(rule, port) and _has_peer(rule, way, peer) for rule in rules)


def types_of(policy: Document) -> list[str]:
    """Return which ways a policy is about; by default whatever it has rules for."""
    spec = policy["spec"]
    return list(spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])])


def selects(policy: Document, place: Place) -> bool:
    """Say whether a policy is about these pods."""
    return _matches(policy["spec"].get("podSelector", {}), place.labels)


def _matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    wanted = selector.get("matchExpressions", [])
    return selector.get("matchLabels", {}).items() <= labels.items() and all(_holds(one, labels) for one in wanted)


def _holds(wanted: dict[str, Any], labels: dict[str, str]) -> bool:
    found = labels.get(wanted["key"])
    match wanted["operator"]:
        case "In":
            return found in wanted["values"]
        case "NotIn":
            return found not in wanted["values"]
        case "Exists":
            return found is not None
    return found is None


def _has_port(rule: dict[str, Any], port: int) -> bool:
    ports = rule.get("ports")
    return not ports or any(_first(one) <= port <= one.get("endPort", _first(one)) for one in ports)


def _first(port: dict[str, Any]) -> int:
    """Return a port by its number; one without is all of them, a name is none: rules here read numbers."""
    number = port.get("port", 0)
    return number if isinstance(number, int) else -1


def _has_peer(rule: dict[str, Any], way: str, peer: Place) -> bool:
    peers = rule.get("from" if way == "Ingress" else "to")
    if not peers:
        return True
    here = (one for one in peers if "namespaceSelector" not in one and "ipBlock" not in one)
    return any(_matches(one.get("podSelector", {}), peer.labels) for one in here)


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
    for place in places_of(documents):
        for policy in of_kind(documents, "NetworkPolicy"):
            if "Egress" not in types_of(policy) or not selects(policy, place):
                continue
            for rule in policy["spec"].get("egress", []):
                if not rule.get("to") or any("ipBlock" in one for one in rule["to"]):
                    ports = rule.get("ports") or [{"port": 0}]
                    found.setdefault(place.name, set()).update(_first(one) for one in ports)
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
    """Return what is wrong with the policies of a mesh, a sentence each."""
    ports = {pods.name: pods.ports() for pods in pods_of(documents)}
    missing = [name for name in SERVICES if name not in ports]
    if missing:
        return [f"there is no {name}" for name in missing]
    allowed, real = allowed_edges(documents), real_edges(documents)
    faults = [f"{one.source} may reach {one.target}:{one.port}, and never does" for one in sorted(allowed - real)]
    faults += [f"{one.source} cannot reach {one.target}:{one.port}" for one in sorted(real - allowed)]
    faults += _caller_faults(documents, real)
    outward, real_outward = outward_ports(documents), _real_outward_ports(documents)
    for name in sorted(outward.keys() | real_outward.keys()):
        if outward.get(name) != real_outward.get(name):
            found, wanted = sorted(outward.get(name, ())), sorted(real_outward.get(name, ()))
            faults.append(f"{name} may reach ports {found} anywhere, and needs {wanted}")
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
