"""Bulk work on real files with real decoders, around an encoder without weights."""

import asyncio
import hashlib
import json
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import unquote

import numpy as np
import pytest

from deploy.local.vectors_io import open_matrix
from services.embedder.audio_hash import audio_hash
from services.embedder.bulk import files, hearing
from services.embedder.bulk.hearing import Hearing
from services.embedder.bulk.output import PartReport, RunFolder
from services.embedder.bulk.rows import Part, Row
from services.embedder.settings import EncodingSettings
from services.social.sources.vectors import VectorRow, read_rows
from tests.fakes.encoder import MANIFEST, POISON, FakeEncoder, vector_of
from tests.integration.embedder import audio_files

_MODIFIED = "Sun, 01 Nov 2026 12:00:00 GMT"
HASH = hashlib.sha256(b"a recording").hexdigest()


def level(folder: Path, name: str, value: float, seconds: float = 5) -> str:
    """Write a file that holds one level."""
    sound = np.full(round(seconds * 2000), value, np.float32)
    audio_files.write(folder / name, sound[:, None], 2000, subtype="FLOAT")
    return name


class Rig:
    """A hearing, its encoder and what it wrote."""

    def __init__(self, folder: Path) -> None:
        self.encoder = FakeEncoder()
        self.files, self.out = folder / "files", folder / "out"
        self.files.mkdir()
        self.folder = RunFolder(self.out)
        self.folder.begin("aa", 10, MANIFEST.encoder_id)
        chosen = EncodingSettings(
            library_min_seconds=3,
            library_max_bytes=1_000_000,
            bulk_files=2,
            bulk_decoders=1,
            max_batch_delay_ms=0,
            max_batch_seconds=10,
        )
        self.hearing = Hearing(chosen, self.encoder, self.files, self.folder)

    async def hear(self, *rows: Row, number: int = 0) -> PartReport:
        return await self.hearing.hear(Part(number, rows))

    def left_out(self, number: int = 0) -> list[tuple[int, str]]:
        lines = (self.out / "parts" / f"{number:06}" / "left_out.jsonl").read_text().splitlines()
        return [(json.loads(line)["row"], json.loads(line)["reason"]) for line in lines]


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    made = Rig(tmp_path)
    await made.hearing.start()
    yield made
    made.encoder.open.set()
    await made.hearing.close()


async def test_a_part_is_what_an_import_reads_and_says_what_is_missing(rig: Rig) -> None:
    (rig.files / "text.mp3").write_text("no sound")
    absolute = str(rig.files / level(rig.files, "absolute.wav", 0.4))

    report = await rig.hear(
        Row(0, level(rig.files, "a.wav", 0.2)),
        Row(1, "text.mp3"),
        Row(2, "none.wav"),
        Row(3, level(rig.files, "poison.wav", POISON)),
        Row(4, "", fault="no JSON"),
        Row(5, level(rig.files, "short.wav", 0.3, seconds=1)),
        Row(6, absolute, HASH),
        Row(7, "."),
    )

    reasons = ["NOT_AUDIO", "MEDIA_NOT_FOUND", "ENCODING_FAILED", "ROW_INVALID", "AUDIO_TOO_SHORT", "MEDIA_NOT_FOUND"]
    assert rig.left_out() == list(zip([1, 2, 3, 4, 5, 7], reasons, strict=True))
    assert report == PartReport(0, 2, {reason: reasons.count(reason) for reason in reasons})
    part = rig.out / "parts" / "000000"
    np.testing.assert_allclose(open_matrix(part / "vectors.npy"), [vector_of(0.2), vector_of(0.4)], atol=1e-4)
    with (rig.files / "a.wav").open("rb") as file:
        own_hash = audio_hash(file)[1].hex()
    with (part / "vectors.jsonl").open("rb") as file:
        rows = list(read_rows(file))
    assert rows == [VectorRow(own_hash, MANIFEST.encoder_id, 5), VectorRow(HASH, MANIFEST.encoder_id, 5)]
    lines = [json.loads(line) for line in (part / "vectors.jsonl").read_text().splitlines()]
    assert [line["path"] for line in lines] == ["a.wav", absolute]
    assert lines[0]["descriptors"]["revision"] == 1
    assert [name for name, _ in lines[0]["tags"]] == ["quiet", "loud"]


