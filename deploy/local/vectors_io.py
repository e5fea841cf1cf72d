"""Vectors as files: `vectors.npy`, a matrix of unit rows, and `vectors.jsonl`, whose line i says whose row i is."""

import base64
import os
import shutil
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from clients.python import operations
from clients.python.operations import ImportVectorsInput, StoredVectorInput
from deploy.local.client import ClientError, GatewayClient, accepted
from deploy.local.patience import patiently
from services.chassis.vectors import NORM_TOLERANCE
from services.social.sources.rows import LeftOut
from services.social.sources.vectors import VectorRow, read_rows, write_row

MATRIX, ROWS = "vectors.npy", "vectors.jsonl"
_PAGE_SIZE = 200
# Of a body of 2 MiB, in base64.
_BATCH_BYTES = 1 << 20
_MOST_IN_A_CALL = 500
_LARGEST_DIMENSION = 65_536

Told = Callable[[int], None]
Matrix = NDArray[np.floating[Any]]


@dataclass(slots=True)
class ImportReport:
    """What an import did: every row of the matrix has its outcome, or is left out as (place, reason, message)."""

    rows: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    left_out: list[tuple[str, str, str]] = field(default_factory=list)


def export_vectors(
    client: GatewayClient, encoder_id: str, dimension: int, folder: Path, root_id: str | None, told: Told
) -> int:
    """Write an encoder's vectors into a folder; both files appear whole, or not at all.

    Args:
        client: Logged in as an admin.
        encoder_id: Whose vectors.
        dimension: Of each.
        folder: Made where it is not there; files of an export before are replaced.
        root_id: Only of tracks of this root.
        told: Is told how many there are so far.

    Returns:
        How many vectors there are.

    Raises:
        ClientError: The gateway is away or refuses, or sends a vector of another length.
    """
    folder.mkdir(parents=True, exist_ok=True)
    numbers, rows, matrix = folder / f"{MATRIX}.raw", folder / f"{ROWS}.part", folder / f"{MATRIX}.part"
    count = 0
    try:
        with numbers.open("wb") as raw, rows.open("w", encoding="utf-8") as lines:
            for audio_hash, vector, seconds in _listed(client, encoder_id, root_id):
                if len(vector) != 4 * dimension:
                    raise ClientError(f"a vector of {len(vector)} bytes, {4 * dimension} are expected", "BAD_ANSWER")
                raw.write(vector)
                lines.write(write_row(VectorRow(audio_hash, encoder_id, seconds)))
                count += 1
                told(count)
        with matrix.open("wb") as whole, numbers.open("rb") as raw:
            header = {"descr": "<f4", "fortran_order": False, "shape": (count, dimension)}
            np.lib.format.write_array_header_1_0(whole, header)
            shutil.copyfileobj(raw, whole, 1 << 20)
        os.replace(rows, folder / ROWS)
        os.replace(matrix, folder / MATRIX)
    finally:
        for part in (numbers, rows, matrix):
            part.unlink(missing_ok=True)
    return count


