import contextlib
import os
from pathlib import Path

import pytest

from services.chassis.errors import NotFound
from services.chassis.media import open_below


@pytest.fixture
def root(tmp_path: Path) -> Path:
    inside = tmp_path / "root"
    (inside / "album").mkdir(parents=True)
    (inside / "album" / "song.ogg").write_bytes(b"song")
    (inside / "link.ogg").symlink_to("album/song.ogg")
    (inside / "escape.ogg").symlink_to(tmp_path / "secret")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "root-beside").mkdir()
    (tmp_path / "root-beside" / "secret").write_bytes(b"secret")
    os.mkfifo(inside / "fifo")
    return inside


def _descriptors_below(folder: Path) -> list[str]:
    """Files of a folder that this process holds open: other threads open and close theirs meanwhile."""
    held = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            held.append(os.readlink(f"/proc/self/fd/{number}"))
    return [path for path in held if path.startswith(f"{folder}/")]


@pytest.mark.parametrize("path", [b"album/song.ogg", b"link.ogg", b"album/../album/song.ogg"])
def test_file_below_the_root_is_opened(root: Path, path: bytes) -> None:
    descriptor = open_below(root, path)
    assert _descriptors_below(root) == [str(root / "album" / "song.ogg")]
    with os.fdopen(descriptor, "rb") as file:
        assert file.read() == b"song"


@pytest.mark.parametrize(
    "path",
    [b"", b"../secret", b"/etc/passwd", b"escape.ogg", b"../root-beside/secret", b"album", b"fifo", b"none", b"a\0b"],
)
def test_anything_else_is_not_found(root: Path, path: bytes) -> None:
    with pytest.raises(NotFound) as caught:
        open_below(root, path)
    assert caught.value.reason == "MEDIA_NOT_FOUND"
    assert _descriptors_below(root.parent) == []


def test_missing_root_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        open_below(tmp_path / "gone", b"song.ogg")


def test_refusal_of_a_name_that_is_not_utf8_can_be_sent_to_anybody(tmp_path: Path) -> None:
    with pytest.raises(NotFound) as caught:
        open_below(tmp_path, b"caf\xe9.mp3")
    assert caught.value.value == "caf\\xe9.mp3"
    assert caught.value.message.encode()
