"""What is said of a mesh with TLS: who is let in, and whom probes ask."""

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.k8s.check import faults_of
from deploy.k8s.manifests import FOLDER, Document, named, parse, render


@pytest.fixture(scope="module")
def with_tls(tmp_path_factory: pytest.TempPathFactory) -> list[Document]:
    tree = tmp_path_factory.mktemp("k8s")
    for name in ("base", "components", "overlays"):
        shutil.copytree(FOLDER / name, tree / name)
    path: Path = tree / "overlays" / "local" / "kustomization.yaml"
    path.write_text(path.read_text() + "components: [../../components/tls]\n")
    return parse(render(path.parent))


def _social(documents: list[Document]) -> dict[str, Any]:
    found = named(documents, "Deployment", "social")
    assert found is not None
    container: dict[str, Any] = found["spec"]["template"]["spec"]["containers"][0]
    return container


def _set(name: str, value: str) -> Callable[[list[Document]], None]:
    def change(documents: list[Document]) -> None:
        [variable] = [one for one in _social(documents)["env"] if one["name"] == name]
        variable["value"] = value

    return change


def _probe_with_tls(documents: list[Document]) -> None:
    _social(documents)["readinessProbe"]["grpc"]["port"] = 7401


def _no_certificate(documents: list[Document]) -> None:
    documents.remove(next(one for one in documents if one["kind"] == "Certificate" and "social" in str(one["spec"])))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            _set("TLS_CALLERS", "gateway,operator"),
            "social lets ['gateway', 'operator'] in (TLS_CALLERS), and is called by "
            "['embedder', 'gateway', 'operator', 'retriever']",
        ),
        (_probe_with_tls, "social: readinessProbe asks port 7401"),
        (_no_certificate, "Deployment/social: volume tls: nobody makes the Secret museed-tls-social"),
        (
            _set("TLS_PRIVATE_KEY_FILE", "-----BEGIN PRIVATE KEY-----"),
            "Deployment/social: TLS_PRIVATE_KEY_FILE stands in the manifest",
        ),
    ],
    ids=["callers", "probes", "certificates", "keys"],
)
def test_one_fault_is_told(with_tls: list[Document], change: Callable[[list[Document]], None], told: str) -> None:
    documents = copy.deepcopy(with_tls)
    change(documents)
    assert faults_of(documents) == [told]
