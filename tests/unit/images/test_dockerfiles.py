"""Every Dockerfile is clean, small, and runs as nobody; what it copies is there."""

import json
import re
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from deploy.images.dockerfile import copied_files, environment, kept_by_dockerignore, lineage, stages
from deploy.images.table import BY_NAME, IMAGES, ROOT, USER_ID, Image
from tests.fixtures.known_variables import known

HADOLINT = str(Path(sysconfig.get_path("scripts")) / "hadolint")
DOCKERFILES = sorted({image.dockerfile for image in IMAGES})
# Beside the chassis: what of the code each image has.
OWN = {
    "museed": [
        *("clients", "deploy/local", "services/gateway", "services/social"),
        # How a recording is known again, and nothing else of the embedder.
        *(f"services/embedder/{name}.py" for name in ("__init__", "audio_hash", "ogg_audio")),
    ]
}

every_image = pytest.mark.parametrize("image", IMAGES, ids=lambda image: str(image.name))


@pytest.fixture(scope="module")
def kept() -> frozenset[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True)
    return kept_by_dockerignore(listed.stdout.split("\0")[:-1])


def module_of(image: Image) -> str:
    service = image.dockerfile.split("/")[1]
    return {"museed": "deploy.local.cli", "embedder-bulk": "services.embedder.bulk"}.get(
        image.name, f"services.{service}"
    )


def last(image: Image, keyword: str) -> str:
    return [rest for word, rest in lineage(image) if word == keyword][-1]


def hadolint(*paths: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([HADOLINT, *paths], cwd=ROOT, capture_output=True, text=True, check=False)


def test_dockerfiles_are_clean() -> None:
    done = hadolint(*DOCKERFILES)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("FROM python:latest", "DL3007"),
        ("FROM python", "DL3006"),
        ("RUN apt-get install gcc", "DL3008"),
        ("RUN cd /app && pip install numpy", "DL3013"),
        ("ENTRYPOINT python -m services.social", "DL3025"),
        ("ADD services /app", "DL3020"),
    ],
)
def test_bad_line_is_refused(line: str, rule: str, tmp_path: Path) -> None:
    path = tmp_path / "Dockerfile"
    base = "" if line.startswith("FROM") else "FROM python:3.11-slim-bookworm\n"
    path.write_text(f"{base}{line}\n")
    done = hadolint(path)
    assert done.returncode == 1
    assert rule in done.stdout


