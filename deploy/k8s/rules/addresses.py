"""Rules about addresses: processes listen where their pods and Services say, and whom they call is there."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from deploy.k8s.manifests import Document, Pods, named, of_kind, pods_of, title, value_of, variables
from deploy.k8s.rules.environment import service_of
from deploy.local.nats import PERMISSIONS
from services.chassis.bus import STREAMS


def check_addresses(documents: Sequence[Document]) -> list[str]:
    """Return what is wrong with Services, ports and addresses, a sentence each."""
    return [*_service_faults(documents), *_address_faults(documents), *_consumer_faults(documents)]


def _consumer_faults(documents: Sequence[Document]) -> Iterator[str]:
    """Yield autoscalers that ask for what waits for another encoder than the one that is served."""
    retriever = next((pods for pods in pods_of(documents) if pods.name == "retriever"), None)
    if retriever is None:
        return
    encoder_id = value_of(variables(retriever.containers[0]).get("RETRIEVER_ENCODER_ID"), documents)
    for scaled in of_kind(documents, "ScaledObject"):
        for trigger in scaled["spec"]["triggers"]:
            consumer, stream = trigger["metadata"]["consumer"], trigger["metadata"]["stream"]
            if consumer != f"embedder-{encoder_id}" or stream not in STREAMS:
                yield f"{title(scaled)} asks for {consumer} of {stream}, and {encoder_id} is served"


def _service_faults(documents: Sequence[Document]) -> Iterator[str]:
    """Yield Services whose ports are none of their pods'."""
    everybody = list(pods_of(documents))
    for service in of_kind(documents, "Service"):
        name, selector = service["metadata"]["name"], service["spec"].get("selector")
        if not selector:
            yield f"Service/{name} selects no pods"
            continue
        chosen = [pods for pods in everybody if selector.items() <= pods.labels.items()]
        if len(chosen) != 1:
            yield f"Service/{name} selects {len(chosen)} kinds of pods"
            continue
        ports = chosen[0].ports()
        for port in service["spec"]["ports"]:
            if ports.get(port["targetPort"]) != port["port"]:
                yield f"Service/{name}: port {port['port']} is {port['targetPort']}, {ports.get(port['targetPort'])}"


def _address_faults(documents: Sequence[Document]) -> Iterator[str]:
    """Yield processes that listen elsewhere than their pods say, and addresses at which nobody is."""
    for pods in pods_of(documents):
        for container in pods.containers:
            found = {name: value_of(one, documents) or "" for name, one in variables(container).items()}
            ports = {one["containerPort"] for one in container.get("ports", [])}
            for name, value in found.items():
                port = value.rpartition(":")[2]
                if name.endswith("_LISTEN") and (not value.startswith("0.0.0.0:") or int(port) not in ports):
                    yield f"{pods.name} listens at {value} ({name}), and its pod has the ports {sorted(ports)}"
                if name.endswith("_ADDRESS"):
                    yield from (f"{pods.name}: {name}={fault}" for fault in _target_faults(value, documents))
            for argument in container.get("args", []):
                if argument.startswith("dns:"):
                    yield from (f"{pods.name}: {fault}" for fault in _target_faults(argument, documents))
            if "NATS_URL" in found and not _is_service(found["NATS_URL"].removeprefix("nats://"), documents):
                yield f"{pods.name}: nobody is at {found['NATS_URL']}"
            if (
                "NATS_URL" in found
                and service_of(container) in PERMISSIONS
                and found.get("NATS_USER") != service_of(container)
            ):
                yield f"{pods.name} is {found.get('NATS_USER')!r} to NATS"
            yield from _probe_faults(pods, container, found, documents)


def _target_faults(value: str, documents: Sequence[Document]) -> Iterator[str]:
    target = value.removeprefix("dns:///")
    if target == value:
        yield f"{value}: calls go to one address only; balancing needs dns:///"
    if not _is_service(target, documents):
        yield f"{value}: nobody is there"
        return
    service = named(documents, "Service", target.partition(".")[0])
    if service is not None and service["spec"].get("clusterIP") != "None":
        yield f"{value}: a Service with an address of its own hides its pods"


def _is_service(target: str, documents: Sequence[Document]) -> bool:
    """Say whether "name.namespace:port" is a port of a Service."""
    found = re.fullmatch(r"([a-z0-9-]+)\.([a-z0-9-]+):([0-9]+)", target)
    service = named(documents, "Service", found[1]) if found else None
    if found is None or service is None or service["metadata"].get("namespace") != found[2]:
        return False
    return int(found[3]) in {one["port"] for one in service["spec"]["ports"]}


def _probe_faults(
    pods: Pods, container: dict[str, Any], found: dict[str, str], documents: Sequence[Document]
) -> Iterator[str]:
    ports = {one["name"]: one["containerPort"] for one in container.get("ports", [])}
    hosts = found.get("GATEWAY_ALLOWED_HOSTS", "*").split(",")
    for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = container.get(kind, {})
        # A kubelet has no certificate.
        asked = "probes" if "TLS_CA_FILE" in found else "grpc"
        if "grpc" in probe and probe["grpc"]["port"] != ports.get(asked):
            yield f"{pods.name}: {kind} asks port {probe['grpc']['port']}"
        if "httpGet" in probe:
            if probe["httpGet"]["port"] not in ports:
                yield f"{pods.name}: {kind} asks port {probe['httpGet']['port']}"
            host = next((one["value"] for one in probe["httpGet"].get("httpHeaders", []) if one["name"] == "Host"), "")
            if "*" not in hosts and host not in hosts:
                yield f"{pods.name}: {kind} asks with Host {host!r}, which is refused"
    url = found.get("MUSEED_URL", "")
    if url:
        target = url.removeprefix("http://")
        gateway = next((one for one in pods_of(documents) if one.name == "gateway"), None)
        if not _is_service(target, documents):
            yield f"{pods.name}: nobody is at {url}"
        if gateway is not None:
            allowed = value_of(variables(gateway.containers[0]).get("GATEWAY_ALLOWED_HOSTS"), documents) or "*"
            if "*" not in allowed.split(",") and target.partition(":")[0] not in allowed.split(","):
                yield f"{pods.name}: the gateway refuses the name in {url}"