class Store(BaseHTTPRequestHandler):
    """Answers as an S3-compatible store does, from a folder for each bucket; what is called `away` fails."""

    folder: ClassVar[Path]
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        file = self.folder / unquote(self.path).lstrip("/")
        data = file.read_bytes() if file.is_file() else b"<Error><Code>NoSuchKey</Code></Error>"
        self.send_response(503 if file.name == "away" else 200 if file.is_file() else 404)
        for name, value in {"Content-Length": str(len(data)), "ETag": '"1"', "Last-Modified": _MODIFIED}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Store]]:
    """A store whose buckets are folders below `store`, and the environment that finds it."""
    Store.folder, Store.asked = tmp_path / "store", []
    (Store.folder / "music").mkdir(parents=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), Store) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        for name, value in {"ENDPOINT_URL": address, "ALLOW_HTTP": "true", "REGION": "none"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
            monkeypatch.setenv(f"AWS_{name}", "test")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Store
        server.shutdown()
        thread.join()


async def test_objects_of_a_store_are_heard_as_files_are(
    rig: Rig, store: type[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_RETRIES", {"max_retries": 0})
    monkeypatch.setattr(hearing, "_PAUSE_S", 0.001)
    bucket = store.folder / "music"
    level(bucket, "a b.wav", 0.2)
    (bucket / "away").touch()
    (bucket / "large.wav").write_bytes(bytes(2_000_000))

    report = await rig.hear(
        Row(0, "s3://music/a b.wav"),
        Row(1, "s3://music/none.wav"),
        Row(2, "s3://music/away"),
        Row(3, "s3://music/large.wav"),
        Row(4, level(rig.files, "a.wav", 0.2)),
    )

    assert rig.left_out() == [(1, "MEDIA_NOT_FOUND"), (2, "MEDIA_UNAVAILABLE"), (3, "AUDIO_TOO_LARGE")]
    assert report.heard == 2
    part = rig.out / "parts" / "000000"
    first, second = (json.loads(line) for line in (part / "vectors.jsonl").read_text().splitlines())
    assert first | {"path": ""} == second | {"path": ""}
    assert store.asked.count("/music/away") == 3


async def test_a_part_that_is_there_is_not_heard_again(rig: Rig) -> None:
    row = Row(0, level(rig.files, "a.wav", 0.2))
    first = await rig.hear(row)
    heard = list(rig.encoder.batches)

    assert await rig.hear(row) == first
    assert rig.encoder.batches == heard


async def test_where_a_worker_died_comes_first_and_alone_and_the_third_time_not_at_all(rig: Rig) -> None:
    rows = [Row(number, level(rig.files, f"{number}.wav", 0.2 + number / 10)) for number in range(4)]
    for times, number in ((1, 2), (3, 3)):
        for _ in range(times):
            with rig.folder.notes(0) as notes:
                notes.begin(rows[number])

    report = await rig.hear(*rows)

    assert rig.left_out() == [(3, "WORKER_LOST")]
    assert report.heard == 3
    assert rig.encoder.batches[0] == [0.4]
    assert sorted(rig.encoder.batches[1:]) == [[0.2], [0.3]]


async def test_no_more_files_are_at_work_than_may_hold_sound(rig: Rig) -> None:
    rows = [Row(number, level(rig.files, f"{number}.wav", 0.2)) for number in range(5)]
    rig.encoder.open.clear()
    hearing = asyncio.create_task(rig.hear(*rows))
    while not rig.encoder.batches:
        await asyncio.sleep(0.01)

    assert rig.folder.notes(0).deaths() == {0: 1, 1: 1}

    rig.encoder.open.set()
    assert (await hearing).heard == 5


async def test_a_model_that_fails_on_everything_blames_no_file(rig: Rig) -> None:
    def fail() -> None:
        raise RuntimeError("the device is gone")

    row = Row(0, level(rig.files, "a.wav", 0.2))
    rig.encoder.on_call = fail
    with pytest.raises(ExceptionGroup) as raised:
        await rig.hear(row)

    assert "fails on every sound" in str(raised.value.exceptions[0])
    assert not rig.folder.is_done(0)
    rig.encoder.on_call = lambda: None
    assert (await rig.hear(row)).heard == 1
