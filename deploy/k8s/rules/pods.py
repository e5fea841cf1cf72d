"""Rules about pods: what they may use and do, how they are asked, and how they end."""

import inspect
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from deploy.k8s.manifests import Document, Pods, of_kind, pods_of, title, value_of, variables
from services.chassis.server import Server

_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_NO_DIGEST = f"@sha256:{'0' * 64}"
_TAG = re.compile(r":[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")
_PROBES = ("startupProbe", "readinessProbe", "livenessProbe")
# Of a call in flight that just made it, and of the process's own end.
_MARGIN_S = 5
_SHIPPED_MODEL = "museed-mini"
# Until nodes, proxies and callers have heard that a pod ends.
_LEAST_NOTICE_S = 5


def check_pods(documents: Sequence[Document]) -> list[str]:
    """Return what is wrong with pods, a sentence each."""
    return [f"{title(pods.owner)}: {fault}" for pods in pods_of(documents) for fault in _faults(pods, documents)]


def _faults(pods: Pods, documents: Sequence[Document]) -> Iterator[str]:
    yield from _rights(pods)
    for container in pods.all_containers:
        for fault in _container_faults(container):
            yield f"{container['name']}: {fault}"
    for volume in pods.spec.get("volumes", []):
        yield from (f"volume {volume['name']}: {fault}" for fault in _volume_faults(volume))
    if pods.is_serving:
        yield from _serving_faults(pods, documents)
    if pods.owner["kind"] == "RayJob":
        for container in pods.containers:
            for probe in _PROBES[1:]:
                if probe not in container:
                    yield f"{container['name']}: no {probe}: KubeRay would ask by wget, which is not there"


def _told(field: str, value: object) -> str:
    return f"{field} is {'not set' if value is None else json.dumps(value)}"


def _rights(pods: Pods) -> Iterator[str]:
    spec, context = pods.spec, pods.spec.get("securityContext", {})
    if spec.get("automountServiceAccountToken") is not False:
        field = _told("automountServiceAccountToken", spec.get("automountServiceAccountToken"))
        yield f"{field}: has a token of its service account"
    if spec.get("serviceAccountName") in (None, "", "default"):
        yield f"{_told('serviceAccountName', spec.get('serviceAccountName'))}: runs as the default service account"
    if context.get("runAsNonRoot") is not True:
        yield f"{_told('securityContext.runAsNonRoot', context.get('runAsNonRoot'))}: may run as root"
    for name in ("runAsUser", "runAsGroup"):
        if not context.get(name):
            yield f"{_told(f'securityContext.{name}', context.get(name))}: may run as root"
    if context.get("fsGroup") == 0 or 0 in context.get("supplementalGroups", []):
        yield "securityContext: volumes belong to root's group"
    seccomp = context.get("seccompProfile", {}).get("type")
    if seccomp != "RuntimeDefault":
        yield f"{_told('securityContext.seccompProfile.type', seccomp)}: has no seccomp profile"
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield f"{_told(name, spec[name])}: shares its node's"
    if spec.get("shareProcessNamespace"):
        yield "shareProcessNamespace is true: its containers see each other's"
    if str(spec.get("priorityClassName", "")).startswith("system-"):
        yield f"{_told('priorityClassName', spec['priorityClassName'])}: drives the cluster's own pods out"
    if context.get("sysctls"):
        yield f"{_told('securityContext.sysctls', context['sysctls'])}: changes its node's kernel"


# What a pod may mount: its own, or by a claim.
_VOLUMES = {"emptyDir", "configMap", "secret", "projected", "persistentVolumeClaim"}


def _volume_faults(volume: dict[str, Any]) -> Iterator[str]:
    if "emptyDir" in volume and "sizeLimit" not in (volume["emptyDir"] or {}):
        yield "an emptyDir without sizeLimit fills the node"
    if "hostPath" in volume:
        yield f"hostPath {volume['hostPath'].get('path')}"
    elif kinds := volume.keys() - {"name"} - _VOLUMES:
        yield f"{', '.join(sorted(kinds))}: comes by no claim"
    for source in volume.get("projected", {}).get("sources", []):
        if "serviceAccountToken" in source:
            yield "a token of its service account"


# What a container may take back of what its pod has given up.
_KEPT = ("runAsUser", "runAsGroup", "runAsNonRoot", "seccompProfile", "procMount", "seLinuxOptions", "appArmorProfile")


def _container_faults(container: dict[str, Any]) -> Iterator[str]:
    context, resources = container.get("securityContext", {}), container.get("resources", {})
    if context.get("readOnlyRootFilesystem") is not True:
        field = _told("securityContext.readOnlyRootFilesystem", context.get("readOnlyRootFilesystem"))
        yield f"{field}: its root can be written"
    if context.get("allowPrivilegeEscalation") is not False:
        field = _told("securityContext.allowPrivilegeEscalation", context.get("allowPrivilegeEscalation"))
        yield f"{field}: may get more rights"
    if context.get("privileged"):
        yield "securityContext.privileged is true: may do what its node may"
    capabilities = context.get("capabilities")
    if capabilities != {"drop": ["ALL"]}:
        yield f"{_told('securityContext.capabilities', capabilities)}: has capabilities"
    for name in _KEPT:
        if name in context:
            yield f"{_told(f'securityContext.{name}', context[name])}: the pod says that"
    for port in container.get("ports", []):
        if port.get("hostPort"):
            yield f"port {port['containerPort']}: {_told('hostPort', port['hostPort'])}: takes a port of its node"
    for wanted in ("requests.cpu", "requests.memory", "limits.memory"):
        kind, _, name = wanted.partition(".")
        if name not in resources.get(kind, {}):
            yield f"has no {wanted}"
    yield from image_faults(container["image"])


