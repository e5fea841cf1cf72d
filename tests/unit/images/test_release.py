"""What production runs is named by digests, which a release writes."""

import json
import sys
from pathlib import Path

import pytest

from deploy.images import release
from deploy.images.release import UNRELEASED, Release, ReleaseError, faults, split, used, with_digests, write_release
from deploy.images.table import BY_NAME, IMAGES, REGISTRY

ONE, OTHER = f"sha256:{64 * '1'}", f"sha256:{64 * '2'}"

DOCKER = """#!{python}
import json, pathlib, sys
calls = pathlib.Path(__file__).with_name("calls.jsonl")
with calls.open("a") as file:
    file.write(json.dumps(sys.argv[1:]) + chr(10))
if "fail" in sys.argv[-1]:
    sys.exit(3)
if sys.argv[2] == "imagetools":
    print(json.dumps({{"digest": "sha256:" + 64 * "b"}}))
else:
    name = sys.argv[sys.argv.index("--metadata-file") + 1]
    pathlib.Path(name).write_text(json.dumps({{"containerimage.digest": "sha256:" + 64 * "c"}}))
"""


@pytest.fixture
def k8s(tmp_path: Path) -> Path:
    """Manifests that run every image of ours and NATS, all with digests."""
    folder = tmp_path / "k8s"
    images = "".join(f"    image: {REGISTRY}/{image.name}\n" for image in IMAGES)
    for path, text in {
        "base/all.yaml": f"{images}      - image: docker.io/library/nats:2.15.1-alpine\n",
        "base/kustomization.yaml": "resources: [all.yaml]\n",
        "components/gpu/patch.yaml": f"image: {REGISTRY}/embedder-gpu\n",
        str(release.DIGESTS): "kind: Component\nimages:\n"
        + "".join(
            f"  - name: {name}\n    digest: {ONE}\n"
            for name in [*(f"{REGISTRY}/{image.name}" for image in IMAGES), "docker.io/library/nats"]
        ),
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


@pytest.fixture
def docker(tmp_path: Path) -> Path:
    path = tmp_path / "docker"
    path.write_text(DOCKER.format(python=sys.executable))
    path.chmod(0o755)
    return path


def calls(docker: Path) -> list[list[str]]:
    return [json.loads(line) for line in docker.with_name("calls.jsonl").read_text().splitlines()]


def test_digests_everywhere_are_no_fault(k8s: Path) -> None:
    assert list(faults(k8s, is_released=True)) == []


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("newTag: 0.1.0", "{social} has no digest"),
        (f"digest: {ONE}\n    newTag: 0.1.0", "{social} has a tag"),
        ("digest: sha256:12", "{social} has no digest"),
        ("digest: latest", "{social} has no digest"),
    ],
    ids=["tag", "tag beside", "short", "word"],
)
def test_what_is_named_by_a_tag_is_told(line: str, told: str, k8s: Path) -> None:
    path = k8s / release.DIGESTS
    social = f"{REGISTRY}/social"
    path.write_text(path.read_text().replace(f"{social}\n    digest: {ONE}", f"{social}\n    {line}"))
    assert f"{release.DIGESTS}: {told.format(social=social)}" in list(faults(k8s))


def test_image_without_an_entry_is_told(k8s: Path) -> None:
    (k8s / "components" / "more.yaml").write_text("imageName: ghcr.io/cloudnative-pg/postgresql:18.6\n")
    assert list(faults(k8s)) == [f"{release.DIGESTS}: ghcr.io/cloudnative-pg/postgresql is run, and has no entry"]


def test_image_with_a_digest_of_its_own_needs_no_entry(k8s: Path) -> None:
    (k8s / "components" / "more.yaml").write_text(f"image: quay.io/one@{ONE}\n")
    assert list(faults(k8s)) == []


def test_zeros_are_told_of_a_release_only(k8s: Path) -> None:
    path = k8s / release.DIGESTS
    path.write_text(path.read_text().replace(ONE, UNRELEASED, 1))
    assert list(faults(k8s)) == []
    assert list(faults(k8s, is_released=True)) == [f"{release.DIGESTS}: {REGISTRY}/{IMAGES[0].name} was never released"]


