"""A backup's file: what comes out is what went in, and nothing of what was damaged."""

import io
import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.archive import MANIFEST, BackupError, can_hold, extract, writing
from deploy.local.backup import back_up, restore
from deploy.local.state import RESTORING, State, StateError

FILES = {
    "database.dump": b"rows" * 1000,
    "secrets.json": b"{}",
    f"blobs/sha256/ab/cd/{'a' * 64}": b"",
    "models/m/w": b"w",
}


def make(path: Path, files: dict[str, bytes] = FILES) -> Path:
    with writing(path) as archive:
        for name, data in files.items():
            archive.add_bytes(name, data)
    return path


def tar(path: Path, entries: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w") as file:
        for entry, data in entries:
            entry.size = len(data)
            file.addfile(entry, io.BytesIO(data))
    return path


def named(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, link
    return entry


def test_everything_comes_out_as_it_went_in(tmp_path: Path) -> None:
    path = make(tmp_path / "backup.tar")
    assert path.stat().st_mode & 0o777 == 0o600
    extract(path, tmp_path / "out")
    found = {str(one.relative_to(tmp_path / "out")): one for one in (tmp_path / "out").rglob("*") if one.is_file()}
    assert {name: one.read_bytes() for name, one in found.items()} == FILES
    assert {one.stat().st_mode & 0o777 for one in found.values()} == {0o600}
    assert sorted(one.name for one in tmp_path.iterdir()) == ["backup.tar", "out"]


@given(share=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255))
def test_no_changed_byte_and_no_early_end_is_taken(
    tmp_path_factory: pytest.TempPathFactory, share: float, flip: int
) -> None:
    folder = tmp_path_factory.mktemp("archive")
    whole = bytearray(make(folder / "backup.tar").read_bytes())
    # The end of a tar is blocks of zeros, of which no reader looks at the last.
    used = whole.rstrip(b"\0")
    at = int(share * len(used))
    (folder / "short.tar").write_bytes(used[:at])
    with pytest.raises(BackupError) as short:
        extract(folder / "short.tar", folder / "short")
    assert str(folder / "short.tar") in str(short.value)
    whole[at] ^= flip
    (folder / "changed.tar").write_bytes(whole)
    try:
        extract(folder / "changed.tar", folder / "changed")
    except BackupError as error:
        said = str(error)
    else:  # a byte of the tar's own that means nothing: time, or user
        files = {str(one.relative_to(folder / "changed")): one for one in (folder / "changed").rglob("*")}
        assert {name: one.read_bytes() for name, one in files.items() if one.is_file()} == FILES
        return
    assert str(folder / "changed.tar") in said


@pytest.mark.parametrize(
    "entry",
    [
        named("../evil"),
        named("/etc/evil"),
        named("blobs/../../evil"),
        named("blobs/.."),
        named("postgres/PG_VERSION"),
        named("nats/jetstream"),
        named("secrets.json", tarfile.SYMTYPE, "/etc/passwd"),
        named("database.dump", tarfile.LNKTYPE, "secrets.json"),
        named("models/pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda entry: entry.name,
)
def test_what_does_not_belong_there_is_refused(tmp_path: Path, entry: tarfile.TarInfo) -> None:
    path = tar(tmp_path / "evil.tar", [(entry, b"")])
    with pytest.raises(BackupError, match=r"evil\.tar is no backup of museed"):
        extract(path, tmp_path / "deep" / "out")
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == [path]


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        ({"format": 2, "made_by": "museed 9", "sha256": {}}, "museed 9"),
        ({"format": 1, "sha256": {"secrets.json": "00"}}, "secrets.json is not what was backed up"),
        ({"format": 1, "sha256": {"database.dump": "00"}}, "database.dump is not what was backed up"),
        ({"format": 1, "sha256": {}}, "secrets.json was not backed up with it"),
        ([], "checksums cannot be read"),
    ],
)
def test_checksums_say_what_is_wrong(tmp_path: Path, manifest: object, words: str) -> None:
    entries = [(named("secrets.json"), b"{}"), (named(MANIFEST), json.dumps(manifest).encode())]
    with pytest.raises(BackupError, match=words):
        extract(tar(tmp_path / "backup.tar", entries), tmp_path / "out")


def test_broken_write_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with writing(tmp_path / "backup.tar") as archive:
            archive.add_bytes("secrets.json", b"{}")
            archive.add_path("encoder.json", tmp_path / "gone")

    with pytest.raises(FileNotFoundError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_damaged_backup_leaves_the_folder_empty(tmp_path: Path) -> None:
    (tmp_path / "backup.tar").write_bytes(make(tmp_path / "whole.tar").read_bytes()[:700])
    with pytest.raises(BackupError, match=r"backup\.tar is damaged"):
        restore(tmp_path / "backup.tar", tmp_path / "state")
    assert list((tmp_path / "state").iterdir()) == []


def test_restore_wants_an_empty_folder(tmp_path: Path) -> None:
    state = State.open(tmp_path / "state")
    state.secret("operator")
    before = (state / "secrets.json").read_bytes()
    with pytest.raises(BackupError, match="not empty"):
        restore(make(tmp_path / "backup.tar"), tmp_path / "state")
    assert (state / "secrets.json").read_bytes() == before


def test_interrupted_restore_is_not_taken_for_a_library(tmp_path: Path) -> None:
    (tmp_path / "state" / RESTORING).mkdir(parents=True)
    with pytest.raises(StateError, match="has not ended"):
        State.open(tmp_path / "state")


def test_backup_wants_a_library_and_a_new_file(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="no library"):
        back_up(tmp_path / "state", tmp_path / "backup.tar")
    (tmp_path / "state" / "postgres").mkdir(parents=True)
    (tmp_path / "state" / "postgres" / "PG_VERSION").write_text("18")
    (tmp_path / "backup.tar").write_text("older")
    with pytest.raises(BackupError, match="there already"):
        back_up(tmp_path / "state", tmp_path / "backup.tar")
    assert (tmp_path / "backup.tar").read_text() == "older"


@pytest.mark.parametrize("name", ["blobs/sha256/ab/cd/x#1", "blobs", "blobs/", "blobs//x", "models/.hidden", "lock"])
def test_unfinished_and_foreign_names_are_left_out(name: str) -> None:
    assert not can_hold(name)


def sparse(path: Path, name: str, size: int) -> Path:
    """Write a tar of one block that says to be a file of so many zeros."""
    entry = tarfile.TarInfo(name)
    entry.type = tarfile.GNUTYPE_SPARSE
    block = bytearray(entry.tobuf(tarfile.GNU_FORMAT)[:512])
    # One stretch of no bytes at the end, and the size: all else is a hole.
    block[386:410] = b"%011o\0%011o\0" % (size, 0)
    block[483:495] = b"%011o\0" % size
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    path.write_bytes(bytes(block) + b"\0" * 1024)
    return path


def test_small_backup_cannot_fill_the_disk(tmp_path: Path) -> None:
    path = sparse(tmp_path / "backup.tar", "database.dump", 1024 * 1024)
    with tarfile.open(path) as file:
        assert [(entry.isreg(), entry.size) for entry in file] == [(True, 1024 * 1024)]
    with pytest.raises(BackupError, match="does not belong there"):
        extract(path, tmp_path / "out")
    assert [one for one in tmp_path.rglob("*") if one.is_file()] == [path]


@pytest.mark.parametrize(
    "text", [b"[" * 100_000, b'{"format": 1, "sha256": {' + b'"a": 1,' * 100_000 + b'"b": 2}}', b"\xff"]
)
def test_list_of_checksums_that_cannot_be_one_is_damage(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(BackupError, match=r"backup\.tar is damaged"):
        extract(tar(tmp_path / "backup.tar", [(named(MANIFEST), text)]), tmp_path / "out")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("secrets.json", b"[]"),
        ("secrets.json", b"nonsense"),
        ("secrets.json", b'{"operator": 1, "url_signing_key": "a"}'),
        ("secrets.json", b'{"operator": "a", "url_signing_key": "a", "postgres": "@/evil"}'),
        ("secrets.json", b"[" * 100_000),
        ("encoder.json", b"{}"),
        ("encoder.json", b'"text"'),
    ],
)
def test_backup_whose_settings_cannot_be_read_leaves_the_folder_empty(tmp_path: Path, name: str, text: bytes) -> None:
    files = {"database.dump": b"rows", "secrets.json": b'{"operator": "a", "url_signing_key": "a"}', name: text}
    with pytest.raises(BackupError, match=r"backup\.tar is damaged: secrets\.json or encoder\.json"):
        restore(make(tmp_path / "backup.tar", files), tmp_path / "state")
    assert list((tmp_path / "state").iterdir()) == []


def test_two_backups_to_one_file_at_once_leave_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_second() -> None:
        with writing(tmp_path / "backup.tar") as slow:
            slow.add_bytes("secrets.json", b"second")
            with monkeypatch.context() as other_process:
                other_process.setattr("os.getpid", lambda: 1)
                make(tmp_path / "backup.tar")

    with pytest.raises(BackupError, match="is there already"):
        write_second()
    extract(tmp_path / "backup.tar", tmp_path / "out")
    assert (tmp_path / "out" / "secrets.json").read_bytes() == FILES["secrets.json"]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["backup.tar", "out"]
