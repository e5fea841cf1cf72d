"""Faults of a rendering by name: what breaks it, and what is told of it then; borders stand in a file of their own."""

from services.embedder.artifact import open_artifact
from services.embedder.choice import MINI_FOLDER
from tests.unit.k8s.breaks import (
    MAIL,
    Break,
    another_consumer,
    argument,
    binding,
    bus_password,
    committed_secret,
    drop,
    env_from,
    folder_of_a_node,
    mirror,
    open_namespace,
    privileged_init,
    privileged_pod,
    put,
    put_door,
    put_ingress_port,
    put_pods,
    put_service_port,
    put_spec,
    put_variable,
    secret_key,
    tag_of_postgres,
    twice,
    typo_of_crd,
    unknown_kind,
)
from tests.unit.k8s.broken_borders import BORDERS

_OF_SOCIAL = "Deployment/social: "
_ZEROS = f"@sha256:{'0' * 64}"
CASES: dict[str, tuple[Break, list[str]]] = {
    **BORDERS,
    "everybody's word for where people come from": (
        put_door("proxies", "*"),
        ["Deployment/gateway: gateway: FORWARDED_ALLOW_IPS believes everybody: name the networks of the proxies"],
    ),
    "a gateway that is killed while it drains": (
        put_pods("gateway", "terminationGracePeriodSeconds", value=72),
        ["Deployment/gateway: is killed after 72 s, and needs 72.5 to drain"],
    ),
    "memory without limit": (
        put("social", "resources", "limits", "memory", value=None),
        [_OF_SOCIAL + "social: has no limits.memory"],
    ),
    "no request of a processor": (
        put("social", "resources", "requests", "cpu", value=None),
        [_OF_SOCIAL + "social: has no requests.cpu"],
    ),
    "no startup probe": (put("social", "startupProbe", value=None), [_OF_SOCIAL + "social: no startupProbe"]),
    "no readiness probe": (put("nats", "readinessProbe", value=None), ["StatefulSet/nats: nats: no readinessProbe"]),
    "root": (
        put_pods("social", "securityContext", "runAsNonRoot", value=False),
        [_OF_SOCIAL + "securityContext.runAsNonRoot is false: may run as root"],
    ),
    "no user": (
        put_pods("social", "securityContext", "runAsUser", value=None),
        [_OF_SOCIAL + "securityContext.runAsUser is not set: may run as root"],
    ),
    "root's group": (
        put_pods("social", "securityContext", "runAsGroup", value=0),
        [_OF_SOCIAL + "securityContext.runAsGroup is 0: may run as root"],
    ),
    "no seccomp": (
        put_pods("social", "securityContext", "seccompProfile", value=None),
        [_OF_SOCIAL + "securityContext.seccompProfile.type is not set: has no seccomp profile"],
    ),
    "a token": (
        put_pods("social", "automountServiceAccountToken", value=None),
        [_OF_SOCIAL + "automountServiceAccountToken is not set: has a token of its service account"],
    ),
    "no account": (
        put_pods("social", "serviceAccountName", value=None),
        [_OF_SOCIAL + "serviceAccountName is not set: runs as the default service account"],
    ),
    "the node's network": (
        put_pods("social", "hostNetwork", value=True),
        [_OF_SOCIAL + "hostNetwork is true: shares its node's"],
    ),
    "a root to write to": (
        put("social", "securityContext", "readOnlyRootFilesystem", value=None),
        [_OF_SOCIAL + "social: securityContext.readOnlyRootFilesystem is not set: its root can be written"],
    ),
    "more rights": (
        put("social", "securityContext", "allowPrivilegeEscalation", value=True),
        [_OF_SOCIAL + "social: securityContext.allowPrivilegeEscalation is true: may get more rights"],
    ),
    "capabilities": (
        put("social", "securityContext", "capabilities", value={"drop": ["ALL"], "add": ["SYS_PTRACE"]}),
        [
            _OF_SOCIAL
            + 'social: securityContext.capabilities is {"drop": ["ALL"], "add": ["SYS_PTRACE"]}: has capabilities'
        ],
    ),
    "a volume without bound": (
        put_pods("social", "volumes", value=[{"name": "tmp", "emptyDir": {}}]),
        [_OF_SOCIAL + "volume tmp: an emptyDir without sizeLimit fills the node"],
    ),
    "a folder of the node": (
        put_pods("social", "volumes", value=[{"name": "tmp", "hostPath": {"path": "/tmp"}}]),
        [_OF_SOCIAL + "volume tmp: hostPath /tmp"],
    ),
    "not spread": (
        put_pods("social", "topologySpreadConstraints", value=None),
        [_OF_SOCIAL + "is not spread over nodes and zones"],
    ),
    "no budget": (drop("PodDisruptionBudget", "social"), [_OF_SOCIAL + "has no PodDisruptionBudget"]),
    "no notice": (
        put("social", "lifecycle", value=None),
        [_OF_SOCIAL + "ends 0 s after it was told to, before others have heard of it"],
    ),
    "killed while it drains": (
        put_pods("social", "terminationGracePeriodSeconds", value=49),
        [_OF_SOCIAL + "is killed after 49 s, and needs 50 to drain"],
    ),
    "killed, by its settings": (
        put_variable("gateway", "GATEWAY_DRAIN_TIMEOUT_S", "60"),
        ["Deployment/gateway: is killed after 90 s, and needs 125 to drain"],
    ),
    "latest": (
        put("social", "image", value="ghcr.io/museed/social:latest"),
        [
            _OF_SOCIAL + "social: ghcr.io/museed/social:latest is another image each day",
            "ghcr.io/museed/social:latest has no digest",
        ],
    ),
    "a tag in production": (
        put("social", "image", value="ghcr.io/museed/social:0.1.0"),
        ["ghcr.io/museed/social:0.1.0 has no digest"],
    ),
    "work of another encoder": (
        another_consumer,
        [
            "ScaledObject/embedder asks for embedder-ENCODER of EMBED_WORK, and "
            f"{open_artifact(MINI_FOLDER).manifest.encoder_id} is served"
        ],
    ),
    "a tag of what an operator starts": (tag_of_postgres, ["postgres:18 has no digest"]),
    "an unknown setting": (
        put_variable("social", "SOCIAL_LISTENS", "0.0.0.0:7401"),
        [_OF_SOCIAL + "social: SOCIAL_LISTENS is no setting of social"],
    ),
    "another service's setting": (
        put_variable("social", "GATEWAY_WORKERS", "2"),
        [_OF_SOCIAL + "social: GATEWAY_WORKERS is no setting of social"],
    ),
    "a missing setting": (
        put_variable("social", "SOCIAL_DATABASE_URL", None),
        [_OF_SOCIAL + "social: SOCIAL_DATABASE_URL is missing"],
    ),
    "a bad value": (
        put_variable("embedder", "EMBEDDER_MODEL_THREADS", "two"),
        [
            "Deployment/embedder: embedder: EMBEDDER_MODEL_THREADS=two: "
            "Input should be a valid integer, unable to parse string as an integer"
        ],
    ),
    "values that do not go together": (
        put_variable("embedder", "EMBEDDER_BULK_FILES", "64"),
        [
            "Deployment/embedder: embedder: EMBEDDER_MAX_QUEUED_SECONDS is 1200, and 129 tracks at a time may have "
            "5160 s of sound waiting: raise it, or lower EMBEDDER_MAX_WAITING_CALLS, EMBEDDER_BULK_FILES or "
            "EMBEDDER_SECONDS_IN_FLIGHT"
        ],
    ),
    "a variable twice": (twice, [_OF_SOCIAL + "social: a variable stands twice"]),
    "an engine that is not in the image": (
        put_variable("retriever", "RETRIEVER_INDEX", "gpu-flat"),
        [f"StatefulSet/retriever: retriever: ghcr.io/museed/retriever{_ZEROS} with RETRIEVER_INDEX=gpu-flat"],
    ),
    "a GPU image without a GPU": (
        put("embedder", "image", value=f"ghcr.io/museed/embedder-gpu{_ZEROS}"),
        [f"Deployment/embedder: embedder: ghcr.io/museed/embedder-gpu{_ZEROS} has no GPU"],
    ),
    "a name that probes may not use": (
        put_door("allowed-hosts", "music.example.org,gateway.museed"),
        [
            f"gateway: {kind} asks with Host 'localhost', which is refused"
            for kind in ("startupProbe", "readinessProbe", "livenessProbe")
        ],
    ),
    "a name that ingest may not use": (
        put_door("allowed-hosts", "music.example.org,localhost"),
        ["ingest: the gateway refuses the name in http://gateway.museed:8080"],
    ),
    "another port": (
        put_service_port("social", 7411),
        [
            "Service/social: port 7411 is grpc, 7401",
            "embedder: EMBEDDER_SOCIAL_ADDRESS=dns:///social.museed:7401: nobody is there",
            "gateway: GATEWAY_SOCIAL_ADDRESS=dns:///social.museed:7401: nobody is there",
            "retriever: RETRIEVER_SOCIAL_ADDRESS=dns:///social.museed:7401: nobody is there",
            "operator: dns:///social.museed:7401: nobody is there",
        ],
    ),
    "listening elsewhere": (
        put_variable("social", "SOCIAL_LISTEN", "127.0.0.1:7401"),
        ["social listens at 127.0.0.1:7401 (SOCIAL_LISTEN), and its pod has the ports [7401, 9464]"],
    ),
    "one address": (
        put_variable("gateway", "GATEWAY_SOCIAL_ADDRESS", "social.museed:7401"),
        ["gateway: GATEWAY_SOCIAL_ADDRESS=social.museed:7401: calls go to one address only; balancing needs dns:///"],
    ),
    "a Service that hides pods": (
        put_spec("Service", "retriever", clusterIP=""),
        [
            f"{name.lower()}: {name}_RETRIEVER_ADDRESS=dns:///retriever.museed:7403:"
            " a Service with an address of its own hides its pods"
            for name in ("GATEWAY", "SOCIAL")
        ],
    ),
    "a probe of another port": (
        put("social", "livenessProbe", "grpc", "port", value=7402),
        ["social: livenessProbe asks port 7402"],
    ),
    "another's name to NATS": (put_variable("social", "NATS_USER", "gateway"), ["social is 'gateway' to NATS"]),
    "no policy": (
        drop("NetworkPolicy", "retriever"),
        [
            "gateway cannot reach retriever:7403",
            "retriever cannot reach nats:4222",
            "retriever cannot reach social:7401",
            "social cannot reach retriever:7403",
            "retriever may reach ports [] anywhere, and needs [443]",
        ],
    ),
    "a policy for another port": (
        put_ingress_port("embedder", 7401),
        ["social cannot reach embedder:7402"],
    ),
    "more replicas than connections": (
        put_spec("Deployment", "social", replicas=4),
        ["PostgreSQL has 120 connections, and 145 are needed"],
    ),
    "no names": (
        drop("NetworkPolicy", "names"),
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
    "an unknown key": (secret_key, ["Secret museed-gateway has no key signing: see deploy/k8s/secrets.py"]),
    "a Secret in a manifest": (committed_secret, ["Secret/museed-mail: a Secret in the manifests is none"]),
    "a password in a manifest": (
        put_variable("social", "NATS_PASSWORD", "pa55"),
        [_OF_SOCIAL.removesuffix(" ") + " NATS_PASSWORD stands in the manifest"],
    ),
    "a field that operators do not know": (
        typo_of_crd,
        ["Cluster/museed-postgres: spec: Additional properties are not allowed ('instance' was unexpected)"],
    ),
    "a privileged init container that is root": (
        privileged_init,
        [
            _OF_SOCIAL + "schema: securityContext.privileged is true: may do what its node may",
            _OF_SOCIAL + "schema: securityContext.runAsUser is 0: the pod says that",
        ],
    ),
    "a bare pod": (
        privileged_pod,
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
        put("nats", "ports", 0, "hostPort", value=4222),
        ["StatefulSet/nats: nats: port 4222: hostPort is 4222: takes a port of its node"],
    ),
    "a probe that asks nothing": (
        put("social", "livenessProbe", value={"periodSeconds": 5}),
        [_OF_SOCIAL + "social: livenessProbe asks nothing"],
    ),
    "nobody serves during a release": (
        put_spec("Deployment", "social", strategy={"type": "Recreate"}),
        [_OF_SOCIAL + "strategy.type is Recreate: nobody serves meanwhile"],
    ),
    "a token by a volume": (
        put_pods(
            "social",
            "volumes",
            value=[{"name": "tmp", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}],
        ),
        [_OF_SOCIAL + "volume tmp: a token of its service account"],
    ),
    "a volume that is a folder of a node": (
        folder_of_a_node,
        ["PersistentVolume/museed-music: hostPath /museed-music"],
    ),
    "a Secret that nobody makes, as a volume": (
        put_pods("social", "volumes", value=[{"name": "tmp", "secret": {"secretName": "keys"}}]),
        [_OF_SOCIAL + "volume tmp: nobody makes the Secret keys"],
    ),
    "variables by the dozen": (env_from, [_OF_SOCIAL + "social: envFrom: which variables come of it is not said"]),
    "an image from a mirror, with an unknown setting": (
        mirror,
        [_OF_SOCIAL + "social: SOCIAL_LISTENS is no setting of social"],
    ),
    "an unknown variable of OpenTelemetry": (
        put_variable("social", "OTEL_EXPORTER_OLTP_ENDPOINT", "http://otel:4317"),
        [_OF_SOCIAL + "social: OTEL_EXPORTER_OLTP_ENDPOINT is no setting of social"],
    ),
    "an address with a password": (
        put_variable("social", "SOCIAL_MAIL_URL", MAIL),
        [_OF_SOCIAL + "SOCIAL_MAIL_URL stands in the manifest"],
    ),
    "a password after a reference": (
        put_variable("social", "NATS_PASSWORD", "$(NATS_USER)pa55"),
        [_OF_SOCIAL + "NATS_PASSWORD stands in the manifest"],
    ),
    "a password in an argument": (argument, ["Job/operator: operator: --password stands in the manifest"]),
    "a password in a file": (
        bus_password,
        ["ConfigMap/museed-nats-config: nats.conf: password stands in the manifest"],
    ),
    "a password in a ConfigMap": (put_door("mail", MAIL), ["ConfigMap/museed-door: mail stands in the manifest"]),
    "rights to the API": (binding, ["ClusterRoleBinding/social: gives rights to the API"]),
    "a namespace that lets everything run": (
        open_namespace,
        ["Namespace/museed: pod-security.kubernetes.io/enforce is privileged, not restricted"],
    ),
    "a kind without a schema": (
        unknown_kind,
        ["Thing/a: there is no schema of example.org/v1 Thing, and none at example.org_Thing_v1.json"],
    ),
}
