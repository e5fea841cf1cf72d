"""Each rule sees what it is for: one fault is put into a rendering that has none."""

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest

from deploy.k8s.check import faults_of
from deploy.k8s.manifests import FOLDER, Document, named, parse, render
from deploy.k8s.rules.network import Edge, allowed_edges, real_edges
from deploy.k8s.rules.pods import check_production, image_faults
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


def _set(name: str, *path: str | int, value: Any) -> Break:
    """Return what changes a part of a service's container; None takes it away."""

    def change(documents: list[Document]) -> None:
        place: Any = _container(documents, name)
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


_MAIL = "smtp://museed:pa55word@mail.example.org:587"


def _privileged_init(documents: list[Document]) -> None:
    context = _pods(documents, "Deployment", "social")["initContainers"][0]["securityContext"]
    context.update({"privileged": True, "runAsUser": 0})


def _env_from(documents: list[Document]) -> None:
    _container(documents, "social")["envFrom"] = [{"secretRef": {"name": "museed-mail"}}]


def _argument(documents: list[Document]) -> None:
    _found(documents, "Job", "operator")["spec"]["template"]["spec"]["containers"][0]["args"] += ["--password=pa55word"]


def _bus_password(documents: list[Document]) -> None:
    [config] = [one for one in documents if one["metadata"]["name"].startswith("museed-nats-config-")]
    config["data"]["nats.conf"] = config["data"]["nats.conf"].replace("$NATS_PASSWORD_SOCIAL", '"pa55word"')


def _peers(name: str, way: str, **rule: Any) -> Break:
    """Return what adds a rule to a policy."""

    def change(documents: list[Document]) -> None:
        _found(documents, "NetworkPolicy", name)["spec"].setdefault(way, []).append(rule)

    return change


def _privileged_pod(documents: list[Document]) -> None:
    image = f"docker.io/library/busybox@sha256:{'a' * 64}"
    container = {"name": "sh", "image": image, "securityContext": {"privileged": True}}
    documents.append(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "sh"}, "spec": {"containers": [container]}}
    )


def _folder_of_a_node(documents: list[Document]) -> None:
    documents.extend(parse((FOLDER / "overlays" / "local" / "music.yaml").read_text()))


def _binding(documents: list[Document]) -> None:
    documents.append(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "social"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "social", "namespace": "museed"}],
        }
    )


def _undenied(documents: list[Document]) -> None:
    for name in ("deny-all", "operator"):
        _drop("NetworkPolicy", name)(documents)


def _open_namespace(documents: list[Document]) -> None:
    _found(documents, "Namespace", "museed")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "privileged"


