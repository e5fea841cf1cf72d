"""Each rule sees what it is for: one fault is put into a rendering that has none."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from deploy.k8s.check import faults_of
from deploy.k8s.manifests import FOLDER, Document, named, parse, render
from deploy.k8s.rules.network import Edge, allowed_edges, real_edges
from deploy.k8s.rules.pods import check_digests, image_faults
from services.embedder.artifact import open_artifact
from services.embedder.choice import MINI_FOLDER

Break = Callable[[list[Document]], None]


@pytest.fixture(scope="module")
def production() -> list[Document]:
    return parse(render(FOLDER / "overlays" / "production"))


def _pods(documents: list[Document], kind: str, name: str) -> dict[str, Any]:
    found = named(documents, kind, name)
    assert found is not None
    spec: dict[str, Any] = found["spec"]["template"]["spec"]
    return spec


def _container(documents: list[Document], name: str) -> dict[str, Any]:
    kind = "StatefulSet" if name in ("retriever", "nats") else "Deployment"
    container: dict[str, Any] = _pods(documents, kind, name)["containers"][0]
    return container


def _set(name: str, *path: str, value: Any) -> Break:
    """Return what changes a part of a service's container; None takes it away."""

    def change(documents: list[Document]) -> None:
        place = _container(documents, name)
        for part in path[:-1]:
            place = place[part]
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value

    return change


def _set_pods(name: str, *path: str, value: Any) -> Break:
    def change(documents: list[Document]) -> None:
        place = _pods(documents, "Deployment", name)
        for part in path[:-1]:
            place = place[part]
        if value is None:
            del place[path[-1]]
        else:
            place[path[-1]] = value

    return change


def _variable(name: str, variable: str, value: str | None) -> Break:
    """Return what sets a variable to a value, or takes it away."""

    def change(documents: list[Document]) -> None:
        container = _container(documents, name)
        container["env"] = [one for one in container["env"] if one["name"] != variable]
        if value is not None:
            container["env"].append({"name": variable, "value": value})

    return change


def _drop(kind: str, name: str) -> Break:
    def change(documents: list[Document]) -> None:
        documents.remove(_found(documents, kind, name))

    return change


def _found(documents: list[Document], kind: str, name: str) -> Document:
    found = named(documents, kind, name)
    assert found is not None
    return found


def _spec(kind: str, name: str, **fields: Any) -> Break:
    def change(documents: list[Document]) -> None:
        _found(documents, kind, name)["spec"].update(fields)

    return change


def _ingress_port(name: str, port: int) -> Break:
    def change(documents: list[Document]) -> None:
        _found(documents, "NetworkPolicy", name)["spec"]["ingress"][0]["ports"][0]["port"] = port

    return change


def _service_port(name: str, port: int) -> Break:
    def change(documents: list[Document]) -> None:
        _found(documents, "Service", name)["spec"]["ports"][0]["port"] = port

    return change


def _door(key: str, value: str) -> Break:
    def change(documents: list[Document]) -> None:
        [config] = [one for one in documents if one["metadata"]["name"].startswith("museed-door-")]
        config["data"][key] = value

    return change


def _secret_key(documents: list[Document]) -> None:
    for one in _container(documents, "gateway")["env"]:
        if one["name"] == "GATEWAY_URL_SIGNING_KEY":
            one["valueFrom"]["secretKeyRef"]["key"] = "signing"


def _twice(documents: list[Document]) -> None:
    env = _container(documents, "social")["env"]
    env.append({"name": "SOCIAL_LISTEN", "value": "0.0.0.0:7401"})


def _committed_secret(documents: list[Document]) -> None:
    documents.append(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "museed-mail"}, "stringData": {"url": "smtp://a"}}
    )


def _typo_of_crd(documents: list[Document]) -> None:
    _found(documents, "Cluster", "museed-postgres")["spec"]["instance"] = 3


def _another_consumer(documents: list[Document]) -> None:
    text = (FOLDER / "components" / "autoscaling" / "embedder.yaml").read_text()
    documents.extend(parse(text))


def _tag_of_postgres(documents: list[Document]) -> None:
    _found(documents, "ImageCatalog", "museed-postgres")["spec"]["images"][0]["image"] = "postgres:18"