def test_make_lint_asks_for_every_dockerfile() -> None:
    make = subprocess.run(
        ["make", "--dry-run", "--always-make", "lint"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    [line] = [line for line in make.stdout.splitlines() if "/hadolint " in line]
    assert sorted(line.split()[1:]) == DOCKERFILES
    found = subprocess.run(["git", "ls-files", "*Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.split() == sorted(DOCKERFILES)


@every_image
def test_base_is_one_argument_that_a_release_sets(image: Image) -> None:
    known_stages = stages(ROOT / image.dockerfile)
    assert {stage.base for stage in known_stages.values()} - set(known_stages) == {"${PYTHON_IMAGE}"}
    assert "ARG PYTHON_IMAGE=python:3.11-slim-bookworm\n" in (ROOT / image.dockerfile).read_text()


@every_image
def test_process_is_nobody_and_gets_its_signals(image: Image) -> None:
    assert last(image, "USER") == f"{USER_ID}:{USER_ID}"
    assert last(image, "STOPSIGNAL") == "SIGTERM"
    assert json.loads(last(image, "ENTRYPOINT")) == ["python", "-m", module_of(image)]
    assert [word for word, _ in lineage(image) if word == "CMD"] == []


@every_image
def test_health_is_asked_where_it_listens(image: Image) -> None:
    health = last(image, "HEALTHCHECK")
    if image.name in ("museed", "embedder-bulk"):
        assert health == "NONE"
        assert [rest for word, rest in lineage(image) if word == "EXPOSE"] == []
        return
    service = image.dockerfile.split("/")[1]
    port = environment(image)[f"{service.upper()}_LISTEN"].rpartition(":")[2]
    address = f"http://127.0.0.1:{port}/readyz" if service == "gateway" else f"127.0.0.1:{port}"
    _, _, command = health.partition(" CMD ")
    assert json.loads(command) == ["python", "-m", "services.chassis.health", address]
    assert last(image, "EXPOSE") == port


@every_image
def test_labels_tell_what_it_is(image: Image) -> None:
    labels = dict(re.findall(r'org\.opencontainers\.image\.([a-z.]+)="([^"]*)"', last(image, "LABEL")))
    assert labels.pop("description")
    assert labels == {
        "title": image.name,
        "source": "https://github.com/museed/museed",
        "licenses": "Apache-2.0",
        "version": "${VERSION}",
        "revision": "${REVISION}",
        "base.name": "${PYTHON_IMAGE}",
    }


@every_image
def test_variables_are_some_that_the_process_reads(image: Image) -> None:
    process = "museed" if image.name == "museed" else image.dockerfile.split("/")[1]
    assert sorted(environment(image).keys() - known(process)) == []


@every_image
def test_wheels_are_those_of_its_list_and_nothing_is_compiled(image: Image) -> None:
    known_stages = stages(ROOT / image.dockerfile)
    [wheels] = [rest.split()[0] for word, rest in lineage(image) if word == "COPY" and "/opt/museed" in rest]
    stage = known_stages[wheels.removeprefix("--from=")]
    # Those of the GPU and Ray: one stage behind the other, so that what both have is fetched once.
    assert stage.base == ("gpu-wheels" if image.name == "embedder-bulk" else "tools")
    copied = [rest for word, rest in stage.instructions if word == "COPY"]
    assert copied == [f"requirements/images/{image.name}.txt /build/"]
    [installed] = [rest for word, rest in stage.instructions if word == "RUN"]
    for command in re.findall(r"uv pip install .*?(?= &&|$)", installed):
        assert {"--no-deps", "--require-hashes"} <= set(command.split())
        # The source of MuQ is Python alone, and built with the setuptools of the list.
        assert ("--only-binary :all:" in command) is ("source.txt" not in command)
        assert ("--no-build-isolation" in command) is ("source.txt" in command)
    assert installed.count("uv pip install") == (2 if image.name == "embedder-gpu" else 1)


@every_image
def test_no_image_takes_packages_of_the_system(image: Image) -> None:
    text = (ROOT / image.dockerfile).read_text()
    assert not re.search(r"\b(apt|apt-get|apk|gcc|ffmpeg|curl|wget)\b", text)


@every_image
def test_code_changes_leave_the_wheels_in_the_cache(image: Image) -> None:
    places = [rest.split()[-1] for word, rest in lineage(image) if word == "COPY"]
    assert places.index("/opt/museed") < places.index("/app")
    # What differs in every release comes last of all.
    assert [word for word, _ in lineage(image)][-2:] == ["ARG", "LABEL"]


@every_image
def test_code_is_its_own_and_the_chassis(image: Image, kept: frozenset[str]) -> None:
    files = copied_files(image, kept)
    service = image.dockerfile.split("/")[1]
    own = OWN.get(image.name, [f"services/{service}"])
    owned = tuple(
        f"/app/{path}" if path.endswith(".py") else f"/app/{path}/" for path in [*own, "services/chassis", "protos/gen"]
    )
    others = sorted(place for place in files if not place.startswith(owned))
    allowed = {
        "embedder": r"/app/(services/__init__\.py|models/museed-mini/(manifest\.json|weights\.safetensors))",
        "gateway": r"/app/(services/__init__\.py|web/.+)",
        "museed": r"/app/(services|deploy)/__init__\.py",
    }.get(image.name.partition("-")[0], r"/app/services/__init__\.py")
    assert [place for place in others if not re.fullmatch(allowed, place)] == []
    assert [place for place in files if place.endswith((".md", "Dockerfile", ".pyc"))] == []


def test_login_shells_find_what_bulk_work_runs(tmp_path: Path) -> None:
    code = stages(ROOT / "services" / "embedder" / "Dockerfile")["code"]
    [line] = [rest for word, rest in code.instructions if word == "RUN"]
    written = line.partition("mkdir /build && ")[2].replace("/build", str(tmp_path))
    subprocess.run(["sh", "-euc", written], check=True)
    told = subprocess.run(
        ["sh", "-euc", f"PATH=/usr/bin:/bin; . {tmp_path / 'museed.sh'}; echo $PATH"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert told.stdout == "/opt/museed/bin:/usr/bin:/bin\n"
    copied = [rest for word, rest in lineage(BY_NAME["embedder-bulk"]) if word == "COPY"]
    assert "--from=code /build/museed.sh /etc/profile.d/" in copied


def test_all_that_git_has_of_a_service_is_copied(kept: frozenset[str]) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "services/social"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    files = copied_files(BY_NAME["social"], kept)
    wanted = {f"/app/{path}" for path in listed.stdout.split() if not path.endswith((".md", "Dockerfile"))}
    assert {place for place in files if place.startswith("/app/services/social/")} == wanted
    assert "/app/services/social/migrations/0001_create_accounts.sql" in files


def test_copy_of_nothing_is_refused(kept: frozenset[str]) -> None:
    with pytest.raises(FileNotFoundError, match="COPY services/social /app/services/social"):
        copied_files(BY_NAME["social"], frozenset(path for path in kept if not path.startswith("services/social/")))


def test_dockerignore_leaves_no_more_than_is_copied(kept: frozenset[str]) -> None:
    sources = {
        rest.split()[0]
        for image in IMAGES
        for stage in stages(ROOT / image.dockerfile).values()
        for word, rest in stage.instructions
        if word == "COPY" and "--from" not in rest
    }
    assert [path for path in sorted(kept) if not any(path == s or path.startswith(f"{s}/") for s in sources)] == []


@pytest.mark.parametrize(
    ("path", "is_kept"),
    [
        ("services/social/settings/jobs.py", True),
        ("services/social/README.md", False),
        ("services/social/Dockerfile", False),
        ("services/social/__pycache__/x.cpython-311.pyc", False),
        ("secrets/operator_password", False),
        (".museed/secrets.json", False),
        (".env", False),
        (".git/config", False),
        ("tests/conftest.py", False),
        ("requirements/lock.txt", False),
        ("models/museed-mini/weights.safetensors", True),
    ],
)
def test_dockerignore_keeps_code_and_no_secret(path: str, is_kept: bool) -> None:
    assert (kept_by_dockerignore([path]) == {path}) is is_kept


def test_gone_hadolint_would_be_noticed() -> None:
    assert shutil.which(HADOLINT)
