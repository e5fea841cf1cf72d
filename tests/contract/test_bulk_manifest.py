"""The job that hears a huge catalogue: what kubectl renders is what KubeRay, Kubernetes and our command take."""

import copy
import json
import shlex
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from deploy.images.release import UNRELEASED
from deploy.k8s.check import faults_of
from services.embedder.bulk.__main__ import read_arguments
from services.embedder.settings import EncodingSettings

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "k8s"
SCHEMA = json.loads((FOLDER / "schemas" / "crds" / "ray.io_RayJob_v1.json").read_text())
Document = dict[str, Any]


@pytest.fixture(scope="module")
def documents() -> list[Document]:
    kubectl = Path(sysconfig.get_path("scripts", vars={"base": sys.prefix})) / "kubectl"
    done = subprocess.run([kubectl, "kustomize", FOLDER / "bulk"], capture_output=True, text=True, check=True)
    return list(yaml.safe_load_all(done.stdout))


@pytest.fixture(scope="module")
def job(documents: list[Document]) -> Document:
    (found,) = [one for one in documents if one["kind"] == "RayJob"]
    return found


def templates(job: Document) -> list[Document]:
    cluster = job["spec"]["rayClusterSpec"]
    return [one["template"] for one in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]


def containers(job: Document) -> list[Document]:
    return [container for template in templates(job) for container in template["spec"]["containers"]]


def faults(document: Document) -> list[str]:
    return [error.message for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(document)]


def test_the_api_takes_every_document(documents: list[Document]) -> None:
    assert sorted(one["kind"] for one in documents) == [
        "Namespace", "NetworkPolicy", *3 * ["PersistentVolumeClaim"], "RayJob", "ServiceAccount",
    ]  # fmt: skip
    for one in documents:
        if one["kind"] != "RayJob":
            kubernetes_validate.validate(one, "1.37", strict=True)


def test_kuberay_takes_the_job_and_the_api_its_pods(job: Document) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)

    assert faults(job) == []
    for template in templates(job):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bulk"}, "spec": template["spec"]}
        kubernetes_validate.validate(pod, "1.37", strict=True)


def test_what_kuberay_does_not_know_is_refused(job: Document) -> None:
    assert faults(job | {"spec": job["spec"] | {"entrypoints": "x"}}) != []
    assert faults(job | {"spec": {key: value for key, value in job["spec"].items() if key != "entrypoint"}}) != []


def test_the_entrypoint_is_our_command_with_its_options(job: Document) -> None:
    command = shlex.split(job["spec"]["entrypoint"])
    cluster = job["spec"]["rayClusterSpec"]
    (group,) = cluster["workerGroupSpecs"]
    asked = group["template"]["spec"]["containers"][0]["resources"]["requests"]

    assert command[:3] == ["python", "-m", "services.embedder.bulk"]
    given = read_arguments(command[3:])
    assert (given.workers, given.cpus, given.gpus) == (group["maxReplicas"], float(asked["cpu"]), 1)
    assert asked["nvidia.com/gpu"] == 1
    assert cluster["rayVersion"] == version("ray")
    mounts = {one["mountPath"] for one in containers(job)[0]["volumeMounts"]}
    assert {str(given.manifest.parent), str(given.out.parent), str(given.root)} <= mounts


def test_settings_are_those_of_the_encoder(job: Document) -> None:
    names = {one["name"] for container in containers(job) for one in container["env"]}

    own = {name.removeprefix("EMBEDDER_").lower() for name in names if name.startswith("EMBEDDER_")}
    assert own
    assert own <= EncodingSettings.model_fields.keys()


def test_pods_have_bounds_and_no_rights(job: Document) -> None:
    for template in templates(job):
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert all("sizeLimit" in one["emptyDir"] for one in spec["volumes"] if "emptyDir" in one)
    for container in containers(job):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        assert container["image"] == f"ghcr.io/museed/embedder-bulk@{UNRELEASED}"


def test_it_keeps_our_own_rules(documents: list[Document]) -> None:
    assert faults_of(documents, is_for_production=True) == []


_WORKER: dict[str, tuple[tuple[str | int, ...], object, str]] = {
    "no limit": (("resources", "limits"), {}, "has no limits.memory"),
    "no probe": (("readinessProbe",), None, "no readinessProbe: KubeRay would ask by wget, which is not there"),
    "a root to write to": (
        ("securityContext", "readOnlyRootFilesystem"),
        False,
        "securityContext.readOnlyRootFilesystem is false: its root can be written",
    ),
    "a user of its own": (("securityContext", "runAsUser"), 0, "securityContext.runAsUser is 0: the pod says that"),
    "a setting of another process": (
        ("env", 0, "name"),
        "EMBEDDER_LISTEN",
        "EMBEDDER_LISTEN is no setting of embedder",
    ),
    "a bad value": (
        ("env", 1, "value"),
        "many",
        "EMBEDDER_BULK_FILES=many: Input should be a valid integer, unable to parse string as an integer",
    ),
}


@pytest.mark.parametrize("case", _WORKER)
def test_a_fault_of_its_pods_is_told(documents: list[Document], case: str) -> None:
    changed = copy.deepcopy(documents)
    (job,) = [one for one in changed if one["kind"] == "RayJob"]
    place: Any = containers(job)[1]
    path, value, told = _WORKER[case]
    for part in path[:-1]:
        place = place[part]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    assert faults_of(changed, is_for_production=True) == [f"RayJob/bulk: ray-worker: {told}"]


def test_image_by_a_tag_is_refused(documents: list[Document]) -> None:
    changed = copy.deepcopy(documents)
    (job,) = [one for one in changed if one["kind"] == "RayJob"]
    containers(job)[0]["image"] = "ghcr.io/museed/embedder-bulk:latest"
    assert faults_of(changed, is_for_production=True) == [
        "RayJob/bulk: ray-head: ghcr.io/museed/embedder-bulk:latest is another image each day",
        "ghcr.io/museed/embedder-bulk:latest has no digest",
    ]