def import_vectors(client: GatewayClient, dimensions: dict[str, int], folder: Path, told: Told) -> ImportReport:
    """Send the vectors of a folder to the library; may be repeated.

    Args:
        client: Logged in as an admin.
        dimensions: Of the encoders that the library knows, by id.
        folder: Holds `vectors.npy` and `vectors.jsonl`.
        told: Is told how many rows are done.

    Raises:
        ClientError: The gateway is away or refuses; or VECTORS_INVALID, before anything is sent: the files are not
            what they should be, differ in length, or name an encoder that the library does not know.
    """
    matrix = open_matrix(folder / MATRIX)
    encoder_id = _check_rows(folder / ROWS, matrix, dimensions)
    report = ImportReport()
    if encoder_id is None:
        return report
    size = max(1, min(_MOST_IN_A_CALL, _BATCH_BYTES // (6 * matrix.shape[1] + 200)))
    batch: list[StoredVectorInput] = []
    places: list[str] = []
    for number, row in enumerate(_read(folder / ROWS)):
        report.rows += 1
        if isinstance(row, LeftOut):
            report.left_out.append((row.place, row.reason.value, row.message))
            continue
        vector = np.asarray(matrix[number])  # (dimension,)
        if fault := _vector_fault(vector):
            report.left_out.append((f"row {number}", "VECTOR_NOT_UNIT", fault))
            continue
        encoded = base64.b64encode(vector.astype("<f4").tobytes()).decode()
        batch.append(
            StoredVectorInput(audio_hash=row.audio_hash, vector_base64=encoded, duration_seconds=row.duration_s)
        )
        places.append(f"row {number}")
        if len(batch) == size:
            _send(client, encoder_id, batch, places, report)
            told(report.rows)
    _send(client, encoder_id, batch, places, report)
    told(report.rows)
    return report


def open_matrix(path: Path) -> Matrix:
    """Map a matrix of vectors into memory; nothing of it is read before it is asked for.

    Returns:
        Shape (rows, dimension), floats of the size and order in which they were written, not writable.

    Raises:
        ClientError: VECTORS_INVALID: not NPY, objects (they are pickles, which run what they say), another type or
            shape, or shorter than its header says.
        OSError: It cannot be opened.
    """
    with path.open("rb") as file:
        shape, is_fortran, dtype = _header(file, path)
        offset, size = file.tell(), os.fstat(file.fileno()).st_size
        if len(shape) != 2 or shape[0] < 0 or not 1 <= shape[1] <= _LARGEST_DIMENSION or dtype.kind != "f":
            raise _invalid(path, f"{dtype} of shape {shape}; float32 of (rows, dimension) is expected")
        wanted = offset + shape[0] * shape[1] * dtype.itemsize
        if size < wanted:
            raise _invalid(path, f"{size} bytes; {wanted} are expected for shape {shape}")
        if shape[0] == 0:
            return np.empty(shape, dtype)  # nothing cannot be mapped
        return np.memmap(file, dtype, "r", offset, shape, "F" if is_fortran else "C")


def _header(file: BinaryIO, path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Read what stands before the numbers; it is a Python literal, which NumPy bounds and reads as nothing else."""
    try:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise _invalid(path, f"NPY of version {version}; 1.0 or 2.0 is expected")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = read(file)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError, tokenize.TokenError) as error:
        raise _invalid(path, f"not a matrix that can be read ({str(error)[:200]})") from error
    return shape, is_fortran, dtype


def _check_rows(path: Path, matrix: Matrix, dimensions: dict[str, int]) -> str | None:
    """Read all lines once, before anything is sent; return the encoder, None where there is no row."""
    encoders: set[str] = set()
    count = 0
    for row in _read(path):
        count += 1
        if isinstance(row, VectorRow):
            encoders.add(row.encoder_id)
        if len(encoders) > 1:
            raise _invalid(path, f"vectors of several encoders: {', '.join(sorted(encoders))}")
    if count != matrix.shape[0]:
        raise _invalid(path, f"{count} lines for {matrix.shape[0]} rows of the matrix")
    if not encoders:
        return None
    (encoder_id,) = encoders
    if encoder_id not in dimensions:
        known = ", ".join(sorted(dimensions)) or "none"
        raise ClientError(f"the library knows no encoder {encoder_id[:100]}; it knows: {known}", "ENCODER_NOT_FOUND")
    if dimensions[encoder_id] != matrix.shape[1]:
        wanted = dimensions[encoder_id]
        raise _invalid(path, f"{matrix.shape[1]} dimensions; {encoder_id} makes {wanted}")
    return encoder_id


def _read(path: Path) -> Iterator[VectorRow | LeftOut]:
    with path.open("rb") as stream:
        yield from read_rows(stream)


def _vector_fault(vector: Matrix) -> str:
    """Say what is wrong with a vector, shape (dimension,); empty where nothing is."""
    with np.errstate(all="ignore"):  # what overflows is refused like all else
        norm = float(np.linalg.norm(vector.astype(np.float32)))
    return "" if abs(norm - 1.0) <= NORM_TOLERANCE else f"norm is {norm:.6g}, 1 ± {NORM_TOLERANCE} is expected"


def _send(
    client: GatewayClient, encoder_id: str, batch: list[StoredVectorInput], places: list[str], report: ImportReport
) -> None:
    if not batch:
        return
    request = ImportVectorsInput(encoder_id=encoder_id, vectors=tuple(batch))
    answers = patiently(lambda: accepted(operations.import_vectors(client, request))).vectors
    for place, answer in zip(places, answers, strict=True):
        report.outcomes[answer.outcome] = report.outcomes.get(answer.outcome, 0) + 1
        if answer.outcome == "REFUSED":
            report.left_out.append((place, answer.reason or answer.outcome, answer.message or ""))
    batch.clear()
    places.clear()


def _listed(client: GatewayClient, encoder_id: str, root_id: str | None) -> Iterator[tuple[str, bytes, float]]:
    token = None
    while True:
        ask = partial(operations.stored_vectors, client, encoder_id=encoder_id, root_id=root_id, page_size=_PAGE_SIZE)
        page = patiently(partial(ask, page_token=token))
        for one in page.vectors:
            yield one.audio_hash, base64.b64decode(one.vector_base64), one.duration_seconds
        token = page.next_page_token
        if token is None:
            return


def _invalid(path: Path, what: str) -> ClientError:
    return ClientError(f"{path}: {what}", "VECTORS_INVALID")
