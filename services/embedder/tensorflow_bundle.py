"""Reads the tensors of a TensorFlow checkpoint (bundle format) with numpy alone; writes none.

A bundle is two files: `.index` is a LevelDB table whose values are BundleEntryProto messages, and
`.data-00000-of-00001` holds the raw tensors. Format: tensorflow/core/protobuf/tensor_bundle.proto and
leveldb/doc/table_format.md.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.embedder.errors import ArtifactInvalid

_FOOTER_BYTES = 48
_TABLE_MAGIC = 0xDB4775248B80FB57
_FLOAT32 = 1  # DataType.DT_FLOAT

Fields = dict[int, list[int | bytes]]


def read_bundle(index_path: Path) -> dict[str, NDArray[np.float32]]:
    """Read every float32 tensor of a checkpoint.

    Args:
        index_path: The `.index` file; the data file lies beside it.

    Returns:
        Tensors by variable name, each with its own shape, float32.

    Raises:
        ArtifactInvalid: A file is missing, or not an uncompressed bundle of one shard.
    """
    try:
        index = index_path.read_bytes()
        data = Path(str(index_path).removesuffix(".index") + ".data-00000-of-00001").read_bytes()
        return dict(_tensors(index, data))
    except OSError as error:
        raise ArtifactInvalid(f"checkpoint {index_path} cannot be read: {error}", reason="ARTIFACT_MISSING") from error
    except (ValueError, IndexError, KeyError, struct.error) as error:
        raise ArtifactInvalid(f"checkpoint {index_path} is malformed: {error}", reason="ARTIFACT_CORRUPT") from error


def _tensors(index: bytes, data: bytes) -> Iterator[tuple[str, NDArray[np.float32]]]:
    if struct.unpack("<Q", index[-8:])[0] != _TABLE_MAGIC:
        raise ValueError("no LevelDB table")
    footer = index[-_FOOTER_BYTES:]
    _, position = _block_handle(footer, 0)  # of the meta-index, which is empty
    (offset, size), _ = _block_handle(footer, position)
    for _, handle in _entries(index, offset, size):
        (block_offset, block_size), _ = _block_handle(handle, 0)
        for key, value in _entries(index, block_offset, block_size):
            entry = _fields(value)
            if not key or entry.get(1, [0])[0] != _FLOAT32:
                continue  # the empty key is the header
            start, length = _number(entry, 4), _number(entry, 5)
            if start + length > len(data):
                raise ValueError(f"tensor {key!r} lies past the end of the data")
            yield key.decode(), np.frombuffer(data[start : start + length], dtype="<f4").reshape(_shape(entry))


def _number(entry: Fields, field: int) -> int:
    value = entry.get(field, [0])[0]
    if not isinstance(value, int):
        raise ValueError(f"field {field} is no number")
    return value


def _shape(entry: Fields) -> list[int]:
    shape = []
    for message in entry.get(2, []):
        for dimension in _fields(message).get(2, []) if isinstance(message, bytes) else []:
            shape.append(_number(_fields(dimension), 1) if isinstance(dimension, bytes) else 0)
    return shape


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position += 1
        shift += 7
        if byte < 0x80:
            return value, position


def _block_handle(data: bytes, position: int) -> tuple[tuple[int, int], int]:
    offset, position = _varint(data, position)
    size, position = _varint(data, position)
    return (offset, size), position


def _entries(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of one block; a key states only what differs from the key before."""
    if table[offset + size] != 0:
        raise ValueError("the table is compressed")
    block = table[offset : offset + size]
    restarts = struct.unpack("<I", block[-4:])[0]
    end = len(block) - 4 - 4 * restarts
    position, key = 0, b""
    while position < end:
        shared, position = _varint(block, position)
        own, position = _varint(block, position)
        length, position = _varint(block, position)
        key = key[:shared] + block[position : position + own]
        position += own
        yield key, block[position : position + length]
        position += length


def _fields(message: bytes) -> Fields:
    """Split a protobuf message into its fields by number: varints and fixed numbers as int, the rest as bytes."""
    fields: Fields = {}
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        value: int | bytes
        match tag & 7:
            case 0:
                value, position = _varint(message, position)
            case 1:
                value, position = struct.unpack_from("<Q", message, position)[0], position + 8
            case 2:
                length, position = _varint(message, position)
                value, position = message[position : position + length], position + length
            case 5:
                value, position = struct.unpack_from("<I", message, position)[0], position + 4
            case kind:
                raise ValueError(f"wire type {kind}")
        fields.setdefault(tag >> 3, []).append(value)
    return fields