def image_faults(image: str) -> Iterator[str]:
    """Yield what is wrong with the name of an image, whichever overlay it is in."""
    name = image.partition("@")[0]
    if "@" in image:
        if not _DIGEST.search(image):
            yield f"{image} has no whole digest"
    elif not _TAG.search(name):
        yield f"{image} has neither tag nor digest"
    if name.endswith(":latest"):
        yield f"{image} is another image each day"


def check_production(documents: Sequence[Document]) -> list[str]:
    """Return what must not go into production.

    That are images that are named by a tag alone, volumes that are folders of a node, and embedders that are counted by
    the work of another model.
    """
    images = {one["image"] for pods in pods_of(documents) for one in pods.all_containers}
    images |= {one["image"] for catalog in of_kind(documents, "ImageCatalog") for one in catalog["spec"]["images"]}
    faults = [f"{image} has no digest" for image in sorted(images) if not _DIGEST.search(image)]
    for volume in of_kind(documents, "PersistentVolume"):
        for kind in sorted({"hostPath", "local"} & volume["spec"].keys()):
            faults.append(f"{title(volume)}: {kind} {volume['spec'][kind].get('path')}")
    return faults + list(_scaling_faults(documents))


def is_unreleased(documents: Sequence[Document]) -> bool:
    """Say whether an image has the digest that stands where no release was made yet."""
    return any(_NO_DIGEST in one["image"] for pods in pods_of(documents) for one in pods.all_containers)


def _scaling_faults(documents: Sequence[Document]) -> Iterator[str]:
    """KEDA takes the stream's last sequence for the lag of a consumer that does not exist: it only grows."""
    containers = (one for pods in pods_of(documents) for one in pods.containers)
    embedder = next((one for one in containers if one["name"] == "embedder"), {})
    model = value_of(variables(embedder).get("EMBEDDER_ENCODER"), documents)
    if model in (None, _SHIPPED_MODEL):
        return
    for scaled in of_kind(documents, "ScaledObject"):
        consumers = [one["metadata"]["consumer"] for one in scaled["spec"]["triggers"]]
        if any(one.startswith(f"embedder-{_SHIPPED_MODEL}-") for one in consumers):
            yield f"{title(scaled)}: {consumers[0]} is none of {model}: write the id of its encoder into museed-encoder"


def _serving_faults(pods: Pods, documents: Sequence[Document]) -> Iterator[str]:
    if pods.owner["spec"].get("strategy", {}).get("type") == "Recreate" and pods.owner["spec"].get("replicas") != 1:
        yield "strategy.type is Recreate: nobody serves meanwhile"
    for container in pods.containers:
        for probe in _PROBES:
            if probe not in container:
                yield f"{container['name']}: no {probe}"
            elif not container[probe].keys() & {"grpc", "httpGet", "tcpSocket", "exec"}:
                yield f"{container['name']}: {probe} asks nothing"
    if not _is_spread(pods) and pods.owner["spec"].get("replicas") != 1:
        yield "is not spread over nodes and zones"
    budgets = of_kind(documents, "PodDisruptionBudget")
    chosen = [one for one in budgets if one["spec"]["selector"]["matchLabels"].items() <= pods.labels.items()]
    if not chosen and pods.owner["spec"].get("replicas") != 1:
        yield "has no PodDisruptionBudget"
    for budget in chosen:
        if budget["spec"].get("maxUnavailable") in (0, "0%", "100%"):
            yield f"{title(budget)}: {_told('maxUnavailable', budget['spec']['maxUnavailable'])}: none or all may go"
    if pods.name in DRAINS:
        yield from _drain_faults(pods, documents)


def _is_spread(pods: Pods) -> bool:
    keys = {
        one["topologyKey"]
        for one in pods.spec.get("topologySpreadConstraints", [])
        if one["labelSelector"]["matchLabels"].items() <= pods.labels.items()
    }
    return keys == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}


def _default_drain_s() -> float:
    return float(inspect.signature(Server.drain).parameters["grace_s"].default)


# Settings that say how long a service takes from SIGTERM to its end; none: as long as the chassis lets calls end.
# Each with its default, and how often it is taken: the gateway sends sockets away for half of its time and waits for
# idle connections for a quarter, before requests in flight get all of it.
DRAINS: dict[str, tuple[tuple[str, float, float], ...]] = {
    "social": (),
    "embedder": (("EMBEDDER_DRAIN_TIMEOUT_S", 10.0, 1.0),),
    "retriever": (),
    "gateway": (("GATEWAY_DRAIN_DELAY_S", 0.0, 1.0), ("GATEWAY_DRAIN_TIMEOUT_S", 10.0, 1.75)),
}


def _drain_faults(pods: Pods, documents: Sequence[Document]) -> Iterator[str]:
    container = pods.containers[0]
    notice_s = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
    if notice_s < _LEAST_NOTICE_S:
        yield f"ends {notice_s} s after it was told to, before others have heard of it"
    found = variables(container)
    settings = [
        times * float(value_of(found.get(name), documents) or default) for name, default, times in DRAINS[pods.name]
    ]
    needed_s = notice_s + (sum(settings) if settings else _default_drain_s()) + _MARGIN_S
    given_s = pods.spec.get("terminationGracePeriodSeconds", 30)
    if given_s < needed_s:
        yield f"is killed after {given_s} s, and needs {needed_s:g} to drain"