def _mirror(documents: list[Document]) -> None:
    """Images from elsewhere are still ours: a typo in their variables is one."""
    container = _container(documents, "social")
    container["image"] = f"registry.example.org/mirror/social@sha256:{'a' * 64}"
    _variable("social", "SOCIAL_LISTENS", "0.0.0.0:7401")(documents)


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
        [_OF_SOCIAL + "securityContext.runAsNonRoot is false: may run as root"],
    ),
    "no user": (
        _set_pods("social", "securityContext", "runAsUser", value=None),
        [_OF_SOCIAL + "securityContext.runAsUser is not set: may run as root"],
    ),
    "root's group": (
        _set_pods("social", "securityContext", "runAsGroup", value=0),
        [_OF_SOCIAL + "securityContext.runAsGroup is 0: may run as root"],
    ),
    "no seccomp": (
        _set_pods("social", "securityContext", "seccompProfile", value=None),
        [_OF_SOCIAL + "securityContext.seccompProfile.type is not set: has no seccomp profile"],
    ),
    "a token": (
        _set_pods("social", "automountServiceAccountToken", value=None),
        [_OF_SOCIAL + "automountServiceAccountToken is not set: has a token of its service account"],
    ),
    "no account": (
        _set_pods("social", "serviceAccountName", value=None),
        [_OF_SOCIAL + "serviceAccountName is not set: runs as the default service account"],
    ),
    "the node's network": (
        _set_pods("social", "hostNetwork", value=True),
        [_OF_SOCIAL + "hostNetwork is true: shares its node's"],
    ),
    "a root to write to": (
        _set("social", "securityContext", "readOnlyRootFilesystem", value=None),
        [_OF_SOCIAL + "social: securityContext.readOnlyRootFilesystem is not set: its root can be written"],
    ),
    "more rights": (
        _set("social", "securityContext", "allowPrivilegeEscalation", value=True),
        [_OF_SOCIAL + "social: securityContext.allowPrivilegeEscalation is true: may get more rights"],
    ),
    "capabilities": (
        _set("social", "securityContext", "capabilities", value={"drop": ["ALL"], "add": ["SYS_PTRACE"]}),
        [
            _OF_SOCIAL
            + 'social: securityContext.capabilities is {"drop": ["ALL"], "add": ["SYS_PTRACE"]}: has capabilities'
        ],
    ),
    "a volume without bound": (
        _set_pods("social", "volumes", value=[{"name": "tmp", "emptyDir": {}}]),
        [_OF_SOCIAL + "volume tmp: an emptyDir without sizeLimit fills the node"],
    ),
    "a folder of the node": (
        _set_pods("social", "volumes", value=[{"name": "tmp", "hostPath": {"path": "/tmp"}}]),
        [_OF_SOCIAL + "volume tmp: hostPath /tmp"],
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
            "Deployment/embedder: embedder: EMBEDDER_MODEL_THREADS=two: "
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
            f"{name}: cannot resolve names"
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
    "a privileged init container that is root": (
        _privileged_init,
        [
            _OF_SOCIAL + "schema: securityContext.privileged is true: may do what its node may",
            _OF_SOCIAL + "schema: securityContext.runAsUser is 0: the pod says that",
        ],
    ),
    "a bare pod": (
        _privileged_pod,
        [
            "Pod/sh: automountServiceAccountToken is not set: has a token of its service account",
            "Pod/sh: serviceAccountName is not set: runs as the default service account",
            "Pod/sh: securityContext.runAsNonRoot is not set: may run as root",
            "Pod/sh: securityContext.runAsUser is not set: may run as root",
            "Pod/sh: securityContext.runAsGroup is not set: may run as root",
            "Pod/sh: securityContext.seccompProfile.type is not set: has no seccomp profile",
            "Pod/sh: sh: securityContext.readOnlyRootFilesystem is not set: its root can be written",
            "Pod/sh: sh: securityContext.allowPrivilegeEscalation is not set: may get more rights",
            "Pod/sh: sh: securityContext.privileged is true: may do what its node may",
            "Pod/sh: sh: securityContext.capabilities is not set: has capabilities",
            *(f"Pod/sh: sh: has no {what}" for what in ("requests.cpu", "requests.memory", "limits.memory")),
        ],
    ),
    "a port of the node": (
        _set("nats", "ports", 0, "hostPort", value=4222),
        ["StatefulSet/nats: nats: port 4222: hostPort is 4222: takes a port of its node"],
    ),
    "a probe that asks nothing": (
        _set("social", "livenessProbe", value={"periodSeconds": 5}),
        [_OF_SOCIAL + "social: livenessProbe asks nothing"],
    ),
    "nobody serves during a release": (
        _spec("Deployment", "social", strategy={"type": "Recreate"}),
        [_OF_SOCIAL + "strategy.type is Recreate: nobody serves meanwhile"],
    ),
    "a token by a volume": (
        _set_pods(
            "social",
            "volumes",
            value=[{"name": "tmp", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}],
        ),
        [_OF_SOCIAL + "volume tmp: a token of its service account"],
    ),
    "a volume that is a folder of a node": (
        _folder_of_a_node,
        ["PersistentVolume/museed-music: hostPath /museed-music"],
    ),
    "a Secret that nobody makes, as a volume": (
        _set_pods("social", "volumes", value=[{"name": "tmp", "secret": {"secretName": "keys"}}]),
        [_OF_SOCIAL + "volume tmp: nobody makes the Secret keys"],
    ),
    "variables by the dozen": (_env_from, [_OF_SOCIAL + "social: envFrom: which variables come of it is not said"]),
    "an image from a mirror, with an unknown setting": (
        _mirror,
        [_OF_SOCIAL + "social: SOCIAL_LISTENS is no setting of social"],
    ),
    "an unknown variable of OpenTelemetry": (
        _variable("social", "OTEL_EXPORTER_OLTP_ENDPOINT", "http://otel:4317"),
        [_OF_SOCIAL + "social: OTEL_EXPORTER_OLTP_ENDPOINT is no setting of social"],
    ),
    "an address with a password": (
        _variable("social", "SOCIAL_MAIL_URL", _MAIL),
        [_OF_SOCIAL + "SOCIAL_MAIL_URL stands in the manifest"],
    ),
    "a password after a reference": (
        _variable("social", "NATS_PASSWORD", "$(NATS_USER)pa55"),
        [_OF_SOCIAL + "NATS_PASSWORD stands in the manifest"],
    ),
    "a password in an argument": (_argument, ["Job/operator: operator: --password stands in the manifest"]),
    "a password in a file": (
        _bus_password,
        ["ConfigMap/museed-nats-config: nats.conf: password stands in the manifest"],
    ),
    "a password in a ConfigMap": (_door("mail", _MAIL), ["ConfigMap/museed-door: mail stands in the manifest"]),
    "rights to the API": (_binding, ["ClusterRoleBinding/social: gives rights to the API"]),
    "a namespace that lets everything run": (
        _open_namespace,
        ["Namespace/museed: pod-security.kubernetes.io/enforce is privileged, not restricted"],
    ),
    "a Service to the outside": (
        _spec("Service", "gateway", type="LoadBalancer"),
        ["Service/gateway: type is LoadBalancer, externalIPs []: seen from outside"],
    ),
    "in from everybody": (
        _peers("social", "ingress", ports=[{"port": 7401}]),
        ["NetworkPolicy/social: ingress [7401] from everybody"],
    ),
    "in from everybody, by an empty list": (
        _peers("social", "ingress", **{"from": [], "ports": [{"port": 7401}]}),
        ["NetworkPolicy/social: ingress [7401] from everybody"],
    ),
    "in from every address": (
        _peers("social", "ingress", **{"from": [{"ipBlock": {"cidr": "0.0.0.0/0"}}], "ports": [{"port": 7401}]}),
        ["NetworkPolicy/social: ingress [7401] from 0.0.0.0/0"],
    ),
    "in from every namespace": (
        _peers("social", "ingress", **{"from": [{"namespaceSelector": {}}], "ports": [{"port": 7401}]}),
        ["NetworkPolicy/social: ingress [7401] of every namespace"],
    ),
    "in from a known namespace by another port": (
        _peers(
            "social",
            "ingress",
            **{
                "from": [{"namespaceSelector": {"matchLabels": {"museed.dev/observes": "true"}}}],
                "ports": [{"port": 7401}],
            },
        ),
        ["NetworkPolicy/social: ingress [7401] of museed.dev/observes=true"],
    ),
    "out to everywhere": (
        _peers("nats", "egress", to=[{"ipBlock": {"cidr": "0.0.0.0/0"}}], ports=[{"port": 443}]),
        ["nats may reach ports [443] anywhere, and needs []"],
    ),
    "out by every port": (
        _peers("nats", "egress"),
        ["nats may reach ports [0] anywhere, and needs []"],
    ),
    "a range of ports": (
        _peers(
            "social",
            "ingress",
            **{
                "from": [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "ingest"}}}],
                "ports": [{"port": 1, "endPort": 65535}],
            },
        ),
        ["NetworkPolicy/social: ingress ports 1 to 65535"],
    ),
    "no denial, and no policy of its own": (
        _undenied,
        ["operator cannot reach social:7401", "operator: no NetworkPolicy is about its Ingress"],
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
    found = faults_of(documents, is_for_production=True)
    assert sorted(re.sub(r"^(ConfigMap/[a-z-]+)-[0-9a-z]{10}:", r"\1:", fault) for fault in found) == sorted(told)


def test_no_secret_is_repeated(production: list[Document]) -> None:
    documents = copy.deepcopy(production)
    for change in (_argument, _bus_password, _door("mail", _MAIL), _variable("social", "SOCIAL_MAIL_URL", _MAIL)):
        change(documents)
    _variable("gateway", "GATEWAY_URL_SIGNING_KEY", "pa55")(documents)
    found = faults_of(documents, is_for_production=True)
    assert [fault for fault in found if "pa55" in fault] == []
    assert len([fault for fault in found if fault.endswith("stands in the manifest")]) == 5


def test_nothing_is_no_mesh() -> None:
    assert faults_of([]) == ["there is nothing to run"]


def test_mesh_without_a_service_is_told(production: list[Document]) -> None:
    documents = [one for one in production if (one["kind"], one["metadata"]["name"]) != ("Deployment", "embedder")]
    assert "there is no embedder" in faults_of(documents, is_for_production=True)


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
    assert check_production(production) == []
