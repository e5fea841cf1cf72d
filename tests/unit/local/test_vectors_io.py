"""Vectors as files: what goes out comes in again, and no file that strangers wrote does harm."""

import base64
import io
import json
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from clients.python.wire import Json, Operation
from deploy.local.client import ClientError
from deploy.local.vectors_io import MATRIX, ROWS, ImportReport, export_vectors, import_vectors

T = TypeVar("T")
ENCODER = "mini-1"
DIMENSION = 4
KNOWN = {ENCODER: DIMENSION, "other-1": 8}


class FakeGateway:
    """Holds vectors by audio hash, lists them two at a time, and takes all others."""

    def __init__(self, vectors: dict[str, bytes] | None = None) -> None:
        self.vectors = dict(vectors or {})
        self.calls: list[int] = []

    def execute(self, operation: Operation[T], variables: Json) -> T:
        if operation.name == "ImportVectors":
            return operation.read({"importVectors": self.take(variables["input"])})
        assert operation.name == "StoredVectors"
        return operation.read({"storedVectors": self.page(variables)})

    def page(self, variables: Json) -> Json:
        assert variables["encoderId"] == ENCODER
        start = int(variables.get("pageToken", 0))
        hashes = sorted(self.vectors)[start : start + 2]
        rows = [
            {
                "audioHash": one,
                "vectorBase64": base64.b64encode(self.vectors[one]).decode(),
                "durationSeconds": 61.5,
            }
            for one in hashes
        ]
        following = str(start + 2) if start + 2 < len(self.vectors) else None
        return {"vectors": rows, "nextPageToken": following}

    def take(self, input: Json) -> Json:
        assert input["encoderId"] == ENCODER
        self.calls.append(len(input["vectors"]))
        outcomes = []
        for one in input["vectors"]:
            is_known = one["audioHash"] in self.vectors
            self.vectors.setdefault(one["audioHash"], base64.b64decode(one["vectorBase64"]))
            outcomes.append({"outcome": "KNOWN" if is_known else "STORED", "reason": None, "message": None})
        return {"__typename": "ImportVectorsSuccess", "vectors": outcomes}


def unit_rows(count: int, seed: int = 0) -> np.ndarray:
    """Unit vectors, shape (count, DIMENSION), float32."""
    rows = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def hash_of(number: int) -> str:
    return f"{number:064x}"


def lines(count: int, encoder: str = ENCODER) -> str:
    rows = [{"audio_hash": hash_of(number), "encoder_id": encoder, "duration_s": 61.5} for number in range(count)]
    return "".join(json.dumps(row) + "\n" for row in rows)


def take(gateway: FakeGateway, folder: Path) -> ImportReport:
    return import_vectors(gateway, KNOWN, folder, lambda done: None)  # type: ignore[arg-type]  # a fake


def give(gateway: FakeGateway, folder: Path) -> int:
    return export_vectors(gateway, ENCODER, DIMENSION, folder, None, lambda done: None)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [0, 1, 5])
def test_what_goes_out_comes_in_again(tmp_path: Path, count: int) -> None:
    rows = unit_rows(count)
    source = FakeGateway({hash_of(number): rows[number].tobytes() for number in range(count)})
    assert give(source, tmp_path) == count
    matrix = np.load(tmp_path / MATRIX)
    assert (matrix.shape, matrix.dtype.str) == ((count, DIMENSION), "<f4")
    assert (matrix == rows).all()
    assert (tmp_path / ROWS).read_text() == lines(count)
    target = FakeGateway()
    report = take(target, tmp_path)
    assert (report.rows, report.left_out) == (count, [])
    assert target.vectors == source.vectors
    assert take(target, tmp_path).outcomes == ({"KNOWN": count} if count else {})


def test_export_that_fails_leaves_the_one_before(tmp_path: Path) -> None:
    good = FakeGateway({hash_of(0): unit_rows(1)[0].tobytes()})
    give(good, tmp_path)
    before = (tmp_path / MATRIX).read_bytes()
    with pytest.raises(ClientError) as refused:
        give(FakeGateway({hash_of(0): b"1234", hash_of(1): b"1234"}), tmp_path)
    assert refused.value.code == "BAD_ANSWER"
    assert (tmp_path / MATRIX).read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [ROWS, MATRIX]


