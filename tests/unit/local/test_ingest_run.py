"""An ingest against a library in memory: what is read, what is sent, and that stopping anywhere loses nothing."""

import base64
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients.python.wire import Json, Operation
from deploy.local import ingest_calls, ingest_ledger, ingest_run
from deploy.local.client import ClientError
from deploy.local.files import Candidate, TrackFile, read
from deploy.local.ingest import ingest_folder
from deploy.local.ingest_ledger import Ledger
from deploy.local.ingest_report import IngestReport, write_report
from deploy.local.ingest_sources import ingest_rows
from services.social.sources.rows import LeftOut, Reason, SourceTrack
from tests.fixtures.recordings import make_samples, write_recording, write_tags
from tests.unit.gateway.test_covers import PNG

T = TypeVar("T")


class Silent:
    """Nobody watches."""

    def reading(self, done: int, total: int) -> None:
        assert done <= total

    def embedding(self, done: int, total: int) -> None: ...


class FakeLibrary:
    """Keeps registrations by path as the library does, and can die at a call."""

    def __init__(self) -> None:
        self.files: dict[bytes, dict[str, Any]] = {}
        self.missing: set[bytes] = set()
        self.failed: list[dict[str, str]] = []
        self.batches: list[list[dict[str, Any]]] = []
        self.dies_at_batch = 0

    def execute(self, operation: Operation[T], variables: Json) -> T:
        is_mutation = operation.kind == "mutation"
        name = f"{operation.name[:1].lower()}{operation.name[1:]}"
        if is_mutation:
            found = {"__typename": f"{operation.name}Success", **self.mutate(operation.name, variables["input"])}
        else:
            found = self.query(operation.name, variables)
        return operation.read({name: found})

    def query(self, name: str, variables: Json) -> Json:
        if name == "RootFiles":
            rows = [
                {
                    "relativePathBase64": base64.b64encode(path).decode(),
                    "sizeBytes": file["sizeBytes"],
                    "mtimeNs": file.get("mtimeNs", "0"),
                    "fileHash": file["fileHash"],
                    "audioHash": file["audioHash"],
                    "missingSince": "2026-01-01" if path in self.missing else None,
                    "hasCover": file.get("hasCover"),
                }
                for path, file in self.files.items()
            ]
            start = int(variables.get("pageToken", 0))
            following = str(start + 2) if start + 2 < len(rows) else None
            return {"files": rows[start : start + 2], "nextPageToken": following}
        if name == "FailedTracks":
            return {"nodes": self.failed, "pageInfo": {"hasNextPage": False, "endCursor": None}}
        return {"pending": 0, "embedded": 0, "indexed": len(self.files), "failed": 0}

    def mutate(self, name: str, input: Json) -> Json:
        if name == "RegisterRoot":
            return {"rootId": "root"}
        if name == "MarkMissing":
            paths = {base64.b64decode(path) for path in input["relativePathsBase64"]}
            fresh = paths & self.files.keys() - self.missing
            self.missing |= fresh
            return {"markedCount": len(fresh)}
        if len(self.batches) + 1 == self.dies_at_batch:
            raise KeyboardInterrupt
        self.batches.append(input["tracks"])
        return {"tracks": [self._register(track) for track in input["tracks"]]}

    def _register(self, track: dict[str, Any]) -> dict[str, Any]:
        path, previous = track["relativePath"].encode(), base64.b64decode(track.get("previousPathBase64", ""))
        before = self.files.get(path)
        if previous in self.files and self.files[previous]["audioHash"] == track["audioHash"]:
            before, outcome = self.files.pop(previous), "MOVED"
            self.missing.discard(previous)
        elif before is None:
            outcome = "CREATED"
        elif before["audioHash"] != track["audioHash"]:
            outcome = "REPLACED"
        else:
            told = {"mtimeNs", "previousPathBase64", "hasCover"}
            is_same = {k: v for k, v in before.items() if k not in told} == {
                k: v for k, v in track.items() if k not in told
            }
            outcome = "UNCHANGED" if is_same else "RETAGGED"
        self.files[path] = track
        self.missing.discard(path)
        return {"trackId": None, "outcome": outcome, "embeddingState": None, "reason": None, "message": None}


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that were opened; reading happens in this process, and takes what is shorter than a track."""
    paths: list[str] = []

    def read_all(candidates: Iterator[Candidate], *, min_duration_s: float) -> Iterator[object]:
        for candidate in candidates:
            paths.append(candidate.relative_path)
            yield read(candidate, min_duration_s=min_duration_s)

    short = partial(ingest_ledger.readings, min_duration_s=0.1)
    monkeypatch.setattr("deploy.local.ingest.readings", short)
    monkeypatch.setattr(ingest_ledger, "read_all", read_all)
    monkeypatch.setattr(ingest_run, "_BATCH_SIZE", 2)
    return paths


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files of different audio."""
    folder = tmp_path_factory.mktemp("recordings")
    made = [write_recording(folder / f"{number}.wav", "wav", make_samples(seed=number)) for number in range(4)]
    assert len({path.read_bytes() for path in made}) == 4
    return made


