import json
from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from services.embedder.bulk.rows import ManifestError, Row, digest, parts

HASH = "ab" * 32


def rows(manifest: Path, size: int = 100) -> list[Row]:
    return [row for part in parts(manifest, size) for row in part.rows]


def lines(folder: Path, *given: object) -> Path:
    path = folder / "manifest.jsonl"
    path.write_bytes(b"".join(one if isinstance(one, bytes) else json.dumps(one).encode() + b"\n" for one in given))
    return path


def test_lines_are_rows_with_and_without_a_hash(tmp_path: Path) -> None:
    manifest = lines(tmp_path, {"path": "a/1.ogg"}, {"path": "s3://b/2.mp3", "audio_hash": HASH.upper(), "title": "x"})

    assert rows(manifest) == [Row(0, "a/1.ogg"), Row(1, "s3://b/2.mp3", HASH)]


def test_a_manifest_is_cut_into_parts_in_order(tmp_path: Path) -> None:
    manifest = lines(tmp_path, *({"path": str(number)} for number in range(7)))

    found = list(parts(manifest, 3))

    assert [part.number for part in found] == [0, 1, 2]
    assert [[row.path for row in part.rows] for part in found] == [["0", "1", "2"], ["3", "4", "5"], ["6"]]
    assert [row.number for part in found for row in part.rows] == list(range(7))


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"{not json\n", "no JSON"),
        (b"[1]\n", "no JSON object"),
        (b"\n", "no JSON"),
        (b'"\xff"\n', "no JSON"),
        (b"[" * 100_000 + b"\n", "no JSON"),
        (b"{}\n", "path is no text, or empty"),
        (b'{"path": ""}\n', "path is no text, or empty"),
        (b'{"path": 7}\n', "path is no text, or empty"),
        (b'{"path": "a\\u0000b"}\n', "path is no text, or empty"),
        (b'{"path": "a", "audio_hash": "abc"}\n', "audio_hash is not 64 hexadecimal digits"),
        (b'{"path": "' + b"a" * (1 << 20) + b'"}\n', "the line is longer than 1 MiB"),
    ],
    ids=["text", "list", "empty", "bytes", "deep", "none", "blank", "number", "nul", "hash", "long"],
)
def test_a_line_that_is_no_row_keeps_its_number(tmp_path: Path, line: bytes, fault: str) -> None:
    found = rows(lines(tmp_path, {"path": "before"}, line, {"path": "after"}))

    assert [(row.number, row.fault) for row in found] == [(0, ""), (1, fault), (2, "")]
    assert found[2].path == "after"


def test_parquet_is_read_as_lines_are(tmp_path: Path) -> None:
    path = tmp_path / "manifest.parquet"
    table = arrow.table({"path": ["a.ogg", None, "c.ogg"], "audio_hash": [HASH, None, None], "title": ["x", "y", "z"]})
    parquet.write_table(table, path)

    assert rows(path) == [
        Row(0, "a.ogg", HASH),
        Row(1, "", fault="path is no text, or empty"),
        Row(2, "c.ogg"),
    ]


def test_what_is_no_manifest_is_told(tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    parquet.write_table(arrow.table({"file": ["a"]}), other)
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 nothing")

    for path, text in ((other, "has no column path"), (broken, "broken.parquet"), (tmp_path / "none.jsonl", "No such")):
        with pytest.raises(ManifestError, match=text):
            rows(path)
    with pytest.raises(ManifestError, match="No such"):
        digest(tmp_path / "none.jsonl")
