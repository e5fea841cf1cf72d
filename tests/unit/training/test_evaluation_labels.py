"""Labels that somebody else wrote: what is wrong with them is told in a line."""

from pathlib import Path

import pytest

from training.catalogue import LABELS_FILE, Track
from training.evaluation.labels import LabelsInvalid, count_unjudged, read_labels

HEADER = "path,group,family,evidence,title,artist,album,seconds\n"
ROW = "one/1.ogg,one:A,metal,tag,,,,60.5\n"


def piece(family: str) -> Track:
    return Track("one/1.ogg", "one:A", family, "tag", "", "", "", 60.5)


def test_every_row_is_a_piece(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(HEADER + ROW + ROW.replace("metal", "jazz"))
    assert read_labels(path) == [piece("metal"), piece("jazz")]
    assert len(read_labels(LABELS_FILE)) > 300


@pytest.mark.parametrize(
    ("contents", "fault"),
    [
        (HEADER.replace("family,", "") + ROW, "has no column 'family'"),
        (HEADER + ROW.replace("60.5", "a minute"), "is no table of labels: could not convert string to float"),
        (HEADER + ROW + ROW.replace("60.5", "nan"), ", piece 2: seconds is nan, it must be above 0"),
        (HEADER + ROW.replace("60.5", "-1"), ", piece 1: seconds is -1.0, it must be above 0"),
        (HEADER + "one/1.ogg,one:A,metal\n", "has a row that ends before its last column"),
        ("seconds," + HEADER.replace(",seconds", "") + "60.5,one/1.ogg\n", ", piece 1 ends before its last column"),
        (HEADER + ROW.replace("metal", "m" * 200_000), "is no table of labels: field larger than field limit"),
        (b"\x89PNG\r\n\x1a\n" * 9, "is no table of labels: it is not UTF-8, from byte 0"),
    ],
)
def test_what_is_no_table_of_labels_is_told_by_file_and_fault(
    tmp_path: Path, contents: str | bytes, fault: str
) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    with pytest.raises(LabelsInvalid) as caught:
        read_labels(path)
    assert str(caught.value).startswith(f"{path}{'' if fault.startswith(',') else ' '}{fault}")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(LabelsInvalid, match=r"nowhere\.csv is missing"):
        read_labels(tmp_path / "nowhere.csv")
    with pytest.raises(LabelsInvalid, match=r"is no table of labels: .*Is a directory"):
        read_labels(tmp_path)


def test_families_that_nothing_is_judged_by_are_counted() -> None:
    tracks = [piece(family) for family in ("metal", "jazz", "", "electronik", "jazz", "orchestral")]
    assert count_unjudged(tracks) == (
        "Pieces whose family is none of electronic, metal, orchestral, and not judged: 3 (1 electronik, 2 jazz)."
    )
    assert count_unjudged(tracks[:1]) == ""
