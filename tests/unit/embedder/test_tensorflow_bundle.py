"""The reader of TensorFlow checkpoints, against a bundle written here byte by byte, and against the wheel's."""

import struct
from pathlib import Path

import numpy as np
import pytest

from services.embedder.errors import ArtifactInvalid
from services.embedder.musicnn_wheel import find_checkpoint
from services.embedder.tensorflow_bundle import read_bundle

MAGIC = 0xDB4775248B80FB57


def varint(number: int) -> bytes:
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def block(entries: list[tuple[int, bytes, bytes]]) -> bytes:
    """Return a LevelDB block of (shared key bytes, own key bytes, value), uncompressed, with its trailer."""
    body = b"".join(
        varint(shared) + varint(len(own)) + varint(len(value)) + own + value for shared, own, value in entries
    )
    return body + struct.pack("<II", 0, 1) + b"\0" + b"\0\0\0\0"


def entry(shape: list[int], offset: int, size: int, dtype: int = 1) -> bytes:
    dimensions = b"".join(
        b"\x12" + varint(len(inner)) + inner for inner in (b"\x08" + varint(length) for length in shape)
    )
    message = b"\x08" + varint(dtype) + b"\x12" + varint(len(dimensions)) + dimensions
    return message + b"\x20" + varint(offset) + b"\x28" + varint(size) + b"\x35" + struct.pack("<I", 12345)


def write_bundle(folder: Path, entries: list[tuple[int, bytes, bytes]], data: bytes) -> Path:
    table = block(entries)
    handle = varint(0) + varint(len(table) - 5)
    index = block([(0, b"zz", handle)])
    footer = varint(0) + varint(0) + varint(len(table)) + varint(len(index) - 5)
    path = folder / "model.index"
    path.write_bytes(table + index + footer.ljust(40, b"\0") + struct.pack("<Q", MAGIC))
    (folder / "model.data-00000-of-00001").write_bytes(data)
    return path


def test_tensors_come_with_name_shape_and_values(tmp_path: Path) -> None:
    data = np.arange(500, dtype="<f4")
    entries = [
        (0, b"", b"\x08\x01"),  # the header
        (0, b"layer/bias", entry([2], 0, 8)),
        (6, b"kernel", entry([3, 1, 2], 8, 24)),
        (6, b"steps", entry([1], 32, 8, dtype=9)),
        (6, b"wide", entry([300], 40, 1200)),
        (0, b"scalar", entry([], 1240, 4)),
    ]
    tensors = read_bundle(write_bundle(tmp_path, entries, data.tobytes()))
    assert sorted(tensors) == ["layer/bias", "layer/kernel", "layer/wide", "scalar"]
    np.testing.assert_array_equal(tensors["layer/bias"], [0, 1])
    np.testing.assert_array_equal(tensors["layer/kernel"], [[[2, 3]], [[4, 5]], [[6, 7]]])
    np.testing.assert_array_equal(tensors["layer/wide"], np.arange(10, 310))
    assert tensors["scalar"].shape == ()
    assert tensors["scalar"] == 310


def test_the_wheels_checkpoint_reads() -> None:
    tensors = read_bundle(find_checkpoint())
    assert tensors["conv2d/kernel"].shape == (7, 38, 1, 204)
    assert tensors["conv2d_5/kernel"].shape == (7, 561, 1, 64)
    assert tensors["dense/kernel"].shape == (1506, 200)
    assert tensors["batch_normalization_9/gamma"].shape == (1506,)
    assert (tensors["batch_normalization_9/moving_variance"] >= 0).all()


def test_missing_file_is_coded(tmp_path: Path) -> None:
    with pytest.raises(ArtifactInvalid) as caught:
        read_bundle(tmp_path / "model.index")
    assert caught.value.reason == "ARTIFACT_MISSING"


@pytest.mark.parametrize("damage", ["magic", "compressed", "short data", "cut"])
def test_malformed_bundle_is_coded(tmp_path: Path, damage: str) -> None:
    path = write_bundle(tmp_path, [(0, b"a", entry([2], 0, 8))], b"\0" * (4 if damage == "short data" else 8))
    raw = bytearray(path.read_bytes())
    if damage == "magic":
        raw[-1] ^= 1
    elif damage == "compressed":
        raw[raw.index(struct.pack("<II", 0, 1)) + 8] = 1
    elif damage == "cut":
        raw = raw[-48:]
    path.write_bytes(raw)
    with pytest.raises(ArtifactInvalid) as caught:
        read_bundle(path)
    assert caught.value.reason == "ARTIFACT_CORRUPT"
