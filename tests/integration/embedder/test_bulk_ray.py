"""The whole way of bulk work: Ray on this machine, the shipped encoder, real files, and workers that are killed."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import psutil
import pytest

from deploy.local.vectors_io import open_matrix
from services.embedder.audio_hash import audio_hash
from services.embedder.choice import MINI_FOLDER
from services.embedder.decoder import DecoderPool
from services.embedder.embedding import TrackEmbedder, TrackEmbedding
from services.embedder.lanes import Lane
from services.embedder.mini import NAME
from services.embedder.preparing import make_batcher, prepare_encoder
from services.embedder.settings import EncodingSettings
from services.social.sources.vectors import VectorRow, read_rows
from tests.integration.embedder import audio_files

PART_ROWS = 3
SETTINGS = {
    "encoder": NAME,
    "precision": "fp32",
    "runtime": "onnxruntime",
    "library_min_seconds": 10,
    "bulk_files": 2,
    "model_threads": 1,
    "bulk_decoders": 1,
}
_LONG_S = 240


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight pieces of music and four rows that cannot be heard, with their manifest."""
    folder = tmp_path_factory.mktemp("bulk-library")
    names = [f"{number}.{kind}" for number, kind in enumerate(("ogg", "flac", "mp3", "wav") * 2)]
    for number, name in enumerate(names):
        audio_files.write(folder / name, audio_files.music(12 + number, seed=number, rate=22_050), 22_050)
    (folder / "text.mp3").write_text("no sound")
    audio_files.cut(folder / "1.flac", 0.4)
    rows = [*names[:2], "text.mp3", *names[2:5], "cut-1.flac", *names[5:], "none.ogg"]
    lines = [json.dumps({"path": name}) for name in rows]
    (folder / "manifest.jsonl").write_text("\n".join([*lines[:4], "{no json", *lines[4:]]) + "\n")
    return folder


@pytest.fixture(scope="module")
def own(library: Path) -> dict[str, TrackEmbedding]:
    """What the parts of the service make of each file that can be heard, one after the other."""
    paths = sorted(library.glob("[0-9].*"))
    chosen = EncodingSettings(**SETTINGS)  # type: ignore[arg-type]  # as the environment below gives them

    async def run() -> dict[str, TrackEmbedding]:
        encoder = prepare_encoder(chosen)
        decoders = DecoderPool(1, chosen.decode_limits, 1)
        await decoders.start()
        batcher = make_batcher(chosen, encoder)
        running = asyncio.create_task(batcher.run())
        tracks = TrackEmbedder(encoder, batcher, {Lane.BULK: decoders}, chosen.seconds_in_flight)
        found = {}
        for path in paths:
            with path.open("rb") as file:
                found[path.name] = await tracks.embed(file.fileno(), chosen.library_limits, Lane.BULK)
        running.cancel()
        tracks.close()
        await decoders.close()
        return found

    return asyncio.run(run())


class Bulk:
    """One run of the command in a process of its own."""

    def __init__(self, library: Path, out: Path, log: IO[bytes]) -> None:
        environment = {f"EMBEDDER_{name.upper()}": str(value) for name, value in SETTINGS.items()}
        options = ["--part-rows", str(PART_ROWS), "--workers", "2", "--cpus", "1"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "services.embedder.bulk", library / "manifest.jsonl", out, *options],
            env={**os.environ, **environment, "RAY_TMPDIR": str(out.parent), "HOME": str(out.parent)},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )

    def workers(self) -> list[psutil.Process]:
        """Return the processes that hear."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [one for one in children if (one.cmdline() or [""])[0].startswith("ray::Worker")]

    def lines(self) -> Iterator[dict[str, object]]:
        """Yield what it prints, as it comes."""
        assert self.process.stdout is not None
        with self.process.stdout as lines:
            for line in lines:
                yield json.loads(line)

    def end(self) -> None:
        """End it and all that it started."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(60)
        for one in family:
            try:
                one.kill()
            except psutil.NoSuchProcess:
                continue


def test_bulk_work_gives_what_the_service_gives_and_killed_workers_lose_nothing(
    library: Path, own: dict[str, TrackEmbedding]
) -> None:
    with tempfile.TemporaryDirectory(prefix="museed-bulk-", ignore_cleanup_errors=True) as name:
        out = Path(name) / "out"
        with (Path(name) / "log").open("wb") as log:
            first = Bulk(library, out, log)
            try:
                told = _heard_while_workers_are_killed(first, out)
                assert first.process.wait(_LONG_S) == 0, (Path(name) / "log").read_text()
            finally:
                if first.process.poll() is None:
                    first.end()
            _assert_all_is_there(library, out, own)
            reasons = {"AUDIO_TRUNCATED": 1, "MEDIA_NOT_FOUND": 1, "NOT_AUDIO": 1, "ROW_INVALID": 1}
            assert told[-1] == {"rows": 12, "heard": 8, "left_out": reasons}
            assert sorted(str(one["part"]) for one in told[:-1]) == ["0", "1", "2", "3"]


def _heard_while_workers_are_killed(bulk: Bulk, out: Path) -> list[dict[str, object]]:
    """Kill all workers as soon as one has begun a file; return all that was printed."""
    deadline = time.monotonic() + _LONG_S
    while not any(path.read_bytes() for path in out.glob("begun/*")):
        assert bulk.process.poll() is None, out.with_name("log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    workers = bulk.workers()
    assert workers
    for one in workers:
        one.send_signal(signal.SIGKILL)
    return list(bulk.lines())


def _assert_all_is_there(library: Path, out: Path, own: dict[str, TrackEmbedding]) -> None:
    encoder_id = json.loads((out / "run.json").read_text())["encoder_id"]
    assert encoder_id == json.loads((MINI_FOLDER / "manifest.json").read_text())["encoder_id"]
    found: dict[str, np.ndarray] = {}
    for part in sorted((out / "parts").iterdir()):
        matrix = open_matrix(part / "vectors.npy")
        with (part / "vectors.jsonl").open("rb") as file:
            rows = list(read_rows(file))
        paths = [json.loads(line)["path"] for line in (part / "vectors.jsonl").read_text().splitlines()]
        assert len(rows) == len(paths) == len(matrix)
        for row, path, vector in zip(rows, paths, matrix, strict=True):
            with (library / path).open("rb") as file:
                expected = VectorRow(audio_hash(file)[1].hex(), encoder_id, own[path].duration_seconds)
            assert row == expected
            assert path not in found
            found[path] = vector
    assert found.keys() == own.keys()
    for path, vector in found.items():
        assert float(vector @ own[path].vector) >= 1 - 1e-4
    assert list((out / "begun").iterdir()) == []