@pytest.mark.parametrize("kind", [">f4", "<f8", "<f2"])
def test_other_floats_and_orders_mean_the_same_numbers(tmp_path: Path, kind: str) -> None:
    rows = unit_rows(3)
    np.save(tmp_path / MATRIX, np.asfortranarray(rows.astype(kind)))
    (tmp_path / ROWS).write_text(lines(3))
    gateway = FakeGateway()
    assert take(gateway, tmp_path).outcomes == {"STORED": 3}
    taken = np.array([np.frombuffer(gateway.vectors[hash_of(number)], dtype="<f4") for number in range(3)])
    assert np.allclose(taken, rows, atol=1e-3)


def test_rows_that_are_no_unit_vectors_are_left_out_and_the_others_keep_their_places(tmp_path: Path) -> None:
    rows = unit_rows(6)
    rows[0] = np.nan
    rows[1] = 0
    rows[2] = np.inf
    rows[3] = 3e38
    np.save(tmp_path / MATRIX, rows)
    text = lines(6).splitlines()
    text[4] = "nonsense"
    (tmp_path / ROWS).write_text("\n".join(text))
    gateway = FakeGateway()
    report = take(gateway, tmp_path)
    assert [(place, reason) for place, reason, _ in report.left_out] == [
        *((f"row {number}", "VECTOR_NOT_UNIT") for number in range(4)),
        ("line 5", "NOT_JSON"),
    ]
    assert gateway.vectors == {hash_of(5): rows[5].tobytes()}
    assert report.rows == 6


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode("latin1")
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def archive() -> bytes:
    out = io.BytesIO()
    np.savez(out, unit_rows(2))
    return out.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no matrix",
        b"\x93NUMPY\x01\x00",
        archive(),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (2, 4), }\n", b"cos\nsystem\n(S'true'\ntR."),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 4), }\n", b"\0" * 32),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 4), }\n", b"\0" * 32),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 4), }\n", b"\0" * 31),
        npy("{'descr': '<f4', 'fortran_order': False, 'shape': (8,), }\n", b"\0" * 32),
        npy("{'descr': '<i4', 'fortran_order': False, 'shape': (2, 4), }\n", b"\0" * 32),
        npy("__import__('os').system('true')\n"),
        npy("[" * 9_000),
        npy("(" * 60_000),
    ],
)
def test_matrices_that_are_none_are_refused_before_anything_is_sent(tmp_path: Path, data: bytes) -> None:
    (tmp_path / MATRIX).write_bytes(data)
    (tmp_path / ROWS).write_text(lines(2))
    gateway = FakeGateway()
    with pytest.raises(ClientError) as refused:
        take(gateway, tmp_path)
    assert (refused.value.code, gateway.calls) == ("VECTORS_INVALID", [])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (lines(1), "VECTORS_INVALID"),
        (lines(3), "VECTORS_INVALID"),
        (lines(1) + lines(1, "other-1"), "VECTORS_INVALID"),
        (lines(2, "other-1"), "VECTORS_INVALID"),
        (lines(2, "unknown-1"), "ENCODER_NOT_FOUND"),
    ],
)
def test_lines_that_do_not_fit_are_refused_before_anything_is_sent(tmp_path: Path, text: str, code: str) -> None:
    np.save(tmp_path / MATRIX, unit_rows(2))
    (tmp_path / ROWS).write_text(text)
    gateway = FakeGateway()
    with pytest.raises(ClientError) as refused:
        take(gateway, tmp_path)
    assert (refused.value.code, gateway.calls) == (code, [])


def test_calls_stay_below_what_a_body_may_hold(tmp_path: Path) -> None:
    count = 1_201
    np.save(tmp_path / MATRIX, unit_rows(count))
    (tmp_path / ROWS).write_text(lines(count))
    gateway = FakeGateway()
    assert take(gateway, tmp_path).outcomes == {"STORED": count}
    assert gateway.calls == [500, 500, 201]
