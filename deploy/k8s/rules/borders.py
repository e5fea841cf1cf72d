"""Rules about borders of namespaces: nobody is left open, and who comes in from outside is one of few, by few ports."""

from collections.abc import Iterator, Sequence
from typing import Any

from deploy.k8s.manifests import Document, of_kind, pods_of, title
from deploy.k8s.rules.network import Place, places_of, selects, types_of

# By the labels of their namespaces: who may come to which ports, and who is gone to.
_MAY_ENTER: dict[tuple[str, str], frozenset[int]] = {
    ("museed.dev/door", "true"): frozenset({8080}),
    ("museed.dev/observes", "true"): frozenset({9464, 8222, 9187}),
    ("kubernetes.io/metadata.name", "cnpg-system"): frozenset({8000, 5432}),
    ("kubernetes.io/metadata.name", "keda"): frozenset({8222}),
    ("kubernetes.io/metadata.name", "kuberay-system"): frozenset({8265}),
}
_MAY_BE_ENTERED: dict[tuple[str, str], frozenset[int]] = {
    ("kubernetes.io/metadata.name", "kube-system"): frozenset({53}),
    ("museed.dev/observes", "true"): frozenset({4317}),
}
_WAYS = {"Ingress": ("ingress", "from", _MAY_ENTER), "Egress": ("egress", "to", _MAY_BE_ENTERED)}
_RIGHTS = ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
_DOOR = "gateway"


def check_borders(documents: Sequence[Document]) -> list[str]:
    """Return what is open that should not be, a sentence each."""
    faults = [f"{title(one)}: {fault}" for one in of_kind(documents, "NetworkPolicy") for fault in _rule_faults(one)]
    for place in places_of(documents):
        faults += [f"{place.name}: {fault}" for fault in _open_ways(place, documents)]
    for one in of_kind(documents, "Namespace"):
        level = one["metadata"].get("labels", {}).get("pod-security.kubernetes.io/enforce")
        if level != "restricted":
            faults.append(f"{title(one)}: pod-security.kubernetes.io/enforce is {level}, not restricted")
    for one in of_kind(documents, "Service"):
        kind, addresses = one["spec"].get("type", "ClusterIP"), one["spec"].get("externalIPs")
        if kind != "ClusterIP" or addresses:
            faults.append(f"{title(one)}: type is {kind}, externalIPs {addresses or []}: seen from outside")
    for one in of_kind(documents, "Ingress", "HTTPRoute"):
        faults += [f"{title(one)}: leads to {name}" for name in sorted(set(_backends(one["spec"])) - {_DOOR})]
    faults += [
        f"{title(one)}: says where a Service is, by hand" for one in of_kind(documents, "EndpointSlice", "Endpoints")
    ]
    return faults + [f"{title(one)}: gives rights to the API" for one in of_kind(documents, *_RIGHTS)]


def _backends(spec: dict[str, Any]) -> Iterator[str]:
    """Yield the names of what a door leads to."""
    if "defaultBackend" in spec:
        yield _name_of(spec["defaultBackend"])
    for rule in spec.get("rules", []):
        yield from (one["name"] for one in rule.get("backendRefs", []))
        yield from (_name_of(one["backend"]) for one in rule.get("http", {}).get("paths", []))


def _name_of(backend: dict[str, Any]) -> str:
    return str((backend.get("service") or backend.get("resource") or {}).get("name"))


def _rule_faults(policy: Document) -> Iterator[str]:
    for way, (field, peers, known) in _WAYS.items():
        for rule in policy["spec"].get(field, []) if way in types_of(policy) else []:
            given = {one.get("port", 0) for one in rule.get("ports", [])} or {0}
            ports = {port for port in given if isinstance(port, int)}
            yield from (f"{field} port {port} is a name, and not a number" for port in sorted(given - ports))
            if way == "Ingress" and not rule.get(peers):
                yield f"{field} {sorted(ports)} from everybody"
            for peer in rule.get(peers, []):
                if "ipBlock" in peer and way == "Ingress":
                    yield f"{field} {sorted(ports)} from {peer['ipBlock'].get('cidr')}"
                if "namespaceSelector" in peer:
                    yield from _peer_faults(field, peer["namespaceSelector"], ports, known)
            yield from (
                f"{field} ports {one['port']} to {one['endPort']}" for one in rule.get("ports", []) if "endPort" in one
            )


def _peer_faults(
    field: str, selector: dict[str, Any], ports: set[int], known: dict[tuple[str, str], frozenset[int]]
) -> Iterator[str]:
    labels = selector.get("matchLabels", {}).items()
    allowed = frozenset().union(*(known.get(label, frozenset()) for label in labels))
    if not ports <= allowed:
        who = ", ".join(f"{name}={value}" for name, value in labels) or "every namespace"
        yield f"{field} {sorted(ports - allowed)} of {who}"


def _open_ways(place: Place, documents: Sequence[Document]) -> Iterator[str]:
    policies = [one for one in of_kind(documents, "NetworkPolicy") if selects(one, place)]
    for way in _WAYS:
        if not any(way in types_of(one) for one in policies):
            yield f"no NetworkPolicy is about its {way}"
    rules = [rule for one in policies if "Egress" in types_of(one) for rule in one["spec"].get("egress", [])]
    if not any({one.get("port") for one in rule.get("ports", [])} == {53} for rule in rules):
        yield "cannot resolve names"


def check_there(documents: Sequence[Document]) -> list[str]:
    """Return whether there is nothing to judge, which would pass every rule."""
    return [] if any(pods_of(documents)) or of_kind(documents, "HTTPRoute") else ["there is nothing to run"]
