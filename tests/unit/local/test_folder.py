import os
import unicodedata
from pathlib import Path

import pytest

from deploy.local import folder
from deploy.local.folder import Candidate, Reason, Skipped, Tally, scan

NFD = unicodedata.normalize("NFD", "좋은날é.mp3")


def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")


def test_names_of_audio_come_in_the_order_of_their_bytes(tmp_path: Path) -> None:
    for name in ("b.OGG", "a/2.flac", "a/10.flac", "a.mp3", "...And Justice/1.wav", "cover.jpg", "._b.ogg", "noext"):
        touch(tmp_path / name)
    tally = Tally()
    found = list(scan(tmp_path, tally))
    paths = ["...And Justice/1.wav", "a/10.flac", "a/2.flac", "a.mp3", "b.OGG"]
    assert found == [Candidate(tmp_path.resolve(), path) for path in paths]
    assert tally == Tally(other_files=3, links=0)


def test_decomposed_names_are_shown_composed_and_kept_byte_by_byte(tmp_path: Path) -> None:
    touch(tmp_path / NFD)
    (found,) = scan(tmp_path)
    assert isinstance(found, Candidate)
    assert found.relative_path.encode() == os.fsencode(NFD)
    assert found.display_path == "좋은날é.mp3" != NFD


def test_names_that_are_no_text_are_skipped_once(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"bad\xff.mp3")).write_bytes(b"x")
    (tmp_path / os.fsdecode(b"other\xff.txt")).write_bytes(b"x")
    hidden = tmp_path / os.fsdecode(b"folder\xfe")
    touch(hidden / "a.mp3")
    assert list(scan(tmp_path)) == [
        Skipped("bad\\xff.mp3", Reason.BAD_NAME, "name is not UTF-8"),
        Skipped("folder\\xfe", Reason.BAD_NAME, "name is not UTF-8"),
    ]


def test_paths_over_the_limit_are_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "MAX_PATH_BYTES", 10)
    touch(tmp_path / "a/23456.mp3")
    touch(tmp_path / "a/2345.mp3")
    (fits, too_long) = scan(tmp_path)
    assert isinstance(fits, Candidate)
    assert too_long == Skipped("a/23456.mp3", Reason.BAD_NAME, "path is 11 bytes, limit is 10", "11", "10")


def test_links_are_never_followed_out_of_the_folder(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    touch(root / "song.ogg")
    touch(outside / "song.ogg")
    (root / "inside.ogg").symlink_to("song.ogg")
    (root / "again").symlink_to(root)
    (root / "away").symlink_to(outside)
    (root / "away.ogg").symlink_to(outside / "song.ogg")
    (root / "nowhere.ogg").symlink_to("gone")
    (root / "self.ogg").symlink_to("self.ogg")
    tally = Tally()
    found = list(scan(root, tally))
    message = "a link that leads out of the folder, or nowhere"
    assert found == [
        Skipped("away", Reason.UNREADABLE, message),
        Skipped("away.ogg", Reason.UNREADABLE, message),
        Skipped("nowhere.ogg", Reason.UNREADABLE, message),
        Skipped("self.ogg", Reason.UNREADABLE, message),
        Candidate(root, "song.ogg"),
    ]
    assert tally == Tally(other_files=0, links=2)


def test_a_root_that_is_a_link_is_walked(tmp_path: Path) -> None:
    touch(tmp_path / "music" / "a.ogg")
    (tmp_path / "link").symlink_to("music")
    assert list(scan(tmp_path / "link")) == [Candidate(tmp_path / "music", "a.ogg")]


def test_what_is_no_regular_file_is_skipped(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp3")
    assert list(scan(tmp_path)) == [Skipped("pipe.mp3", Reason.UNREADABLE, "not a regular file")]


def test_a_folder_that_cannot_be_listed_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "closed" / "a.mp3")
    touch(tmp_path / "open.mp3")
    listed = folder._listed

    def refuse(path: bytes) -> list[os.DirEntry[bytes]]:
        if path.endswith(b"closed"):
            raise PermissionError(13, "Permission denied")
        return listed(path)

    monkeypatch.setattr(folder, "_listed", refuse)
    assert list(scan(tmp_path)) == [
        Skipped("closed", Reason.UNREADABLE, "cannot be read: Permission denied"),
        Candidate(tmp_path.resolve(), "open.mp3"),
    ]


def test_a_missing_root_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(scan(tmp_path / "gone"))
