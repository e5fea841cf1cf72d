"""What an operator does to a library over time: folders that change, manifests, FMA, Jamendo, vectors out and in."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import mutagen
import numpy as np
import pytest

from deploy.local.client import GatewayClient
from deploy.local.ingest import ingest_folder
from deploy.local.ingest_ledger import Ledger
from deploy.local.ingest_report import IngestReport
from tests.e2e.conftest import MUSEED, RunningMesh, Silent, folder_of_a_mesh, tone, write_track


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Six recordings that sound different."""
    folder = tmp_path_factory.mktemp("pieces")
    return [
        write_track(
            folder / f"{number}.flac",
            tone(31, 110 * 2 ** (number / 2), 2 + number, 0.5 + number, number),
            title=f"Piece {number}",
            artist=f"Artist {number}",
            genre="Rock",
        )
        for number in range(6)
    ]


@pytest.fixture(scope="module")
def mesh(memory_folder: Path) -> Any:
    """An empty mesh of this module's own."""
    running = RunningMesh(folder_of_a_mesh(memory_folder))
    running.start()
    yield running
    assert running.stop() == 0


def run(mesh: RunningMesh, *arguments: str | Path, code: int = 0) -> str:
    """Run `museed` and return what it said, its lines joined."""
    command = [str(MUSEED), *map(str, arguments), "--state", str(mesh.folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == code, done.stdout + done.stderr
    return " ".join((done.stdout + done.stderr).split())


def tracks(client: GatewayClient, text: str) -> list[dict[str, Any]]:
    document = "query S($t: String!) { searchTracks(query: $t) { nodes { trackId title artist genre year } } }"
    found: list[dict[str, Any]] = client.query(document, t=text)["searchTracks"]["nodes"]
    return found


def ingest(mesh: RunningMesh, folder: Path) -> IngestReport:
    with mesh.operator() as client, Ledger(mesh.folder / "readings.sqlite3") as ledger:
        return ingest_folder(client, folder, Silent(), ledger=ledger)


def test_moved_retagged_changed_and_gone_files_are_told_apart(
    mesh: RunningMesh, pieces: list[Path], tmp_path: Path
) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    for piece in pieces[:5]:
        shutil.copy2(piece, folder)
    assert ingest(mesh, folder).outcomes == {"CREATED": 5}
    second = ingest(mesh, folder)
    assert (second.outcomes, second.unread, second.changes) == ({"UNCHANGED": 5}, 5, [])
    with mesh.operator() as client:
        (before,) = [track for track in tracks(client, "Piece 0") if track["title"] == "Piece 0"]
    (folder / "sub").mkdir()
    (folder / "0.flac").rename(folder / "sub" / "좋은 날.flac")
    file = mutagen.File(folder / "1.flac")
    file.update(title="Renamed")
    file.save()
    shutil.copy2(pieces[5], folder / "2.flac")
    (folder / "3.flac").unlink()
    report = ingest(mesh, folder)
    assert report.outcomes == {"MOVED": 1, "RETAGGED": 1, "REPLACED": 1, "MISSING": 1, "UNCHANGED": 1}
    assert report.unread == 1
    assert sorted(report.changes) == [
        ("1.flac", "RETAGGED", ""),
        ("2.flac", "REPLACED", ""),
        ("3.flac", "MISSING", ""),
        ("sub/좋은 날.flac", "MOVED", "0.flac"),
    ]
    with mesh.operator() as client:
        (after,) = [track for track in tracks(client, "Piece 0") if track["title"] == "Piece 0"]
    assert after["trackId"] == before["trackId"]
    # Told once, and taken back when the file is there again.
    assert ingest(mesh, folder).outcomes == {"UNCHANGED": 4}
    shutil.copy2(pieces[3], folder)
    assert ingest(mesh, folder).outcomes == {"UNCHANGED": 5}
    assert ingest(mesh, folder).unread == 5


def test_folder_of_a_disk_that_is_away_loses_no_track(mesh: RunningMesh, pieces: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    shutil.copy2(pieces[0], folder / "a.flac")
    assert ingest(mesh, folder).outcomes == {"CREATED": 1}
    (folder / "a.flac").rename(tmp_path / "a.flac")
    report = ingest(mesh, folder)
    assert report.outcomes == {}
    assert "is the disk there?" in report.warning
    (tmp_path / "a.flac").rename(folder / "a.flac")
    assert ingest(mesh, folder).unread == 1


def test_manifest_brings_its_own_genres_and_is_seen_when_it_says_otherwise(
    mesh: RunningMesh, pieces: list[Path], tmp_path: Path
) -> None:
    shutil.copy2(pieces[0], tmp_path / "a.flac")
    shutil.copy2(pieces[0], tmp_path / "copy.flac")
    shutil.copy2(pieces[1], tmp_path / "b.flac")
    (tmp_path / "broken.flac").write_bytes(b"no audio")
    (tmp_path / "out.flac").symlink_to(pieces[2])
    head = {"manifest": 1, "source": "melon", "genres": {"트로트": "International"}}
    rows: list[Any] = [
        {
            "path": "a.flac",
            "title": "좋은 날",
            "artist": "아이유",
            "genre": "트로트",
            "year": 2010,
            "isrc": "KRA301000001",
        },
        {"path": "b.flac", "tags": ["slow"]},
        {"path": "copy.flac"},
        {"path": "a.flac"},
        {"path": "missing.flac"},
        {"path": "broken.flac"},
        {"path": "out.flac"},
        {"path": "../up.flac"},
        "nonsense",
    ]
    file = tmp_path / "catalogue.jsonl"
    file.write_text("\n".join([json.dumps(head), *map(json.dumps, rows)]))
    report = tmp_path / "report.jsonl"
    said = run(mesh, "ingest", "manifest", file, "--report", report)
    assert "9 rows. 7 left out. 2 of this folder" in said
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert sorted((line["path"], line.get("reason", line["outcome"])) for line in lines) == [
        ("a.flac", "CREATED"),
        ("a.flac", "DUPLICATE_ROW"),
        ("b.flac", "CREATED"),
        ("broken.flac", "NOT_AUDIO"),
        ("copy.flac", "DUPLICATE"),
        ("line 10", "ROW_INVALID"),
        ("line 9", "PATH_INVALID"),
        ("missing.flac", "FILE_MISSING"),
        ("out.flac", "UNREADABLE"),
    ]
    with mesh.operator() as client:
        (track,) = [track for track in tracks(client, "좋은 날") if track["artist"] == "아이유"]
    assert (track["title"], track["genre"], track["year"]) == ("좋은 날", "International", 2010)
    rows[0]["title"] = "더 좋은 날"
    file.write_text("\n".join([json.dumps(head), *map(json.dumps, rows)]))
    assert "re-tagged: the same audio │ 1" in run(mesh, "ingest", "manifest", file)
    bad = tmp_path / "bad.jsonl"
    bad.write_text(json.dumps({"manifest": 1, "genres": {"트로트": "Schlager"}}))
    assert "GENRE_MAP_INVALID" in run(mesh, "ingest", "manifest", bad, code=1)


def test_vectors_go_out_and_what_is_known_stays(mesh: RunningMesh, pieces: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    for piece in pieces[:2]:
        shutil.copy2(piece, folder)
    ingest(mesh, folder)
    out = tmp_path / "out"
    assert "2 vectors of" in run(mesh, "vectors", "export", out, "--root", folder)
    matrix = np.load(out / "vectors.npy", allow_pickle=False)
    lines = [json.loads(line) for line in (out / "vectors.jsonl").read_text().splitlines()]
    assert (matrix.shape[0], matrix.dtype.str, len(lines)) == (2, "<f4", 2)
    assert np.allclose(np.linalg.norm(matrix, axis=1), 1, atol=1e-3)
    assert sorted(path.name for path in out.iterdir()) == ["vectors.jsonl", "vectors.npy"]
    assert "known already │ 2" in run(mesh, "vectors", "import", out)
    lines[0]["audio_hash"] = "ab" * 32
    (out / "vectors.jsonl").write_text("\n".join(map(json.dumps, lines)))
    matrix[1] *= 2
    np.save(out / "vectors.npy", matrix)
    said = run(mesh, "vectors", "import", out)
    assert "of no track of this library │ 1" in said
    assert "1 left out: VECTOR_NOT_UNIT" in said
    np.save(out / "vectors.npy", np.array([{}, {}]), allow_pickle=True)
    assert "VECTORS_INVALID" in run(mesh, "vectors", "import", out, code=1)


def test_fma_is_read_in_its_own_layout(mesh: RunningMesh, pieces: list[Path], tmp_path: Path) -> None:
    audio, metadata = tmp_path / "fma_full", tmp_path / "fma_metadata"
    metadata.mkdir()
    for number, piece in ((2, 0), (3, 1), (1004, 0)):
        name = f"{number:06d}"
        (audio / name[:3]).mkdir(parents=True, exist_ok=True)
        shutil.copy2(pieces[piece], audio / name[:3] / f"{name}.mp3")
    (audio / "000" / "000005.mp3").write_bytes(b"cut")
    (metadata / "genres.csv").write_text("genre_id,#tracks,parent,title,top_level\n12,9,0,Rock,12\n25,9,12,Punk,12\n")
    head = (
        ",album,album,artist,set,set,track,track,track,track,track\n"
        ",date_released,title,name,split,subset,genre_top,genres,license,tags,title\n"
        "track_id,,,,,,,,,,\n"
    )
    names = [(2, "A"), (3, "B"), (5, "Cut"), (6, "Away"), (1004, "Same as A")]
    rows = [f'{n},2009-01-05 00:00:00,Album,Who,test,small,,"[25]",CC,[],{title}' for n, title in names]
    (metadata / "tracks.csv").write_text(head + "\n".join([*rows, '7,,,,test,small,,"[]",,[],']))
    report = tmp_path / "report.jsonl"
    assert "6 rows. 4 left out. 2 of this folder" in run(mesh, "ingest", "fma", audio, "--report", report)
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert sorted((line["path"], line.get("reason", line["outcome"])) for line in lines) == [
        ("000/000002.mp3", "CREATED"),
        ("000/000003.mp3", "CREATED"),
        ("000/000005.mp3", "NOT_AUDIO"),
        ("000/000006.mp3", "FILE_MISSING"),
        ("000/000007.mp3", "METADATA_MISSING"),
        ("001/001004.mp3", "DUPLICATE"),
    ]
    assert "unchanged │ 2" in run(mesh, "ingest", "fma", audio, "--metadata", metadata)
    assert "no tracks.csv in" in run(mesh, "ingest", "fma", tmp_path / "out", code=1)


def test_jamendo_is_read_from_its_tsv_and_from_what_its_api_says(
    mesh: RunningMesh, pieces: list[Path], tmp_path: Path
) -> None:
    audio = tmp_path / "audio"
    for number, piece in ((214, 2), (1215, 3)):
        (audio / f"{number % 100:02d}").mkdir(parents=True)
        shutil.copy2(pieces[piece], audio / f"{number % 100:02d}" / f"{number}.mp3")
    result = {"id": "1215", "name": "From the API", "artist_name": "Jam", "musicinfo": {"tags": {"genres": ["funk"]}}}
    (audio / "jamendo_metadata.jsonl").write_text(json.dumps(result))
    assert "1 rows. 0 left out. 1 of this folder" in run(mesh, "ingest", "jamendo", audio)
    (tmp_path / "tags.tsv").write_text(
        "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\r\n"
        "track_0000214\tartist_1\talbum_1\t14/214.mp3\t31.0\tgenre---newage\tmood/theme---calm\r\n"
        "track_0000300\tartist_1\talbum_1\t00/300.mp3\t31.0\r\n"
    )
    said = run(mesh, "ingest", "jamendo", audio, "--tsv", tmp_path / "tags.tsv")
    assert "2 rows. 1 left out. 2 of this folder" in said
    assert "1 left out: FILE_MISSING" in said
    with mesh.operator() as client:
        genres = {
            track["title"]: track["genre"] for text in ("From the API", "Piece 2") for track in tracks(client, text)
        }
    assert genres["From the API"] == "Soul-RnB"
    assert "Instrumental" in genres.values()
    refused = run(mesh, "ingest", "jamendo", audio, "--tsv", audio / "jamendo_metadata.jsonl", code=1)
    assert "JAMENDO_INVALID" in refused
    assert "OPTIONS_CONFLICT" in run(mesh, "ingest", "jamendo", audio, "--meta", tmp_path / "tags.tsv", code=1)
    assert "No such file" in run(mesh, "ingest", "jamendo", tmp_path, code=1)


def test_ingest_that_was_killed_goes_on(mesh: RunningMesh, pieces: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    for number, piece in enumerate(pieces * 5):
        data = piece.read_bytes()
        # The same audio under other bytes: new files, nothing to hear.
        (folder / f"{number}.flac").write_bytes(data)
        file = mutagen.File(folder / f"{number}.flac")
        file.update(title=f"Killed {number}")
        file.save()
    ledger = mesh.folder / "readings.sqlite3"
    before = ledger.stat().st_mtime_ns
    command = [str(MUSEED), "ingest", "folder", str(folder), "--state", str(mesh.folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        if ledger.stat().st_mtime_ns != before or (mesh.folder / "readings.sqlite3-journal").exists():
            process.kill()  # it has begun to read
            break
    process.wait(60)
    report = ingest(mesh, folder)
    assert (report.files, report.indexed, report.left_out) == (30, 30, [])
    assert set(report.outcomes) <= {"CREATED", "UNCHANGED"}
    assert ingest(mesh, folder).unread == 30
