import asyncio
import contextlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from services.chassis.errors import NotFound
from services.chassis.media import open_below, open_in_thread


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


async def test_file_is_opened_in_a_thread(root: Path) -> None:
    descriptor = await open_in_thread(None, lambda: open_below(root, b"album/song.ogg"))
    with os.fdopen(descriptor, "rb") as file:
        assert file.read() == b"song"
    with pytest.raises(NotFound):
        await open_in_thread(None, lambda: open_below(root, b"none"))


@pytest.mark.parametrize("path", [b"album/song.ogg", b"none"])
async def test_caller_who_leaves_while_a_file_is_opened_leaves_none_open(root: Path, path: bytes) -> None:
    begun, may_open = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    unheard: list[object] = []
    loop.set_exception_handler(lambda _, context: unheard.append(context))

    def open_late() -> int:
        loop.call_soon_threadsafe(begun.set)
        may_open.wait(10)
        return open_below(root, path)

    with ThreadPoolExecutor(1) as executor:
        caller = asyncio.create_task(open_in_thread(executor, open_late))
        await begun.wait()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        may_open.set()
    await asyncio.sleep(0)  # the thread has told the loop of its end
    await asyncio.sleep(0)
    assert (_descriptors_below(root), unheard) == ([], [])
