"""No wheel of an image asks for a library that neither its own wheels nor a slim Debian with Python has."""

import importlib.metadata
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.images.installed import installed
from deploy.images.requirements import read
from deploy.images.table import IMAGES, Image

# Of glibc and GCC's runtime, which every Debian has, and zlib, which Python's image has.
OF_THE_BASE = {
    "ld-linux-x86-64.so.2",
    "libc.so.6",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libmvec.so.1",
    "libpthread.so.0",
    "librt.so.1",
    "libstdc++.so.6",
    "libutil.so.1",
    "libz.so.1",
}
# Of the node: its driver brings them.
OF_THE_DRIVER = {"libcuda.so.1", "libnvidia-ml.so.1"}
# Loaded where a cluster's network or another pool of threads is asked for, which nothing here does.
PLUGINS = ("libcufile_rdma", "nvshmem_bootstrap", "nvshmem_transport", "omppool", "tbbpool")
_DYNAMIC, _LOAD = 2, 1
_NEEDED, _STRING_TABLE = 1, 5


def needed(path: Path) -> Iterator[str]:
    """Read the names of the libraries that an ELF file asks for; none of what is no ELF file."""
    with path.open("rb") as file:
        head = file.read(64)
        if head[:5] != b"\x7fELF\x02":
            return
        [table] = struct.unpack_from("<Q", head, 32)
        size, count = struct.unpack_from("<HH", head, 54)
        file.seek(table)
        headers = [struct.unpack_from("<IIQQQQQQ", file.read(size)) for _ in range(count)]
        entries: list[tuple[int, int]] = []
        for kind, _, offset, _, _, length, _, _ in headers:
            if kind == _DYNAMIC:
                file.seek(offset)
                entries += struct.iter_unpack("<QQ", file.read(length))
        strings = next((value for tag, value in entries if tag == _STRING_TABLE), 0)
        for kind, _, offset, address, _, length, _, _ in headers:
            if kind == _LOAD and address <= strings < address + length:
                for tag, value in entries:
                    if tag == _NEEDED:
                        file.seek(offset + strings - address + value)
                        yield file.read(256).partition(b"\0")[0].decode()


def files_of(image: Image) -> list[Path]:
    """Return its libraries, without those of Ray's dashboard, which are not installed here."""
    found = []
    for pin in read(image.requirements):
        try:
            files = installed(pin.name).files or ()
        except importlib.metadata.PackageNotFoundError:
            assert image.name == "embedder-bulk"
            continue
        found += [Path(str(file.locate())) for file in files if ".so" in file.name]
    return found


def lacking(files: list[Path]) -> dict[str, str]:
    """Return what is asked for and nobody has, each with one that asks."""
    own = {path.name for path in files}
    asked = {name: path.name for path in files for name in needed(path)}
    return {name: path for name, path in asked.items() if name not in own | OF_THE_BASE}


@pytest.mark.parametrize(
    "image",
    [image for image in IMAGES if image.name != "retriever-gpu"],
    ids=lambda image: str(image.name),
)
def test_libraries_are_in_the_image(image: Image) -> None:
    found = lacking([path for path in files_of(image) if not path.name.startswith(PLUGINS)])
    assert {name: path for name, path in found.items() if name not in OF_THE_DRIVER} == {}


def test_missing_library_is_seen() -> None:
    files = [path for path in files_of(IMAGES[0]) if "libsndfile" not in path.name and "libav" not in path.name]
    assert any(name.startswith("libavcodec") for name in lacking(files))
