"""Each rule sees what it is for: one fault is put into a rendering that has none."""

import copy
import re
from pathlib import Path

import pytest

from deploy.k8s.check import faults_of
from deploy.k8s.manifests import FOLDER, Document, of_kind, parse, pods_of, render
from deploy.k8s.rules.network import Edge, allowed_edges, real_edges
from deploy.k8s.rules.pods import check_production, image_faults, is_unreleased
from tests.kustomizations import copied_manifests, overlay_with
from tests.unit.k8s.breaks import (
    MAIL,
    argument,
    bus_password,
    put,
    put_door,
    put_variable,
)
from tests.unit.k8s.broken import CASES


@pytest.fixture(scope="module")
def production() -> list[Document]:
    return parse(render(FOLDER / "overlays" / "production"))


@pytest.mark.parametrize("case", CASES)
def test_one_fault_is_told(production: list[Document], case: str) -> None:
    documents = copy.deepcopy(production)
    change, told = CASES[case]
    change(documents)
    found = faults_of(documents, is_for_production=True)
    assert sorted(re.sub(r"^(ConfigMap/[a-z-]+)-[0-9a-z]{10}:", r"\1:", fault) for fault in found) == sorted(told)


def test_no_secret_is_repeated(production: list[Document]) -> None:
    documents = copy.deepcopy(production)
    for change in (argument, bus_password, put_door("mail", MAIL), put_variable("social", "SOCIAL_MAIL_URL", MAIL)):
        change(documents)
    put_variable("gateway", "GATEWAY_URL_SIGNING_KEY", "pa55")(documents)
    found = faults_of(documents, is_for_production=True)
    assert [fault for fault in found if "pa55" in fault] == []
    assert len([fault for fault in found if fault.endswith("stands in the manifest")]) == 5


def test_what_was_never_released_is_told(production: list[Document]) -> None:
    documents = copy.deepcopy(production)
    assert is_unreleased(documents)
    for pods in pods_of(documents):
        for container in pods.all_containers:
            container["image"] = container["image"].replace("0" * 64, "a" * 64)
    assert not is_unreleased(documents)


def test_nothing_is_no_mesh() -> None:
    assert faults_of([]) == ["there is nothing to run"]


def test_mesh_without_a_service_is_told(production: list[Document]) -> None:
    documents = [one for one in production if (one["kind"], one["metadata"]["name"]) != ("Deployment", "embedder")]
    assert "there is no embedder" in faults_of(documents, is_for_production=True)


def test_field_that_the_api_does_not_know_is_told(production: list[Document]) -> None:
    documents = copy.deepcopy(production)
    put("social", "readinesProbe", value={})(documents)
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


def test_restored_cluster_is_judged_as_any(tmp_path: Path) -> None:
    tree = copied_manifests(tmp_path / "k8s")
    documents = parse(render(overlay_with(tree, "production", ["../recovery"])))
    assert faults_of(documents, is_for_production=True) == []
    [cluster] = of_kind(documents, "Cluster")
    archived = cluster["spec"]["plugins"][0]["parameters"]["serverName"]
    [before] = cluster["spec"]["externalClusters"]
    assert list(cluster["spec"]["bootstrap"]) == ["recovery"]
    assert cluster["spec"]["bootstrap"]["recovery"]["source"] == before["name"]
    assert archived != before["plugin"]["parameters"]["serverName"] == cluster["metadata"]["name"]


def test_production_has_digests(production: list[Document]) -> None:
    assert check_production(production) == []