def test_missing_overlay_is_told(tmp_path: Path) -> None:
    assert list(faults(tmp_path)) == [f"{tmp_path / release.DIGESTS} is missing"]


def test_tags_of_others_are_read_from_base(k8s: Path) -> None:
    assert used(k8s)["docker.io/library/nats"] == "2.15.1-alpine"
    kustomization = k8s / "base" / "kustomization.yaml"
    kustomization.write_text("images:\n  - name: docker.io/library/nats\n    newTag: 2.16.0\n")
    assert used(k8s)["docker.io/library/nats"] == "2.16.0"


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("ghcr.io/museed/social", ("ghcr.io/museed/social", "")),
        ("localhost:5000/social", ("localhost:5000/social", "")),
        ("localhost:5000/social:1", ("localhost:5000/social", "1")),
        ("nats:2", ("nats", "2")),
    ],
)
def test_reference_is_split(reference: str, parts: tuple[str, str]) -> None:
    assert split(reference) == parts


def test_digests_are_written_and_all_else_stays() -> None:
    text = f"# why\nimages:\n  # ours\n  - name: a\n    newTag: '1'\n  - name: b\n    digest: {ONE}\npatches: []\n"
    assert with_digests(text, {"a": OTHER, "b": OTHER}) == (
        f"# why\nimages:\n  # ours\n  - name: a\n    digest: {OTHER}\n  - name: b\n    digest: {OTHER}\npatches: []\n"
    )


def test_digest_without_an_entry_is_refused() -> None:
    with pytest.raises(ReleaseError, match=r"no entry in .*: b"):
        with_digests("images:\n  - name: a\n    digest: x\n", {"a": ONE, "b": ONE})


def test_release_builds_on_digests_and_writes_digests(k8s: Path, docker: Path) -> None:
    write_release(Release("0.2.0", "abc", 1_700_000_000, str(docker)), k8s)
    text = (k8s / release.DIGESTS).read_text()
    assert text.count(f"digest: sha256:{64 * 'c'}") == len(IMAGES)
    assert f"- name: docker.io/library/nats\n    digest: sha256:{64 * 'b'}" in text
    assert list(faults(k8s, is_released=True)) == []
    built = {call[call.index("--tag") + 1]: call for call in calls(docker) if call[1] == "build"}
    assert sorted(built) == sorted(f"{REGISTRY}/{image.name}:0.2.0" for image in IMAGES)
    for image in IMAGES:
        call = built[f"{REGISTRY}/{image.name}:0.2.0"]
        assert call[call.index("--file") + 1] == image.dockerfile
        assert call[call.index("--target") + 1] == image.target
        given = [call[place + 1] for place, word in enumerate(call) if word == "--build-arg"]
        assert given == [
            f"PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:{64 * 'b'}",
            "VERSION=0.2.0",
            "REVISION=abc",
            "SOURCE_DATE_EPOCH=1700000000",
        ]
    assert calls(docker)[-1][-1] == "docker.io/library/nats:2.15.1-alpine"


def test_release_that_fails_changes_nothing(k8s: Path, docker: Path) -> None:
    (k8s / "base" / "more.yaml").write_text("image: docker.io/fail:1\n")
    before = (k8s / release.DIGESTS).read_text()
    with pytest.raises(ReleaseError, match="docker buildx imagetools inspect ended with 3"):
        write_release(Release("0.2.0", "abc", 0, str(docker)), k8s)
    assert (k8s / release.DIGESTS).read_text() == before


def test_base_that_a_release_cannot_pin_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "ROOT", tmp_path)
    path = tmp_path / BY_NAME["social"].dockerfile
    path.parent.mkdir(parents=True)
    path.write_text("ARG PYTHON_IMAGE=python:3\nFROM ${PYTHON_IMAGE} AS a\nFROM debian:12 AS cpu\n")
    with pytest.raises(ReleaseError, match="debian:12"):
        release.base_of(BY_NAME["social"])