def ingest(library: FakeLibrary, folder: Path, **more: Any) -> IngestReport:
    return ingest_folder(library, folder, Silent(), **more)  # type: ignore[arg-type]  # a fake


def ingest_said(library: FakeLibrary, folder: Path, *rows: SourceTrack | LeftOut) -> IngestReport:
    return ingest_rows(library, folder, rows, Silent(), min_duration_s=0.1)  # type: ignore[arg-type]  # a fake


def fill(folder: Path, recordings: list[Path], *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        shutil.copy2(recordings[number], folder / name)
    return folder


def test_stopped_ingest_goes_on_without_reading_what_it_read(
    tmp_path: Path, opened: list[str], recordings: list[Path]
) -> None:
    music, library = fill(tmp_path / "music", recordings, "a.wav", "b.wav", "c.wav", "d.wav"), FakeLibrary()
    library.dies_at_batch = 2
    with pytest.raises(KeyboardInterrupt), Ledger(tmp_path / "ledger") as ledger:
        ingest(library, music, ledger=ledger)
    assert sorted(library.files) == [b"a.wav", b"b.wav"]
    library.dies_at_batch = 0
    opened.clear()
    with Ledger(tmp_path / "ledger") as ledger:
        report = ingest(library, music, ledger=ledger)
    assert (report.outcomes, report.unread, opened) == ({"UNCHANGED": 2, "CREATED": 2}, 2, [])
    assert sorted(library.files) == [b"a.wav", b"b.wav", b"c.wav", b"d.wav"]


def test_files_whose_place_failed_are_registered_again(
    tmp_path: Path, opened: list[str], recordings: list[Path]
) -> None:
    music, library = fill(tmp_path / "music", recordings, "a.wav", "b.wav"), FakeLibrary()
    ingest(library, music)
    encoded = [base64.b64encode(path).decode() for path in (b"a.wav", b"b.wav")]
    library.failed = [
        {"relativePath": "a.wav", "relativePathBase64": encoded[0], "reason": "MEDIA_CHANGED", "message": "m"},
        {"relativePath": "b.wav", "relativePathBase64": encoded[1], "reason": "AUDIO_SILENT", "message": "m"},
    ]
    opened.clear()
    report = ingest(library, music)
    assert (opened, report.outcomes) == (["a.wav"], {"UNCHANGED": 2})
    assert [path for path, _, _ in report.left_out] == ["a.wav", "b.wav"]


def test_pictures_in_files_and_beside_them_are_told_whenever_they_come(
    tmp_path: Path, opened: list[str], recordings: list[Path]
) -> None:
    music, library = fill(tmp_path / "music", recordings, "a/1.wav", "a/2.wav", "b/3.wav"), FakeLibrary()
    write_tags(write_recording(music / "b" / "4.flac", "flac"), picture=PNG)
    (music / "b" / "cover.jpg").write_bytes(b"<svg/>")

    def told() -> dict[str, bool | None]:
        return {path.decode(): file.get("hasCover") for path, file in library.files.items()}

    ingest(library, music)
    assert told() == {"a/1.wav": False, "a/2.wav": False, "b/3.wav": False, "b/4.flac": True}
    opened.clear()
    assert (ingest(library, music).unread, opened) == (4, [])
    # One that comes later is seen; so is whether there is one where nobody had looked.
    (music / "a" / "Folder.PNG").write_bytes(PNG)
    del library.files[b"b/3.wav"]["hasCover"]
    report = ingest(library, music)
    assert (opened, report.outcomes) == (["a/1.wav", "a/2.wav", "b/3.wav"], {"UNCHANGED": 4})
    assert told() == {"a/1.wav": True, "a/2.wav": True, "b/3.wav": False, "b/4.flac": True}
    opened.clear()
    assert (ingest(library, music).unread, opened) == (4, [])


def test_file_that_was_moved_is_told_once_and_a_copy_of_it_is_new(
    tmp_path: Path, opened: list[str], recordings: list[Path]
) -> None:
    music, library = fill(tmp_path / "music", recordings, "a.wav", "b.wav"), FakeLibrary()
    ingest(library, music)
    (music / "a.wav").rename(music / "x.wav")
    shutil.copy2(music / "x.wav", music / "y.wav")
    report = ingest(library, music)
    assert report.outcomes == {"UNCHANGED": 1, "MOVED": 1, "CREATED": 1}
    assert report.changes == [("x.wav", "MOVED", "a.wav"), ("y.wav", "CREATED", "")]
    moved, copied = library.batches[-1]
    assert (base64.b64decode(moved["previousPathBase64"]), "previousPathBase64" in copied) == (b"a.wav", False)
    assert library.missing == set()


def test_file_that_was_moved_and_tagged_anew_is_told_once_and_the_very_same_goes_first(
    tmp_path: Path, opened: list[str], recordings: list[Path]
) -> None:
    music, library = fill(tmp_path / "music", recordings, "a.flac", "b.flac"), FakeLibrary()
    for name, seed in (("a", 1), ("b", 2)):
        write_tags(write_recording(music / f"{name}.flac", "flac", make_samples(seed=seed)), title=name)
    ingest(library, music)
    (music / "a.flac").rename(music / "y.flac")
    (music / "b.flac").rename(music / "x.flac")
    shutil.copy2(music / "y.flac", music / "w.flac")
    for name in ("w", "x"):
        write_tags(music / f"{name}.flac", title="Other")
    report = ingest(library, music)
    assert report.outcomes == {"MOVED": 2, "CREATED": 1}
    assert sorted(report.changes) == [
        ("w.flac", "CREATED", ""),
        ("x.flac", "MOVED", "b.flac"),
        ("y.flac", "MOVED", "a.flac"),
    ]
    assert library.files[b"x.flac"]["title"] == "Other"
    assert library.missing == set()


def test_file_that_comes_back_as_it_was_is_not_missing_any_more(
    tmp_path: Path, opened: list[str], recordings: list[Path]
) -> None:
    music, library = fill(tmp_path / "music", recordings, "a.wav", "b.wav"), FakeLibrary()
    ingest(library, music)
    (music / "a.wav").rename(tmp_path / "a.wav")
    assert ingest(library, music).outcomes == {"UNCHANGED": 1, "MISSING": 1}
    assert library.missing == {b"a.wav"}
    (tmp_path / "a.wav").rename(music / "a.wav")
    assert ingest(library, music).outcomes == {"UNCHANGED": 2}
    assert library.missing == set()


def test_what_cannot_be_seen_is_not_gone(
    tmp_path: Path, opened: list[str], recordings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    music, library = fill(tmp_path / "music", recordings, "sub/a.wav", "b.wav", "c.wav"), FakeLibrary()
    ingest(library, music)
    # As where a network folder refuses: it cannot be listed, nor can what it holds be looked up.
    real_scandir, real_lstat = os.scandir, os.lstat

    def refuse(path: Any) -> Any:
        if b"/sub" in os.fsencode(path):
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", lambda path=".": refuse(path) or real_scandir(path))
    monkeypatch.setattr(os, "lstat", lambda path, **more: refuse(path) or real_lstat(path, **more))
    report = ingest(library, music, exclude=frozenset({"c.wav"}))
    assert (library.missing, report.outcomes) == (set(), {"UNCHANGED": 1})
    assert [(path, reason) for path, reason, _ in report.left_out] == [("sub", "UNREADABLE")]


def test_said_goes_before_tags_and_every_row_is_counted(
    tmp_path: Path, opened: list[str], recordings: list[Path]
) -> None:
    music, library = fill(tmp_path / "music", recordings, "a.wav", "b.wav"), FakeLibrary()
    shutil.copy2(music / "a.wav", music / "z.wav")
    (music / "up.wav").symlink_to(recordings[3])
    said = SourceTrack("a.wav", "melon", title="T", raw_genre="x", genre="Pop", tags=("t",), year=2001, licence="CC")
    rows: list[SourceTrack | LeftOut] = [
        said,
        LeftOut("line 2", Reason.NOT_JSON, "not JSON"),
        SourceTrack("b.wav", "melon"),
        said,
        SourceTrack("z.wav", "melon"),
        SourceTrack("nowhere.wav", "melon"),
        SourceTrack("up.wav", "melon"),
    ]
    report = ingest_said(library, music, *rows)
    assert (report.files, report.outcomes) == (7, {"CREATED": 2})
    assert sorted(reason for _, reason, _ in report.left_out) == [
        "DUPLICATE",
        "DUPLICATE_ROW",
        "FILE_MISSING",
        "NOT_JSON",
        "UNREADABLE",
    ]
    assert sum(report.outcomes.values()) + len(report.left_out) == len(rows)
    first = library.files[b"a.wav"]
    assert (first["title"], first["rawGenre"], first["genre"], first["tags"]) == ("T", "x", "Pop", ("t",))
    assert (first["year"], first["licence"], first["source"]) == (2001, "CC", "melon")
    assert library.files[b"b.wav"]["title"] == "b"
    again = ingest_said(library, music, SourceTrack("a.wav", "melon", title="Other"), *rows[1:])
    assert again.outcomes == {"RETAGGED": 1, "UNCHANGED": 1}


def test_batches_stay_below_what_a_body_may_hold(
    tmp_path: Path, opened: list[str], recordings: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_run, "_BATCH_SIZE", 100)
    monkeypatch.setattr(ingest_run, "_BATCH_BYTES", 10_000)
    music, library = fill(tmp_path / "music", recordings, "a.wav", "b.wav", "c.wav", "d.wav"), FakeLibrary()
    rows = [SourceTrack(f"{name}.wav", "s", tags=tuple(f"{n:03d}" + "é" * 15 for n in range(40))) for name in "abcd"]
    assert ingest_said(library, music, *rows).outcomes == {"CREATED": 4}
    assert [len(batch) for batch in library.batches] == [2, 2]
    assert all(len(json.dumps(batch)) < 11_000 for batch in library.batches)


def test_time_beyond_what_the_library_keeps_is_not_told(
    tmp_path: Path, opened: list[str], recordings: list[Path]
) -> None:
    music, library = fill(tmp_path / "music", recordings, "a.wav", "b.wav"), FakeLibrary()
    os.utime(music / "a.wav", ns=(0, 1 << 63))
    if os.stat(music / "a.wav").st_mtime_ns < 1 << 63:
        pytest.skip("this file system keeps no such times")
    ingest(library, music)
    assert "mtimeNs" not in library.files[b"a.wav"]
    assert "mtimeNs" in library.files[b"b.wav"]


def test_missing_paths_are_told_in_calls_that_a_body_can_hold() -> None:
    library = FakeLibrary()
    sizes = []
    library.mutate = lambda name, input: sizes.append(input["relativePathsBase64"]) or {"markedCount": 1}  # type: ignore
    paths = [b"%04d" % number + b"x" * 4_000 for number in range(300)] + [b"%04d" % number for number in range(600)]
    assert ingest_calls.mark_missing(library, "root", paths) == len(sizes)  # type: ignore[arg-type]  # a fake
    assert [base64.b64decode(path) for batch in sizes for path in batch] == paths
    assert all(len(batch) <= 500 and sum(map(len, batch)) <= 1 << 20 for batch in sizes)
    assert ingest_calls.mark_missing(library, "root", []) == 0  # type: ignore[arg-type]  # a fake


def test_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    for call in (ingest, ingest_said):
        with pytest.raises(ClientError) as refused:
            call(FakeLibrary(), tmp_path / "nowhere")
        assert refused.value.code == "UNREADABLE"


def test_report_holds_what_changed_and_what_was_left_out(tmp_path: Path) -> None:
    report = IngestReport("root", left_out=[("좋은\n날", "NOT_AUDIO", "m")])
    report.count("UNCHANGED", "same")
    report.count("MOVED", "b", "a")
    write_report(report, tmp_path / "report")
    assert [json.loads(line) for line in (tmp_path / "report").read_text().splitlines()] == [
        {"path": "좋은\n날", "outcome": "LEFT_OUT", "reason": "NOT_AUDIO", "message": "m"},
        {"path": "b", "outcome": "MOVED", "previous_path": "a"},
    ]


NAMES = st.sampled_from([f"{name}.wav" for name in "abcde"])


@settings(max_examples=25, deadline=None)
@given(
    states=st.lists(st.dictionaries(NAMES, st.integers(0, 3), min_size=1, max_size=5), min_size=2, max_size=4),
    dies_at=st.lists(st.integers(0, 3), min_size=4, max_size=4),
)
def test_library_is_what_the_folder_is_however_often_it_was_stopped(
    states: list[dict[str, int]], dies_at: list[int]
) -> None:
    """Whatever happens to a folder between ingests, and whenever they die, the last whole one tells the truth."""
    hashes = {b"%d" % number: f"{number:064x}" for number in range(4)}

    def read_all(candidates: Iterator[Candidate], *, min_duration_s: float) -> Iterator[TrackFile]:
        for candidate in candidates:
            data, found = (
                (candidate.root / candidate.relative_path).read_bytes(),
                os.stat(candidate.root / candidate.relative_path),
            )
            digest = bytes.fromhex(hashes[data])
            yield TrackFile(
                candidate.relative_path, found.st_size, found.st_mtime_ns, "audio/wav", digest, digest,
                data.decode(), None, None, None, None, None, 60.0, None, None,
            )  # fmt: skip

    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as name:
        patch.setattr(ingest_ledger, "read_all", read_all)
        patch.setattr(ingest_run, "_BATCH_SIZE", 1)
        music, library = Path(name), FakeLibrary()
        written = 0
        for state, death in zip(states, dies_at, strict=False):
            for path in music.iterdir():
                path.unlink()
            for file, number in state.items():
                written += 1
                (music / file).write_bytes(b"%d" % number)
                os.utime(music / file, ns=(written, written))
            library.dies_at_batch = len(library.batches) + death if death else 0
            try:
                ingest(library, music)
            except KeyboardInterrupt:
                library.dies_at_batch = 0
                ingest(library, music)
            there = {path: file["fileHash"] for path, file in library.files.items() if path not in library.missing}
            assert there == {file.encode(): hashes[b"%d" % number] for file, number in state.items()}
            report = ingest(library, music)
            assert (report.unread, report.outcomes) == (len(state), {"UNCHANGED": len(state)})
