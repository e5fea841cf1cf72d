import json
from pathlib import Path

import numpy as np
import pytest

from services.embedder.bulk.output import Heard, LeftOut, PartReport, RunError, RunFolder
from services.embedder.bulk.rows import Row
from services.embedder.embedding import TrackEmbedding

ENCODER_ID = "fake-0123"


def heard(number: int, vector: tuple[float, float]) -> Heard:
    windows = np.array([vector], dtype=np.float32)
    embedding = TrackEmbedding(windows[0], windows, np.zeros(1, np.int64), 1, (("calm", 0.25),), 31.5, None)
    return Heard(Row(number, f"{number}.ogg"), f"{number:064x}", embedding)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "out")
    made.begin("aa", 3, ENCODER_ID)
    return made


def test_a_part_is_a_matrix_with_its_rows_and_what_was_left_out(tmp_path: Path, folder: RunFolder) -> None:
    assert not folder.is_done(7)

    folder.write(7, ENCODER_ID, 2, [heard(21, (1, 0)), heard(23, (0, 1))], [LeftOut(Row(22, "x"), "NOT_AUDIO", "no")])

    part = tmp_path / "out" / "parts" / "000007"
    assert np.load(part / "vectors.npy").tolist() == [[1, 0], [0, 1]]
    assert [json.loads(line)["path"] for line in (part / "vectors.jsonl").read_text().splitlines()] == [
        "21.ogg",
        "23.ogg",
    ]
    assert json.loads((part / "left_out.jsonl").read_text()) == {
        "row": 22, "path": "x", "audio_hash": "", "reason": "NOT_AUDIO", "message": "no",
    }  # fmt: skip
    assert folder.is_done(7)
    assert folder.report(7) == PartReport(7, 2, {"NOT_AUDIO": 1})
    assert sorted(path.name for path in (tmp_path / "out" / "parts").iterdir()) == ["000007"]


def test_of_two_who_write_a_part_the_first_wins(tmp_path: Path, folder: RunFolder) -> None:
    folder.write(0, ENCODER_ID, 2, [heard(0, (1, 0))], [])

    folder.write(0, ENCODER_ID, 2, [heard(0, (0, 1)), heard(1, (0, 1))], [])

    assert folder.report(0).heard == 1
    assert sorted(path.name for path in (tmp_path / "out" / "parts").iterdir()) == ["000000"]


def test_a_part_of_nothing_but_left_out_rows_is_one(tmp_path: Path, folder: RunFolder) -> None:
    folder.write(0, ENCODER_ID, 2, [], [LeftOut(Row(0, "x"), "NOT_AUDIO", "no")])

    assert np.load(tmp_path / "out" / "parts" / "000000" / "vectors.npy").shape == (0, 2)


def test_another_run_is_refused_and_the_same_goes_on(tmp_path: Path, folder: RunFolder) -> None:
    folder.write(0, ENCODER_ID, 2, [heard(0, (1, 0))], [])
    (tmp_path / "out" / "parts" / ".000001.half").mkdir()

    again = RunFolder(tmp_path / "out")
    again.begin("aa", 3, ENCODER_ID)
    again.tidy()

    assert again.is_done(0)
    assert sorted(path.name for path in (tmp_path / "out" / "parts").iterdir()) == ["000000"]
    for other in (("bb", 3, ENCODER_ID), ("aa", 4, ENCODER_ID), ("aa", 3, "other")):
        with pytest.raises(RunError, match="another run"):
            RunFolder(tmp_path / "out").begin(*other)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(RunError, match="file"):
        RunFolder(tmp_path / "file").begin("aa", 3, ENCODER_ID)


def test_notes_tell_at_which_rows_workers_died(folder: RunFolder) -> None:
    for _ in range(2):  # two tries that were killed: row 1 was at work in both, row 2 in the first, row 0 ended
        with folder.notes(0) as notes:
            notes.begin(Row(0, "a"))
            notes.end(Row(0, "a"))
            notes.begin(Row(1, "b"))
    with folder.notes(0) as notes:
        notes.begin(Row(2, "c"))

        assert notes.deaths() == {1: 2, 2: 1}

    folder.write(0, ENCODER_ID, 2, [], [])
    assert folder.notes(0).deaths() == {}
