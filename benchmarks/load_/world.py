"""A mesh as `museed up` starts it, with a library, and people who follow each other and have playlists."""

import asyncio
import base64
import contextlib
import io
import itertools
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import soundfile

from clients.python import operations
from clients.python.operations import (
    ImportVectorsInput,
    RegisterRootInput,
    RegisterTracksInput,
    StoredVectorInput,
    TrackRegistrationInput,
)
from deploy.local import account
from deploy.local.client import GatewayClient, accepted
from deploy.local.ingest import ingest_folder
from deploy.local.state import State
from tests.e2e.conftest import RATE_HZ, Silent, render_library, tone

WORDS = "amber birch copper dawn ember fjord granite harbour indigo juniper kelp lantern meadow nectar orchid".split()
GENRES = ("Electronic", "Rock", "Pop", "Folk", "Jazz", "Classical")
_BATCH = 500
_AT_ONCE = 8
_FOLLOWED = 5
_START_S = 300.0
_UPLOAD_S = 4.0

_SIGN_UP = """mutation($input: SignUpInput!) { signUp(input: $input) {
  ... on SignUpSuccess { viewer { user { userId } } tokens { accessToken } } ... on UserError { code message } } }"""
_CREATE = """mutation($input: CreatePlaylistInput!) { createPlaylist(input: $input) {
  ... on CreatePlaylistSuccess { playlist { playlistId } } ... on UserError { code message } } }"""
_STREAMS = '{ searchTracks(query: "Piece", first: 8) { nodes { streamUrl } } }'


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is logged in."""

    user_id: str
    token: str
    network: str
    playlist_id: str
    stream_paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class World:
    """What there is to ask for.

    Attributes:
        port: Of the gateway.
        people: Who ask.
        track_ids: The library.
        uploads: Files that nobody has heard yet.
    """

    port: int
    people: Sequence[Person]
    track_ids: Sequence[str]
    uploads: Sequence[bytes]

    @property
    def url(self) -> str:
        """The gateway's address."""
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True)
class RunningMesh:
    """A mesh of this benchmark's own."""

    folder: Path
    process: psutil.Process
    port: int


@contextlib.contextmanager
def running_mesh(folder: Path, replicas: int) -> Iterator[RunningMesh]:
    """Run `museed up` until the context ends.

    Raises:
        SystemExit: It does not start; the text is what it said.
    """
    ports = {f"MUSEED_{name}_PORT": "0" for name in ("GATEWAY", "SOCIAL", "EMBEDDER", "RETRIEVER", "NATS")}
    command = [sys.executable, "-m", "deploy.local.cli", "up", "--state", str(folder), "--replicas", str(replicas)]
    log = folder.parent / "up.log"
    with log.open("wb") as file, subprocess.Popen(command, env=os.environ | ports, stdout=file, stderr=file) as process:
        try:
            deadline = time.monotonic() + _START_S
            while not (folder / "mesh.json").exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"the mesh did not start:\n{log.read_text()}")
                time.sleep(0.1)
            url = json.loads((folder / "mesh.json").read_text())["url"]
            yield RunningMesh(folder, psutil.Process(process.pid), int(url.rpartition(":")[2]))
        finally:
            process.terminate()
            process.wait(120)


def furnish(mesh: RunningMesh, people: int, tracks: int, uploads: int) -> World:
    """Fill a mesh: a few tracks that can be heard, many that are only vectors, and people; blocks for a minute."""
    state = State.open(mesh.folder)
    with GatewayClient(f"http://127.0.0.1:{mesh.port}", account.operator(state)) as client:
        client.enter()
        ingest_folder(client, render_library(mesh.folder.parent / "music", artists=2, tracks=4), Silent())
        track_ids = _register(client, tracks)
        deadline = time.monotonic() + _START_S
        while (indexed := operations.stats(client).indexed_count) < tracks + 8:
            if time.monotonic() > deadline:
                raise SystemExit(f"only {indexed} of {tracks + 8} tracks came into the index")
            time.sleep(0.2)
    clips = [_clip(number) for number in range(uploads)]
    return World(mesh.port, asyncio.run(_people(mesh.port, people, track_ids)), track_ids, clips)


