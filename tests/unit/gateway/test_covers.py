"""Pictures told by their bytes, kept within bounds, and taken out of files of every format."""

import struct
from pathlib import Path

import pytest
from mutagen.apev2 import APEv2
from mutagen.id3 import APIC, ID3

from services.gateway.covers import embedded
from services.gateway.covers.cover_cache import Cover, CoverCache
from services.gateway.covers.embedded import embedded_picture
from services.gateway.covers.folder_images import open_folder_image
from services.gateway.covers.images import image_type
from tests.fixtures.recordings import TAGGED_FORMATS, write_recording, write_tags

JPEG = b"\xff\xd8\xff\xe0 a picture"
PNG = b"\x89PNG\r\n\x1a\n another"


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (JPEG, "image/jpeg"),
        (PNG, "image/png"),
        (b"GIF89a...", "image/gif"),
        (b"GIF87a...", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\0\0\0\0WAVEfmt ", None),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", None),
        (b"<html>", None),
        (b"", None),
    ],
)
def test_pictures_are_told_by_their_first_bytes(data: bytes, wanted: str | None) -> None:
    assert image_type(data) == wanted


def picture_in(path: Path, max_bytes: int = 1 << 20) -> bytes:
    with path.open("rb") as file:
        return embedded_picture(file, max_bytes)


@pytest.mark.parametrize("kind", [kind for kind in TAGGED_FORMATS if kind != "wma"])
def test_picture_comes_out_of_every_format(tmp_path: Path, kind: str) -> None:
    path = write_recording(tmp_path / f"a.{kind}", kind)
    write_tags(path)
    assert picture_in(path) == b""
    write_tags(path, picture=JPEG)
    assert picture_in(path) == JPEG


def test_picture_comes_out_of_asf(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.wma", "wma")
    names = "image/jpeg\0Front\0".encode("utf-16-le")
    write_tags(path, picture=struct.pack("<BI", 3, len(JPEG)) + names + JPEG)
    assert picture_in(path) == JPEG
    for wrong in (b"", b"abc", struct.pack("<BI", 3, 2**31) + JPEG, struct.pack("<BI", 3, 0)):
        write_tags(path, picture=wrong)
        assert picture_in(path) == b""


def test_front_comes_first_and_what_cannot_be_shown_is_passed_over(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.mp3", "mp3")
    tags = ID3()
    for kind, desc, data in ((4, "back", PNG), (3, "front", b"<svg/>"), (0, "other", JPEG)):
        tags.add(APIC(encoding=3, mime="image/jpeg", type=kind, desc=desc, data=data))
    tags.save(path)
    assert picture_in(path) == PNG
    tags.add(APIC(encoding=3, mime="image/png", type=3, desc="front", data=JPEG + b"front"))
    tags.save(path)
    assert picture_in(path) == JPEG + b"front"
    assert picture_in(path, len(JPEG)) == JPEG
    assert picture_in(path, 4) == b""


def test_picture_of_ape_tags(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "a.wav", "wav")
    tags = APEv2()
    tags["Cover Art (Front)"] = b"cover.jpg\0" + JPEG
    assert list(embedded._pictures(type("File", (), {"tags": tags})())) == [(3, JPEG)]
    assert picture_in(path) == b""


def test_more_than_the_bound_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_recording(tmp_path / "a.flac", "flac")
    write_tags(path, picture=JPEG + bytes(100_000))
    assert len(picture_in(path)) == 100_000 + len(JPEG)
    monkeypatch.setattr(embedded, "MAX_READ_BYTES", 50_000)
    with pytest.raises(Exception, match="50000 bytes"):
        picture_in(path)


def open_image(root: Path, path: str) -> bytes | None:
    descriptor = open_folder_image(str(root), path.encode())
    if descriptor is None:
        return None
    with open(descriptor, "rb") as file:
        return file.read()


def test_picture_beside_a_file_is_found_by_name_and_rank(tmp_path: Path) -> None:
    folder = tmp_path / "root" / "album"
    folder.mkdir(parents=True)
    root = tmp_path / "root"
    assert open_image(root, "album/a.ogg") is None
    for name in ("folder.png", "Cover.JPG", "cover.png", "notes.txt", "covers.jpg"):
        (folder / name).write_bytes(name.encode())
    assert open_image(root, "album/a.ogg") == b"Cover.JPG"
    (folder / "Cover.JPG").unlink()
    assert open_image(root, "album/a.ogg") == b"cover.png"
    (folder / "cover.png").unlink()
    assert open_image(root, "album/a.ogg") == b"folder.png"
    (root / "front.gif").write_bytes(b"of the root")
    assert open_image(root, "a.ogg") == b"of the root"


def test_nothing_outside_of_the_root_is_found(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "cover.jpg").write_bytes(JPEG)
    (tmp_path / "cover.jpg").write_bytes(JPEG)
    (root / "linked").symlink_to(outside)
    (root / "cover.jpg").symlink_to(outside / "cover.jpg")
    for path in ("linked/a.ogg", "../a.ogg", "../outside/a.ogg", "a.ogg", "gone/a.ogg"):
        assert open_image(root, path) is None
    assert open_image(root, "nul\0/a.ogg") is None
    (root / "folder").mkdir()
    (root / "folder" / "cover.jpg").mkdir()
    assert open_image(root, "folder/a.ogg") is None


def test_cache_keeps_the_latest_used_within_its_bytes() -> None:
    cache = CoverCache(4_000)
    covers = [Cover.of(bytes([number]) * 1_000, "image/png") for number in range(4)]
    for number, cover in enumerate(covers[:2]):
        cache.put((number,), cover)
    assert cache.get((0,)) is covers[0]
    cache.put((2,), covers[2])
    assert ((0,) in cache, (1,) in cache, (2,) in cache) == (True, False, True)
    cache.put((3,), None)
    assert ((3,) in cache, cache.get((3,)), cache.size_bytes) == (True, None, 2 * 1_512 + 512)
    cache.put((3,), covers[3])
    assert cache.size_bytes == 2 * 1_512
    cache.put((9,), Cover.of(bytes(5_000), "image/png"))
    assert cache.size_bytes == 0
