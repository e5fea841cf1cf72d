"""Takes the music out of a package as Debian makes them."""

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from training.catalogue import more_packages
from training.fetch_music import CannotFetch, fetch, packages, unpack


@pytest.fixture
def deb(tmp_path: Path) -> Path:
    if shutil.which("dpkg-deb") is None:
        pytest.fail("dpkg-deb is missing: the music comes from Debian's packages")
    root = tmp_path / "root"
    games, doc, control = root / "usr/share/games/x", root / "usr/share/doc/x", root / "DEBIAN"
    for folder in (games / "music", doc, control):
        folder.mkdir(parents=True)
    (games / "music" / "One.OGG").write_bytes(b"one")
    (games / "picture.png").write_bytes(b"no music")
    (doc / "copyright").write_text("GPL-2", encoding="utf-8")
    (games / "link.ogg").symlink_to("/etc/passwd")
    with zipfile.ZipFile(games / "data.pk3", "w") as archive:
        archive.writestr("music/two.ogg", b"two")
        archive.writestr("../../escape.ogg", b"out")
        archive.writestr("readme.txt", b"no music")
    with zipfile.ZipFile(games / "mod.zip", "w") as archive:
        archive.writestr("audio/three.Opus", b"three")
    (control / "control").write_text(
        "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n", encoding="utf-8"
    )
    subprocess.run(["dpkg-deb", "--build", str(root), str(tmp_path / "x.deb")], check=True, capture_output=True)
    return tmp_path / "x.deb"


def test_audio_and_licence_are_kept_below_the_folder_and_nothing_else(deb: Path, tmp_path: Path) -> None:
    destination = tmp_path / "music" / "x"
    destination.mkdir(parents=True)
    (destination / "half.ogg").write_bytes(b"of a fetch that was cut off")
    assert unpack(deb, destination) == 4
    kept = {path.relative_to(destination).as_posix() for path in destination.rglob("*") if path.is_file()}
    assert kept == {
        ".complete",
        "usr/share/doc/x/copyright",
        "usr/share/games/x/music/One.OGG",
        "usr/share/games/x/data.pk3.d/music/two.ogg",
        "usr/share/games/x/data.pk3.d/escape.ogg",
        "usr/share/games/x/mod.zip.d/audio/three.Opus",
    }
    assert fetch("x", tmp_path / "music") == 0


def test_a_package_that_does_not_exist_is_told(tmp_path: Path) -> None:
    with pytest.raises(CannotFetch, match="no-such-package-of-museed"):
        fetch("no-such-package-of-museed", tmp_path)
    assert not (tmp_path / "no-such-package-of-museed").exists()


def test_the_catalogue_names_sixteen_packages_and_none_of_them_again_for_learning() -> None:
    assert len(packages()) == 16
    more = more_packages()
    assert len(set(more)) == len(more) >= 30
    assert not set(more) & set(packages())