def _unknown_kind(documents: list[Document]) -> None:
    documents.append({"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": {}})


_OF_SOCIAL = "Deployment/social: "
_ZEROS = f"@sha256:{'0' * 64}"
CASES: dict[str, tuple[Break, list[str]]] = {
    "memory without limit": (
        _set("social", "resources", "limits", "memory", value=None),
        [_OF_SOCIAL + "social: has no limits.memory"],
    ),
    "no request of a processor": (
        _set("social", "resources", "requests", "cpu", value=None),
        [_OF_SOCIAL + "social: has no requests.cpu"],
    ),
    "no startup probe": (_set("social", "startupProbe", value=None), [_OF_SOCIAL + "social: no startupProbe"]),
    "no readiness probe": (_set("nats", "readinessProbe", value=None), ["StatefulSet/nats: nats: no readinessProbe"]),
    "root": (
        _set_pods("social", "securityContext", "runAsNonRoot", value=False),
        [_OF_SOCIAL + "may run as root"],
    ),
    "no user": (_set_pods("social", "securityContext", "runAsUser", value=None), [_OF_SOCIAL + "may run as root"]),
    "no seccomp": (
        _set_pods("social", "securityContext", "seccompProfile", value=None),
        [_OF_SOCIAL + "has no seccomp profile"],
    ),
    "a token": (
        _set_pods("social", "automountServiceAccountToken", value=None),
        [_OF_SOCIAL + "has a token of its service account"],
    ),
    "no account": (
        _set_pods("social", "serviceAccountName", value=None),
        [_OF_SOCIAL + "runs as the default service account"],
    ),
    "the node's network": (
        _set_pods("social", "hostNetwork", value=True),
        [_OF_SOCIAL + "shares its node's hostNetwork"],
    ),
    "a root to write to": (
        _set("social", "securityContext", "readOnlyRootFilesystem", value=None),
        [_OF_SOCIAL + "social: its root can be written"],
    ),
    "more rights": (
        _set("social", "securityContext", "allowPrivilegeEscalation", value=True),
        [_OF_SOCIAL + "social: may get more rights"],
    ),
    "capabilities": (
        _set("social", "securityContext", "capabilities", value={"drop": ["ALL"], "add": ["SYS_PTRACE"]}),
        [_OF_SOCIAL + "social: has capabilities"],
    ),
    "a volume without bound": (
        _set_pods("social", "volumes", value=[{"name": "tmp", "emptyDir": {}}]),
        [_OF_SOCIAL + "volume tmp: an emptyDir without sizeLimit fills the node"],
    ),
    "a folder of the node": (
        _set_pods("social", "volumes", value=[{"name": "tmp", "hostPath": {"path": "/tmp"}}]),
        [_OF_SOCIAL + "volume tmp: hostPath"],
    ),
    "not spread": (
        _set_pods("social", "topologySpreadConstraints", value=None),
        [_OF_SOCIAL + "is not spread over nodes and zones"],
    ),
    "no budget": (_drop("PodDisruptionBudget", "social"), [_OF_SOCIAL + "has no PodDisruptionBudget"]),
    "no notice": (
        _set("social", "lifecycle", value=None),
        [_OF_SOCIAL + "ends 0 s after it was told to, before others have heard of it"],
    ),
    "killed while it drains": (
        _set_pods("social", "terminationGracePeriodSeconds", value=49),
        [_OF_SOCIAL + "is killed after 49 s, and needs 50 to drain"],
    ),
    "killed, by its settings": (
        _variable("gateway", "GATEWAY_DRAIN_TIMEOUT_S", "60"),
        ["Deployment/gateway: is killed after 60 s, and needs 80 to drain"],
    ),
    "latest": (
        _set("social", "image", value="ghcr.io/museed/social:latest"),
        [
            _OF_SOCIAL + "social: ghcr.io/museed/social:latest is another image each day",
            "ghcr.io/museed/social:latest has no digest",
        ],
    ),
    "a tag in production": (
        _set("social", "image", value="ghcr.io/museed/social:0.1.0"),
        ["ghcr.io/museed/social:0.1.0 has no digest"],
    ),
    "work of another encoder": (
        _another_consumer,
        [
            "ScaledObject/embedder asks for embedder-ENCODER of EMBED_WORK, and "
            f"{open_artifact(MINI_FOLDER).manifest.encoder_id} is served"
        ],
    ),
    "a tag of what an operator starts": (_tag_of_postgres, ["postgres:18 has no digest"]),
    "an unknown setting": (
        _variable("social", "SOCIAL_LISTENS", "0.0.0.0:7401"),
        [_OF_SOCIAL + "social: SOCIAL_LISTENS is no setting of social"],
    ),
    "another service's setting": (
        _variable("social", "GATEWAY_WORKERS", "2"),
        [_OF_SOCIAL + "social: GATEWAY_WORKERS is no setting of social"],
    ),
    "a missing setting": (
        _variable("social", "SOCIAL_DATABASE_URL", None),
        [_OF_SOCIAL + "social: SOCIAL_DATABASE_URL is missing"],
    ),
    "a bad value": (
        _variable("embedder", "EMBEDDER_MODEL_THREADS", "two"),
        [
            "Deployment/embedder: embedder: EMBEDDER_MODEL_THREADS: "
            "Input should be a valid integer, unable to parse string as an integer"
        ],
    ),
    "values that do not go together": (
        _variable("embedder", "EMBEDDER_BULK_FILES", "64"),
        [
            "Deployment/embedder: embedder: EMBEDDER_MAX_QUEUED_SECONDS is 1200, and 129 tracks at a time may have "
            "5160 s of sound waiting: raise it, or lower EMBEDDER_MAX_WAITING_CALLS, EMBEDDER_BULK_FILES or "
            "EMBEDDER_SECONDS_IN_FLIGHT"
        ],
    ),
    "a variable twice": (_twice, [_OF_SOCIAL + "social: a variable stands twice"]),
    "an engine that is not in the image": (
        _variable("retriever", "RETRIEVER_INDEX", "gpu-flat"),
        [f"StatefulSet/retriever: retriever: ghcr.io/museed/retriever{_ZEROS} with RETRIEVER_INDEX=gpu-flat"],
    ),
    "a GPU image without a GPU": (
        _set("embedder", "image", value=f"ghcr.io/museed/embedder-gpu{_ZEROS}"),
        [f"Deployment/embedder: embedder: ghcr.io/museed/embedder-gpu{_ZEROS} has no GPU"],
    ),
    "a name that probes may not use": (
        _door("allowed-hosts", "music.example.org,gateway.museed"),
        [
            f"gateway: {kind} asks with Host 'localhost', which is refused"
            for kind in ("startupProbe", "readinessProbe", "livenessProbe")
        ],
    ),
    "a name that ingest may not use": (
        _door("allowed-hosts", "music.example.org,localhost"),
        ["ingest: the gateway refuses the name in http://gateway.museed:8080"],
    ),
    "another port": (
        _service_port("social", 7411),
        [
            "Service/social: port 7411 is grpc, 7401",
            "embedder: EMBEDDER_SOCIAL_ADDRESS=dns:///social.museed:7401: nobody is there",
            "gateway: GATEWAY_SOCIAL_ADDRESS=dns:///social.museed:7401: nobody is there",
            "retriever: RETRIEVER_SOCIAL_ADDRESS=dns:///social.museed:7401: nobody is there",
            "operator: dns:///social.museed:7401: nobody is there",
        ],
    ),
    "listening elsewhere": (
        _variable("social", "SOCIAL_LISTEN", "127.0.0.1:7401"),
        ["social listens at 127.0.0.1:7401 (SOCIAL_LISTEN), and its pod has the ports [7401, 9464]"],
    ),
    "one address": (
        _variable("gateway", "GATEWAY_SOCIAL_ADDRESS", "social.museed:7401"),
        ["gateway: GATEWAY_SOCIAL_ADDRESS=social.museed:7401: calls go to one address only; balancing needs dns:///"],
    ),
    "a Service that hides pods": (
        _spec("Service", "retriever", clusterIP=""),
        [
            f"{name.lower()}: {name}_RETRIEVER_ADDRESS=dns:///retriever.museed:7403:"
            " a Service with an address of its own hides its pods"
            for name in ("GATEWAY", "SOCIAL")
        ],
    ),
    "a probe of another port": (
        _set("social", "livenessProbe", "grpc", "port", value=7402),
        ["social: livenessProbe asks port 7402"],
    ),
    "another's name to NATS": (_variable("social", "NATS_USER", "gateway"), ["social is 'gateway' to NATS"]),
    "no policy": (
        _drop("NetworkPolicy", "retriever"),
        [
            "gateway cannot reach retriever:7403",
            "retriever cannot reach nats:4222",
            "retriever cannot reach social:7401",
            "social cannot reach retriever:7403",
            "retriever may reach ports [] anywhere, and needs [443]",
        ],
    ),
    "a policy for another port": (
        _ingress_port("embedder", 7401),
        ["social cannot reach embedder:7402"],
    ),
    "more replicas than connections": (
        _spec("Deployment", "social", replicas=4),
        ["PostgreSQL has 120 connections, and 145 are needed"],
    ),
    "no names": (
        _drop("NetworkPolicy", "names"),
        [
            f"{name} cannot resolve names"
            for name in (
                "embedder",
                "gateway",
                "social",
                "nats",
                "retriever",
                "migrate",
                "operator",
                "ingest",
                "postgres",
            )
        ],
    ),
    "an unknown key": (_secret_key, ["Secret museed-gateway has no key signing: see deploy/k8s/secrets.py"]),
    "a Secret in a manifest": (_committed_secret, ["Secret/museed-mail: a Secret in the manifests is none"]),
    "a password in a manifest": (
        _variable("social", "NATS_PASSWORD", "pa55"),
        [_OF_SOCIAL.removesuffix(" ") + " NATS_PASSWORD stands in the manifest"],
    ),
    "a field that operators do not know": (
        _typo_of_crd,
        ["Cluster/museed-postgres: spec: Additional properties are not allowed ('instance' was unexpected)"],
    ),
    "a kind without a schema": (
        _unknown_kind,
        ["Thing/a: there is no schema of example.org/v1 Thing, and none at example.org_Thing_v1.json"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_one_fault_is_told(production: list[Document], case: str) -> None:
    documents = copy.deepcopy(production)
    change, told = CASES[case]
    change(documents)
    assert sorted(faults_of(documents, is_for_production=True)) == sorted(told)


def test_field_that_the_api_does_not_know_is_told(production: list[Document]) -> None:
    documents = copy.deepcopy(production)
    _set("social", "readinesProbe", value={})(documents)
    [fault] = faults_of(documents, is_for_production=True)
    assert fault.startswith("Deployment/social: spec.template.spec.containers.0: ")
    assert "'readinesProbe' was unexpected" in fault


def test_without_policies_everybody_may_reach_everybody(production: list[Document]) -> None:
    documents = [one for one in production if one["kind"] != "NetworkPolicy"]
    assert Edge("ingest", "postgres", 5432) in allowed_edges(documents)
    assert real_edges(documents) < allowed_edges(documents)


def test_edges_of_the_mesh(production: list[Document]) -> None:
    between = {one for one in real_edges(production) if one.target not in ("nats", "postgres")}
    assert between == {
        Edge("social", "embedder", 7402),
        Edge("social", "retriever", 7403),
        Edge("embedder", "social", 7401),
        Edge("retriever", "social", 7401),
        Edge("gateway", "social", 7401),
        Edge("gateway", "retriever", 7403),
        Edge("operator", "social", 7401),
        Edge("ingest", "gateway", 8080),
    }


@pytest.mark.parametrize(
    ("image", "told"),
    [
        ("nats", ["nats has neither tag nor digest"]),
        ("registry:5000/nats", ["registry:5000/nats has neither tag nor digest"]),
        ("nats@sha256:abc", ["nats@sha256:abc has no whole digest"]),
        ("nats:2.15.1-alpine", []),
        ("registry:5000/nats:2.15.1", []),
        (f"nats:2.15.1@sha256:{'a' * 64}", []),
    ],
)
def test_name_of_an_image(image: str, told: list[str]) -> None:
    assert list(image_faults(image)) == told


def test_production_has_digests(production: list[Document]) -> None:
    assert check_digests(production) == []
