"""Runs compose.yaml without an engine, in namespaces of Linux: `unshare … python -m tests.e2e.composed FOLDER MUSIC`.

Each container has the root that its Dockerfile makes (read-only where compose.yaml says so), its user, no capability,
its variables, secrets and volumes, and is started when what it depends on is healthy or done. PostgreSQL and NATS are
those of the wheels. All share one network, in which every service's name is the loopback. Prints one JSON object.
"""

import asyncio
import contextlib
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import yaml

from deploy.images.dockerfile import environment, lineage
from deploy.images.table import BY_NAME, REGISTRY, ROOT, Image
from deploy.local import nats
from deploy.local.postgres import Postgres
from deploy.local.secrets_command import write_secrets
from tests.fixtures.image_trees import make_tree

PATIENCE_S = 300.0
_DEFAULT = re.compile(r"\$\{([A-Z_]+):-([^}]*)\}")
_FOLDERS = "usr etc proc dev dev/shm tmp app opt/museed run/secrets"
Values = dict[str, Any]


class Machine:
    """The containers of a compose.yaml.

    Args:
        folder: For roots, volumes, secrets and logs.
        music: Takes the place of MUSEED_MUSIC.
    """

    def __init__(self, folder: Path, music: Path) -> None:
        self.folder = folder
        given = {"MUSEED_MUSIC": str(music), "MUSEED_SECRETS": str(folder / "secrets")}
        text = _DEFAULT.sub(lambda found: given.get(found[1], found[2]), (ROOT / "compose.yaml").read_text())
        self.compose: Values = yaml.safe_load(text)
        self.services: dict[str, Values] = self.compose["services"]
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self._trees: dict[str, Path] = {}
        write_secrets(folder / "secrets")
        (folder / "logs").mkdir()
        hosts = " ".join(self.services)
        (folder / "hosts").write_text(f"127.0.0.1 localhost {hosts}\n")

    def image_of(self, name: str) -> Image:
        return BY_NAME[self.services[name]["image"].removeprefix(f"{REGISTRY}/").partition(":")[0]]

    def command_of(self, name: str, *arguments: str) -> list[str]:
        service = self.services[name]
        entrypoint = [rest for word, rest in lineage(self.image_of(name)) if word == "ENTRYPOINT"][-1]
        return [*service.get("entrypoint", json.loads(entrypoint)), *(arguments or service.get("command", ()))]

    def health_of(self, name: str) -> list[str]:
        [*_, health] = [rest for word, rest in lineage(self.image_of(name)) if word == "HEALTHCHECK"]
        command: list[str] = json.loads(health.partition(" CMD ")[2])
        return command

    def root_of(self, name: str) -> Path:
        return self.folder / "roots" / name

    def _tree_of(self, image: Image) -> Path:
        if image.name not in self._trees:
            folder = self.folder / "trees" / image.name
            make_tree(image, folder)
            self._trees[image.name] = folder
        return self._trees[image.name]

    def _mounts(self, name: str) -> list[str]:
        """Write the lines that make a container's root."""
        service, image = self.services[name], self.image_of(name)
        tree, root = self._tree_of(image), self.root_of(name)
        root.mkdir(parents=True)
        [made] = [rest for word, rest in lineage(image) if word == "RUN" and "install --directory" in rest]
        owned = [word for word in made.split() if word.startswith("/")]
        # Where the links of the tree lead: to the wheels, and to the interpreter.
        installed = [path for path in (sys.prefix, sys.base_prefix) if not path.startswith("/usr")]
        lines = [
            "set -eu",
            f"mount -t tmpfs root {root}",
            f"cd {root}",
            f"mkdir -p {_FOLDERS} {' '.join(f'.{path}' for path in [*owned, *installed])}",
            f"chown 10001:10001 {' '.join(f'.{path}' for path in owned)}",
            "ln -s usr/bin bin; ln -s usr/lib lib; ln -s usr/lib64 lib64",
            "mount --rbind /usr usr; mount --rbind /dev dev; mount -t proc proc proc",
            "mount -t tmpfs -o size=64m,mode=1777 shm dev/shm",
            *(f"mount --bind {path} .{path}; mount -o remount,ro,bind .{path}" for path in installed),
            f"mount --bind {tree}/app app; mount --bind {tree}/opt/museed opt/museed",
            f"cp {self.folder}/hosts etc/hosts; cp /etc/nsswitch.conf etc/",
        ]
        for secret in service.get("secrets", ()):
            file = self.compose["secrets"][secret["source"]]["file"]
            lines += [f"touch run/secrets/{secret['target']}", f"mount --bind {file} run/secrets/{secret['target']}"]
        for volume in service.get("volumes", ()):
            lines += self._volume(volume)
        for mount in service.get("tmpfs", ()):
            place, _, options = mount.partition(":")
            lines += [f"mkdir -p .{place}", f"mount -t tmpfs -o {options} tmpfs .{place}"]
        lines += ["for each in app opt/museed; do mount -o remount,ro,bind $each; done"]
        return [*lines, f"mount -o remount,ro {root}"] if service["read_only"] else lines

    def _volume(self, volume: str | Values) -> list[str]:
        if isinstance(volume, dict):
            source, target, is_read_only = volume["source"], volume["target"], volume["read_only"]
            return [f"mkdir -p .{target}", f"mount --bind {source} .{target}", f"mount -o remount,ro,bind .{target}"]
        name, target, *mode = volume.split(":")
        source = self.folder / "volumes" / name
        # A new volume is a copy of the image's folder; without one it is root's.
        lines = [f"mkdir -p .{target}", f"test -d {source} || cp -a .{target} {source}"]
        is_read_only = mode == ["ro"]
        lines.append(f"mount --bind {source} .{target}")
        return [*lines, f"mount -o remount,ro,bind .{target}"] if is_read_only else lines

    def _inside(self, name: str, command: list[str]) -> str:
        """Write the line that runs a command in a root that is made, as its user and with its variables."""
        service, image = self.services[name], self.image_of(name)
        user, group = service["user"].split(":")
        variables = {
            **{key: value.replace("$PATH", "/usr/bin") for key, value in environment(image).items()},
            **{key: str(value) for key, value in service.get("environment", {}).items()},
        }
        drop = "--clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all"
        words = [f"{key}={value}" for key, value in variables.items()]
        return (
            f"exec chroot {self.root_of(name)} /usr/bin/setpriv --reuid {user} --regid {group} {drop}"
            f" /usr/bin/env -i --chdir=/app {shlex.join([*words, *command])}"
        )

    def start(self, name: str, *arguments: str) -> "subprocess.Popen[bytes]":
        (self.folder / "volumes").mkdir(exist_ok=True)
        script = [*self._mounts(name), self._inside(name, self.command_of(name, *arguments))]
        with (self.folder / "logs" / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(["unshare", "--mount", "bash", "-c", "\n".join(script)], stdout=log, stderr=log)
        self.running[name] = process
        return process

    def is_healthy(self, name: str) -> bool:
        enter = ["nsenter", f"--target={self.running[name].pid}", "--mount", "bash", "-c"]
        asked = subprocess.run([*enter, self._inside(name, self.health_of(name))], capture_output=True, check=False)
        return asked.returncode == 0

    def finish(self, name: str, *arguments: str) -> str:
        """Run a container to its end; returns what it said."""
        log = self.folder / "logs" / f"{name}.log"
        before = log.stat().st_size if log.exists() else 0
        status = self.start(name, *arguments).wait(PATIENCE_S)
        said = log.read_bytes()[before:].decode(errors="replace")
        if status:
            raise RuntimeError(f"{name} {' '.join(arguments)} ended with {status}:\n{said[-4000:]}")
        del self.running[name]
        os.rmdir(self.root_of(name))
        return said

    def until(self, name: str, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not holds():
            if self.running[name].poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name}: {(self.folder / 'logs' / f'{name}.log').read_text()[-4000:]}")
            time.sleep(0.2)

    def start_nats(self) -> None:
        """Start NATS with the configuration that its container has, and the store elsewhere."""
        config = json.loads((self.folder / "secrets" / "nats.conf").read_text())
        config["jetstream"]["store_dir"] = str(self.folder / "nats")
        (self.folder / "nats.json").write_text(json.dumps(config))
        self.running["nats"] = subprocess.Popen(nats.command(self.folder / "nats.json"), stderr=subprocess.DEVNULL)
        self.until("nats", lambda: answers(config["port"]))

    def start_postgres(self) -> None:
        """Start PostgreSQL with the database, the user and the options of its container."""
        service = self.services["postgres"]
        server = Postgres.at(self.folder / "postgres", (self.folder / "secrets" / "postgres_password").read_text())
        server.initialise()
        command = [*server.command(), "-c", "listen_addresses=127.0.0.1", *service["command"][1:]]
        with (self.folder / "logs" / "postgres.log").open("wb") as log:
            self.running["postgres"] = subprocess.Popen(
                command, user=server.user, group=server.user, extra_groups=[], stdout=log, stderr=log, cwd="/"
            )
        self.until("postgres", lambda: answers(5432))

        async def make() -> None:
            connection = await asyncpg.connect(server.url())
            user, database = service["environment"]["POSTGRES_USER"], service["environment"]["POSTGRES_DB"]
            await connection.execute(f"CREATE ROLE {user} SUPERUSER LOGIN PASSWORD '{server.password}'")
            await connection.execute(f"CREATE DATABASE {database} OWNER {user}")
            await connection.close()

        asyncio.run(make())

    def stop(self) -> dict[str, int]:
        """Stop as `docker compose down` does, in reverse order; returns how each container of ours ended."""
        ended = {}
        for name in [*self.running][::-1]:
            process = self.running[name]
            process.terminate()
            status = process.wait(int(self.services[name]["stop_grace_period"].removesuffix("s")))
            if name not in ("postgres", "nats"):
                ended[name] = status
        return ended


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def main(folder: Path, music: Path) -> None:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    machine = Machine(folder, music)
    machine.start_postgres()
    machine.start_nats()
    said: dict[str, Any] = {"migrate": machine.finish("migrate")}
    for name in ("embedder", "social", "retriever", "gateway"):
        for needed, how in machine.services[name]["depends_on"].items():
            if how["condition"] == "service_healthy" and needed not in ("postgres", "nats"):
                machine.until(needed, lambda on=needed: machine.is_healthy(on))  # type: ignore[misc]
            elif needed == "operator":
                said["operator"] = machine.finish("operator")
        machine.start(name)
    for name in ("embedder", "gateway"):
        machine.until(name, lambda on=name: machine.is_healthy(on))  # type: ignore[misc]
    said["ingest"] = machine.finish("museed", "ingest", "folder", "/music")
    seed = next(iter(sorted(music.rglob("*.flac")))).relative_to(music)
    said["playlist"] = machine.finish("museed", "playlist", "--seed", f"/music/{seed}")
    said["ended"] = machine.stop()
    print(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
