"""Every overlay with every combination of components: rendered, validated, judged."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from deploy.k8s.check import RULES, RULES_OF_A_MESH, faults_of
from deploy.k8s.manifests import FOLDER, Document, of_kind, parse, pods_of, render
from deploy.k8s.rules.pods import check_production
from deploy.k8s.rules.secrets import references
from deploy.k8s.secrets import SECRETS
from services.embedder.artifact import open_artifact
from services.embedder.choice import MINI_FOLDER
from tests.kustomizations import copied_manifests, overlay_with

COMPONENTS = sorted(path.parent.name for path in (FOLDER / "components").glob("*/kustomization.yaml"))
OVERLAYS = sorted(path.parent.name for path in (FOLDER / "overlays").glob("*/kustomization.yaml"))
SUBSETS = [subset for size in range(len(COMPONENTS) + 1) for subset in itertools.combinations(COMPONENTS, size)]
CHOICES = [(overlay, subset) for overlay in OVERLAYS for subset in SUBSETS]


def _name(overlay: str, subset: tuple[str, ...]) -> str:
    return "-".join((overlay, *subset))


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Document]]:
    """Render all of them once, two at a time: each takes a quarter of a second of a core."""
    tree = copied_manifests(tmp_path_factory.mktemp("k8s") / "k8s")
    folders = {_name(overlay, subset): overlay_with(tree, overlay, subset) for overlay, subset in CHOICES}
    with ThreadPoolExecutor(2) as threads:
        texts = dict(zip(folders, threads.map(render, folders.values()), strict=True))
    return {name: parse(text) for name, text in texts.items()}


def test_there_is_what_the_readme_lists() -> None:
    assert OVERLAYS == ["local", "production"]
    assert {"autoscaling", "gpu", "milvus"} <= set(COMPONENTS)
    listed = (FOLDER / "README.md").read_text()
    assert [name for name in COMPONENTS if f"`components/{name}`" not in listed] == []


@pytest.mark.parametrize(("overlay", "subset"), CHOICES, ids=[_name(*choice) for choice in CHOICES])
def test_rendering_has_no_fault(rendered: dict[str, list[Document]], overlay: str, subset: tuple[str, ...]) -> None:
    documents = rendered[_name(overlay, subset)]
    assert len(of_kind(documents, "Deployment", "StatefulSet")) >= 5
    # Whose id nobody knows before it has served.
    of_another_model = (
        "ScaledObject/embedder: embedder-museed-mini-2558bd6924eb8808 is none of /models/MuQ-large-msd-iter:"
        " write the id of its encoder into museed-encoder"
    )
    expected = [of_another_model] if overlay == "production" and {"gpu", "autoscaling"} <= set(subset) else []
    assert faults_of(documents, is_for_production=overlay == "production") == expected


def test_each_rule_is_used() -> None:
    assert len(RULES) == 7
    assert len(RULES_OF_A_MESH) == 3


@pytest.mark.parametrize("folder", ["door", "bulk"])
def test_what_stands_beside_the_mesh_has_no_fault(folder: str) -> None:
    assert faults_of(parse(render(FOLDER / folder)), is_for_production=True) == []


def test_local_images_are_named_by_tags(rendered: dict[str, list[Document]]) -> None:
    images = {one["image"] for pods in pods_of(rendered["local"]) for one in pods.all_containers}
    assert sorted(check_production(rendered["local"])) == [
        "PersistentVolume/museed-music: hostPath /museed-music",
        *(f"{image} has no digest" for image in sorted(images)),
    ]
    assert len(images) == 8


def test_each_known_secret_is_used_somewhere(rendered: dict[str, list[Document]]) -> None:
    everything = [*rendered.values(), parse(render(FOLDER / "bulk"))]
    used = {reference for documents in everything for reference in references(documents)}
    known = {(one.name, key) for one in SECRETS for key in one.make}
    assert used == known


def test_shipped_encoder_is_the_one_that_is_served_first(rendered: dict[str, list[Document]]) -> None:
    encoder_id = open_artifact(MINI_FOLDER).manifest.encoder_id
    documents = rendered["production-autoscaling"]
    [config] = [one for one in of_kind(documents, "ConfigMap") if one["metadata"]["name"].startswith("museed-encoder-")]
    assert config["data"] == {"encoder-id": encoder_id}
    [scaled] = of_kind(documents, "ScaledObject")
    assert scaled["spec"]["triggers"][0]["metadata"]["consumer"] == f"embedder-{encoder_id}"


def test_databases_are_made_with_the_letters_of_all_languages(rendered: dict[str, list[Document]]) -> None:
    letters = {"localeProvider": "builtin", "builtinLocale": "C.UTF-8", "localeCType": "C.UTF-8"}
    [cluster] = of_kind(rendered["production"], "Cluster")
    assert cluster["spec"]["bootstrap"]["initdb"].items() >= letters.items()
    [postgres] = [one for pods in pods_of(rendered["local"]) for one in pods.containers if one["name"] == "postgres"]
    [local] = [one["value"] for one in postgres["env"] if one["name"] == "POSTGRES_INITDB_ARGS"]
    composed = yaml.safe_load(Path("compose.yaml").read_text())["services"]["postgres"]["environment"]
    wanted = {"--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--lc-ctype=C.UTF-8"}
    assert set(local.split()) >= wanted
    assert set(composed["POSTGRES_INITDB_ARGS"].split()) >= wanted