def _register(client: GatewayClient, count: int) -> list[str]:
    """Register tracks of which only the vectors are known: artists' tracks lie around a direction of their own."""
    encoder = next(row for row in operations.encoders(client) if row.role == "SERVING")
    root = accepted(operations.register_root(client, RegisterRootInput(location="/nowhere/library")))
    numbers = np.random.default_rng(1)
    directions = numbers.standard_normal((count // 10 + 1, encoder.dimension))
    found: list[str] = []
    for start in range(0, count, _BATCH):
        rows = range(start, min(count, start + _BATCH))
        noise = numbers.standard_normal((len(rows), encoder.dimension))
        made = directions[[row // 10 for row in rows]] + 0.7 * noise
        made = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype("<f4")
        vectors = tuple(
            StoredVectorInput(
                audio_hash=f"{row:064x}",
                vector_base64=base64.b64encode(vector.tobytes()).decode(),
                duration_seconds=200,
            )
            for row, vector in zip(rows, made, strict=True)
        )
        tracks = tuple(_registration(row) for row in rows)
        request = RegisterTracksInput(root_id=root.root_id, tracks=tracks)
        found += [one.track_id or "" for one in accepted(operations.register_tracks(client, request)).tracks]
        imported = ImportVectorsInput(encoder_id=encoder.encoder_id, vectors=vectors)
        outcomes = {str(one.outcome) for one in accepted(operations.import_vectors(client, imported)).vectors}
        if outcomes != {"STORED"}:
            raise SystemExit(f"vectors were not taken: {outcomes}")
    return found


def _registration(row: int) -> TrackRegistrationInput:
    one, other, third = WORDS[row % 15], WORDS[row // 15 % 15], WORDS[row // 225 % 15]
    return TrackRegistrationInput(
        relative_path=f"{row}.ogg",
        file_hash=f"{row:064x}",
        audio_hash=f"{row:064x}",
        size_bytes=1_000_000,
        content_type="audio/ogg",
        title=f"{one} {other} {row}".title(),
        artist=f"{other} {third} {row // 10}".title(),
        album=f"{third} {row // 20}".title(),
        raw_genre=GENRES[row // 10 % len(GENRES)],
        year=1970 + row % 50,
        duration_seconds=200,
        has_cover=False,
    )


def _clip(number: int) -> bytes:
    body = io.BytesIO()
    soundfile.write(body, tone(_UPLOAD_S, 110 + 7 * number, 3, 2, seed=number), RATE_HZ, format="FLAC")
    return body.getvalue()


async def _people(port: int, count: int, track_ids: Sequence[str]) -> list[Person]:
    turns = asyncio.Semaphore(_AT_ONCE)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=120) as http:

        async def enter(number: int) -> Person:
            async with turns:
                return await _enter(http, number, track_ids)

        people = await asyncio.gather(*(enter(number) for number in range(count)))

        async def follow(person: Person) -> None:
            others = random.Random(person.user_id).sample(people, _FOLLOWED)
            asked = [
                f'f{place}: followUser(input: {{userId: "{other.user_id}"}}) {{ __typename }}'
                for place, other in enumerate(others)
                if other is not person
            ]
            async with turns:
                await ask(http, person, f"mutation {{ {' '.join(asked)} }}")

        await asyncio.gather(*(follow(person) for person in people))
    return people


async def _enter(http: httpx.AsyncClient, number: int, track_ids: Sequence[str]) -> Person:
    guest = Person("", "", f"10.{number // 250}.{number % 250}.7", "", ())
    name = f"listener-{number}"
    who = {"username": name, "email": f"{name}@example.org", "password": f"password of {name}"}
    signed = (await ask(http, guest, _SIGN_UP, {"input": who}))["signUp"]
    person = Person(signed["viewer"]["user"]["userId"], signed["tokens"]["accessToken"], guest.network, "", ())
    chosen = random.Random(number).sample(track_ids, 25)
    made = {"title": f"{WORDS[number % 15]} {number}".title(), "visibility": "PUBLIC", "trackIds": chosen}
    created = (await ask(http, person, _CREATE, {"input": made}))["createPlaylist"]
    streams = (await ask(http, person, _STREAMS))["searchTracks"]["nodes"]
    paths = tuple("/" + one["streamUrl"].split("/", 3)[3] for one in streams)
    return Person(person.user_id, person.token, person.network, created["playlist"]["playlistId"], paths)


async def ask(http: httpx.AsyncClient, person: Person, query: str, variables: dict[str, Any] | None = None) -> Any:
    """Ask for something that must be answered, waiting as long as the gateway says.

    Raises:
        SystemExit: It was refused.
    """
    headers = {"X-Forwarded-For": person.network}
    if person.token:
        headers["Authorization"] = f"Bearer {person.token}"
    for _ in itertools.count():
        answer = await http.post("/graphql", json={"query": query, "variables": variables or {}}, headers=headers)
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            break
        await asyncio.sleep(int(answer.headers.get("retry-after", 1)))
    found = answer.json()
    if answer.status_code != httpx.codes.OK or "errors" in found:
        raise SystemExit(f"{query}: {answer.text[:500]}")
    return found["data"]
