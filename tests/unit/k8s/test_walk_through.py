"""Every command of README.md, and of a restore: kubectl and `museed` know it, and what it names is there."""

import importlib
import itertools
import re
import shlex
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from deploy.k8s.manifests import FOLDER, Document, named, parse, pods_of, render
from deploy.k8s.secrets import SECRETS
from deploy.local.cli import app

_ROOT = FOLDER.parents[1]
_README = (FOLDER / "README.md").read_text()
_RUNBOOKS = (FOLDER / "RUNBOOKS.md").read_text()
_BLOCK = re.compile(r"^ *```sh\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_STEP = re.compile(r"^([0-9]+)\. ", re.MULTILINE)
_KUBECTL = Path(sysconfig.get_path("scripts", vars={"base": sys.prefix})) / "kubectl"
_VERSION = tomllib.loads((_ROOT / "pyproject.toml").read_text())["project"]["version"]
_OURS = re.compile(r"ghcr\.io/museed/[a-z-]+:[^\s]+")


def _commands() -> Iterator[str]:
    """Yield each command that stands in a block, those behind a pipe or in a substitution by themselves."""
    for block in _BLOCK.findall(_README + _RUNBOOKS):
        for line in filter(None, (line.strip() for line in block.splitlines())):
            for inner in re.findall(r"\$\(([^()]*)\)", line):
                yield from (part.strip() for part in inner.split(" | "))
            if not line.startswith("export "):
                yield from (part.strip() for part in line.split(" | "))


COMMANDS = list(dict.fromkeys(_commands()))


def _of(program: str) -> list[str]:
    return [command for command in COMMANDS if shlex.split(command)[0].rpartition("/")[2] == program]


@pytest.fixture(scope="module")
def local() -> list[Document]:
    return parse(render(FOLDER / "overlays" / "local"))


def test_programs_are_these() -> None:
    programs = {shlex.split(command)[0].rpartition("/")[2] for command in COMMANDS}
    assert programs == {"mkdir", "kind", "docker", "kubectl", "python", "museed", "base64"}
    assert len(COMMANDS) >= 30


def test_steps_are_numbered_without_a_gap() -> None:
    for heading, count in (("## From an empty cluster to the first playlist", 7), ("## In production", 5)):
        text = _README.partition(heading)[2].partition("\n## ")[0].partition("\n### ")[0]
        assert [int(number) for number in _STEP.findall(text)] == list(range(1, count + 1))


def _flags(words: list[str]) -> set[str]:
    return {word.partition("=")[0] for word in words if word.startswith("--")}


def _known_flags(verb: list[str]) -> set[str]:
    """Return the options that kubectl has for a verb, by its own help; asks no cluster."""
    found: set[str] = set()
    for arguments in (["options"], [*verb, "--help"]):
        done = subprocess.run([str(_KUBECTL), *arguments], capture_output=True, text=True, timeout=60, check=True)
        found |= set(re.findall(r"^ +(?:-[a-zA-Z], )?(--[a-z-]+)=", done.stdout, re.MULTILINE))
    return found


_VERBS = (
    "create secret generic",
    "create job",
    "create",
    "apply",
    "wait",
    "rollout status",
    "port-forward",
    "get",
    "delete",
    "label",
    "scale",
)


_SERVING = ("Deployment", "StatefulSet")
_KINDS = {
    "job": "Job",
    "cronjob": "CronJob",
    "deployment": "Deployment",
    "statefulset": "StatefulSet",
    "service": "Service",
}


def _verb(command: str) -> str:
    text = re.sub("--namespace [a-z-]+ ", "", command.removeprefix("kubectl "))
    return next(verb for verb in _VERBS if text.startswith(f"{verb} "))


@pytest.mark.parametrize("verb", _VERBS)
def test_kubectl_has_these_options(verb: str) -> None:
    asked = [_flags(shlex.split(command)) for command in _of("kubectl") if _verb(command) == verb]
    assert asked
    assert set().union(*asked) - _known_flags(verb.split()) == set()


@pytest.mark.parametrize("command", _of("kubectl"))
def test_kubectl_names_what_is_there(local: list[Document], command: str) -> None:
    words = shlex.split(command)
    for option, what in itertools.pairwise(words):
        if option == "--filename" and what != "-":
            assert parse((_ROOT / what).read_text())
        if option == "--kustomize":
            assert parse(render(_ROOT / what))
    for kind, name in re.findall(r"\b(job|cronjob|deployment|statefulset|service)/([a-z-]+)", command):
        made = f"create job {name} " in " ".join(COMMANDS)
        assert made or named(local, _KINDS[kind], name) is not None
    for name in re.findall(r"secret (?:generic )?(museed-[a-z-]+)", command):
        [secret] = [one for one in SECRETS if one.name == name]
        keys = set(re.findall(r"--from-literal=([a-z-]+)=", command))
        assert not keys or keys == set(secret.make)
        for key in re.findall(r"jsonpath=\{\.data\.([a-z-]+)\}", " ".join(words)):
            assert key in secret.make


def test_deleted_jobs_are_those_that_cannot_be_changed(local: list[Document]) -> None:
    [command] = {command for command in _of("kubectl") if " delete job " in command}  # of a release, and of a restore
    words = shlex.split(command)
    deleted = words[words.index("job") + 1 : words.index("--ignore-not-found")]
    assert deleted == [one["metadata"]["name"] for one in local if one["kind"] == "Job"]


def test_a_restore_stops_who_writes_and_empties_what_would_be_believed(local: list[Document]) -> None:
    [scaled] = {command for command in _of("kubectl") if " --replicas=0 " in command}  # also where TLS begins or ends
    stopped = {tuple(one.split("/")) for one in shlex.split(scaled) if "/" in one}
    serving = {(one["kind"].lower(), one["metadata"]["name"]) for one in local if one["kind"] in _SERVING}
    assert stopped == serving - {("statefulset", "postgres"), ("statefulset", "blobs")}
    [emptied] = [command for command in _of("kubectl") if " delete pvc --selector " in command]
    claimed = {one["metadata"]["name"] for one in local if one.get("spec", {}).get("volumeClaimTemplates")}
    assert set(emptied.rpartition("(")[2].removesuffix(')"').split(",")) == claimed - {"postgres", "blobs"}


def test_what_an_autoscaler_left_at_none_comes_back_as_many_as_the_manifests_say() -> None:
    plain = parse(render(FOLDER / "overlays" / "production"))
    [command] = {one for one in _of("kubectl") if _verb(one) == "scale" and " --replicas=0 " not in one}
    words = shlex.split(command)
    kinds = {"deployment": "Deployment", "statefulset": "StatefulSet"}
    left_to_autoscalers = [word.split("/") for word in words if "/" in word]
    assert left_to_autoscalers == [["deployment", "gateway"], ["deployment", "embedder"], ["statefulset", "retriever"]]
    found = [named(plain, kinds[kind], name) for kind, name in left_to_autoscalers]
    assert {f"--replicas={one['spec']['replicas']}" for one in found if one} == {words[4]}


def test_claims_of_an_instance_are_those_that_the_operator_makes() -> None:
    cluster = named(parse(render(FOLDER / "overlays" / "production")), "Cluster", "museed-postgres")
    assert cluster is not None
    assert "walStorage" in cluster["spec"]  # else there is one claim
    [emptied] = [shlex.split(command) for command in _of("kubectl") if " delete pvc --wait=false " in command]
    assert emptied[-2:] == ["museed-postgres-N", "museed-postgres-N-wal"]


def test_forwarded_port_is_the_service_s(local: list[Document]) -> None:
    [command] = [command for command in _of("kubectl") if _verb(command) == "port-forward"]
    name, ports = shlex.split(command)[-2:]
    service = named(local, "Service", name.removeprefix("service/"))
    assert service is not None
    assert int(ports.partition(":")[2]) == service["spec"]["ports"][0]["port"]
    assert f"MUSEED_URL=http://localhost:{ports.partition(':')[0]}" in _README


@pytest.mark.parametrize("command", _of("museed"))
def test_museed_has_these_options(command: str) -> None:
    parse_museed(shlex.split(command)[1:])


def parse_museed(words: list[str]) -> None:
    """Have the command line parsed, down to the last command of a group, without running anything."""
    found: Any = typer.main.get_command(app)
    name = "museed"
    while hasattr(found, "resolve_command"):
        context = found.make_context(name, list(words), resilient_parsing=False)
        name, found, words = found.resolve_command(context, [*context._protected_args, *context.args])
    found.make_context(name, list(words))


@pytest.mark.parametrize("words", [["playlists"], ["playlist", "--sead", "a.mp3"], ["playlist"], ["ingest", "folders"]])
def test_what_museed_does_not_know_is_refused(words: list[str]) -> None:
    with pytest.raises(Exception, match=r"No such (command|option)|Missing parameter"):
        parse_museed(words)


def test_operators_and_ingest_s_arguments_are_those_of_museed(local: list[Document]) -> None:
    for pods in pods_of(local):
        for container in pods.containers:
            if container["image"].startswith("ghcr.io/museed/museed:"):
                parse_museed(container["args"])


@pytest.mark.parametrize("command", _of("python"))
def test_modules_are_there(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(command)
    assert words[:2] == [".venv/bin/python", "-m"]
    module = importlib.import_module(words[2])
    monkeypatch.setattr("sys.argv", [words[2], *words[3:]])
    monkeypatch.chdir(_ROOT)
    module.main()  # ends by itself where there are faults
    assert capsys.readouterr().err == ""


def test_images_that_are_built_are_those_that_run(local: list[Document]) -> None:
    built = [shlex.split(command) for command in _of("docker")]
    names = {words[words.index("--tag") + 1] for words in built}
    run = {one["image"] for pods in pods_of(local) for one in pods.all_containers if "/museed/" in one["image"]}
    loaded = set(_OURS.findall(" ".join(_of("kind"))))
    assert names == run == loaded
    assert {name.rpartition(":")[2] for name in names} == {_VERSION}


@pytest.mark.parametrize("command", _of("docker"))
def test_dockerfiles_have_these_targets(command: str) -> None:
    words = shlex.split(command)
    text = (_ROOT / words[words.index("--file") + 1]).read_text()
    assert re.search(rf"^FROM \S+ AS {words[words.index('--target') + 1]}$", text, re.MULTILINE)


def test_kind_s_folder_is_the_volume_s(local: list[Document]) -> None:
    [cluster] = parse((FOLDER / "overlays" / "local" / "kind.yaml").read_text())
    [mount] = cluster["nodes"][0]["extraMounts"]
    volume = named(local, "PersistentVolume", "museed-music")
    assert volume is not None
    assert volume["spec"]["hostPath"]["path"] == mount["containerPath"]
    assert mount["hostPath"] == "./music"
    assert "mkdir -p music" in COMMANDS
    assert f"kind delete cluster --name {cluster['name']}" in _README


@pytest.mark.parametrize("path", re.findall(r"\]\((?!https:)([^)#]+)", _README))
def test_links_lead_somewhere(path: str) -> None:
    assert (FOLDER / path).exists()
