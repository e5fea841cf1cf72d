"""What is learnt from, and that no soundtrack is judged after it was learnt."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from training.catalogue import NOT_MUSIC, Split, more_packages, present, read_catalogue, split_of
from training.errors import ManifestInvalid
from training.manifest import Entry, _split_by_digest, check_splits, list_music, read_manifest, write_manifest


def write_sound(path: Path, seconds: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.zeros(int(8000 * seconds), np.float32), 8000)


def test_files_are_grouped_by_their_topmost_folder_and_short_and_broken_ones_are_listed(tmp_path: Path) -> None:
    write_sound(tmp_path / "one" / "disc" / "a.wav", 31)
    write_sound(tmp_path / "one" / "b.flac", 30)
    write_sound(tmp_path / "two" / "short.wav", 29.9)
    (tmp_path / "two" / "broken.ogg").write_bytes(b"OggS nothing")
    (tmp_path / "two" / "notes.txt").write_text("no music", encoding="utf-8")
    manifest = list_music(tmp_path)
    assert [(entry.path, entry.group, entry.seconds) for entry in manifest.entries] == [
        ("one/b.flac", "one", 30.0),
        ("one/disc/a.wav", "one", 31.0),
    ]
    assert len({entry.split for entry in manifest.entries}) == 1
    reasons = {one.path: one.reason for one in manifest.left_out}
    assert reasons["two/short.wav"] == "lasts 29.9 s, the minimum is 30 s"
    assert reasons["two/broken.ogg"].startswith("unreadable: ")
    assert reasons.keys() == {"two/short.wav", "two/broken.ogg"}


def test_eight_in_ten_unknown_groups_train(tmp_path: Path) -> None:
    sound = tmp_path / "sound.wav"
    write_sound(sound, 30)
    for number in range(100):
        folder = tmp_path / "music" / f"group {number}"
        folder.mkdir(parents=True)
        (folder / "a.wav").symlink_to(sound)
    splits = [entry.split for entry in list_music(tmp_path / "music").entries]
    assert splits.count(Split.TRAIN) in range(70, 91)
    assert splits.count(Split.VALIDATION) > 0
    assert splits.count(Split.TEST) > 0


def test_packages_for_learning_train_whatever_their_digest(tmp_path: Path) -> None:
    sound = tmp_path / "sound.wav"
    write_sound(sound, 30)
    for name in more_packages():
        (tmp_path / "music" / name).mkdir(parents=True)
        (tmp_path / "music" / name / "a.wav").symlink_to(sound)
    entries = list_music(tmp_path / "music").entries
    assert [entry.group for entry in entries] == sorted(more_packages())
    assert {entry.split for entry in entries} == {Split.TRAIN}
    assert {_split_by_digest(name) for name in more_packages()} > {Split.TRAIN}  # else this would show nothing


def test_linked_folders_are_walked_once_under_their_own_name_first(tmp_path: Path) -> None:
    write_sound(tmp_path / "elsewhere" / "a.wav", 30)
    write_sound(tmp_path / "music" / "own" / "b.wav", 30)
    (tmp_path / "music" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "music" / "linked again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "music" / "a name").symlink_to(tmp_path / "music" / "own")
    write_sound(tmp_path / "music" / "own" / "disc" / "c.wav", 30)
    (tmp_path / "music" / "another name").symlink_to(tmp_path / "music" / "own" / "disc")
    (tmp_path / "music" / "own" / "circle").symlink_to(tmp_path / "music")
    assert [entry.path for entry in list_music(tmp_path / "music").entries] == [
        *("linked/a.wav", "own/b.wav", "own/disc/c.wav"),
    ]


def test_a_folder_without_music_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestInvalid, match="no music"):
        list_music(tmp_path)
    with pytest.raises(ManifestInvalid, match="not a folder"):
        list_music(tmp_path / "missing")


def test_a_group_in_two_splits_is_refused_by_name(tmp_path: Path) -> None:
    entries = [
        Entry("a/1.ogg", "a:one", Split.TRAIN, 60),
        Entry("b/1.ogg", "b:two", Split.TRAIN, 60),
        Entry("c/1.ogg", "b:two", Split.TEST, 60),
    ]
    with pytest.raises(ManifestInvalid, match="b:two is in test and train"):
        check_splits(entries)
    path = tmp_path / "manifest.jsonl"
    path.write_text("".join(json.dumps(vars_of(entry)) + "\n" for entry in entries), encoding="utf-8")
    with pytest.raises(ManifestInvalid, match="b:two is in test and train"):
        read_manifest(path)


def test_a_package_in_two_splits_is_refused_even_by_two_hands() -> None:
    with pytest.raises(ManifestInvalid, match="a/ is in train and validation"):
        check_splits([Entry("a/1", "a:x", Split.TRAIN, 60), Entry("a/2", "a:y", Split.VALIDATION, 60)])


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_sound(tmp_path / "music" / "one" / "a.wav", 31)
    manifest = list_music(tmp_path / "music")
    write_manifest(tmp_path / "work" / "manifest.jsonl", manifest)
    assert read_manifest(tmp_path / "work" / "manifest.jsonl").entries == manifest.entries


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"seconds": float("nan")}, "seconds is nan"), ({"seconds": -5}, "seconds is -5.0"),
     ({"path": "./one/a.ogg"}, "without . and .."), ({"path": "../a.ogg"}, "below the music folder"),
     ({"path": "/etc/a.ogg"}, "below the music folder")],
)  # fmt: skip
def test_an_entry_that_cannot_be_meant_is_told(tmp_path: Path, changes: dict[str, object], told: str) -> None:
    path = tmp_path / "manifest.jsonl"
    row = {"path": "one/a.ogg", "group": "one", "split": "train", "seconds": 60, **changes}
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    with pytest.raises(ManifestInvalid, match=rf"line 1 is no entry: .*{told}"):
        read_manifest(path)


def test_a_file_stands_in_a_manifest_once(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    rows = [Entry("one/a.ogg", group, Split.TRAIN, 60) for group in ("one", "two")]
    path.write_text("".join(json.dumps(vars_of(row)) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(ManifestInvalid, match=r"names one/a\.ogg more than once"):
        read_manifest(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ManifestInvalid, match="is no text"):
        read_manifest(path)


def test_what_is_no_music_or_is_judged_elsewhere_is_left_out(tmp_path: Path) -> None:
    tada = next(track.path for track in read_catalogue() if track.family == NOT_MUSIC)
    twin = "starfighter-data/usr/share/starfighter/music/through_space.ogg"  # in singularity-music, a test soundtrack
    kept = "starfighter-data/usr/share/starfighter/music/rise_of_spirit.ogg"
    weather = "0ad-data/x/audio/ambient/weather/windstorm_11.ogg"
    sound = tmp_path / "sound.wav"
    write_sound(sound, 30)
    for name in (tada, twin, kept, weather, "mine/ambient/through_space.ogg"):
        (tmp_path / "music" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "music" / name).symlink_to(sound)
    manifest = list_music(tmp_path / "music")
    assert [entry.path for entry in manifest.entries] == ["mine/ambient/through_space.ogg", kept]
    assert {one.path for one in manifest.left_out} == {tada, twin, weather}


@pytest.mark.parametrize("line", ["{", "[]", '{"path": "a"}', '{"path":"a","group":"a","split":"x","seconds":1}'])
def test_a_line_that_is_no_entry_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(ManifestInvalid, match="line 1"):
        read_manifest(path)


def test_the_catalogue_s_splits_share_no_package_and_no_group() -> None:
    entries = [Entry(t.path, t.group, split_of(t), t.duration_seconds) for t in read_catalogue()]
    check_splits(entries)
    assert {split: sum(entry.split is split for entry in entries) for split in Split} == {
        Split.TRAIN: 202,
        Split.VALIDATION: 83,
        Split.TEST: 61,
    }
    assert sum(track.is_labelled for track in read_catalogue()) == 136
    assert present(read_catalogue(), Path("/nowhere")) == []


def vars_of(entry: Entry) -> dict[str, object]:
    return {"path": entry.path, "group": entry.group, "split": entry.split, "seconds": entry.seconds}
