"""A recording that is judged under one name and learnt from under another is found."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from training import twins
from training.catalogue import Split
from training.manifest import Entry, _split_by_digest
from training.twins import TwinPair, find_twins

RATE = 16_000


def sound(seed: int) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    time = np.arange(31 * RATE) / RATE
    chord = sum(np.sin(2 * np.pi * hz * time) for hz in random.uniform(100, 2000, 5)) / 10
    pulse = np.sin(2 * np.pi * random.uniform(0.5, 6) * time) > random.uniform(-0.5, 0.5)
    return np.asarray(chord * pulse + random.uniform(0, 0.05) * random.standard_normal(len(time)), np.float32)


def package(split: Split) -> str:
    return next(name for name in map("package {}".format, range(1000)) if _split_by_digest(name) is split)


def test_the_nearest_learnt_piece_of_each_judged_one_is_told() -> None:
    splits = (Split.TRAIN, Split.TRAIN, Split.VALIDATION, Split.TEST, Split.VALIDATION)
    entries = [Entry(str(number), str(number), split, 30.0) for number, split in enumerate(splits)]
    vectors = np.array([[1, 0, 0], [0, 1, 0], [0.05, 1, 0], [1, 0.2, 0], [0, 0, 1]], np.float32)
    found = find_twins(entries, vectors)
    assert [(pair.judged, pair.learnt) for pair in found] == [("2", "1"), ("3", "0")]
    assert found[0].cosine > found[1].cosine > 0.9
    assert find_twins(entries[:2], vectors[:2]) == find_twins(entries[2:], vectors[2:]) == []
    assert find_twins(entries, vectors, least_cosine=found[0].cosine) == [TwinPair("2", "1", found[0].cosine)]


def test_command_finds_another_encoding_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    learnt, judged = tmp_path / "music" / package(Split.TRAIN), tmp_path / "music" / package(Split.VALIDATION)
    for folder in (learnt, judged):
        folder.mkdir(parents=True)
    for seed in range(5):
        soundfile.write(learnt / f"{seed}.wav", sound(seed), RATE)
    soundfile.write(judged / "renamed.flac", 0.7 * sound(3), RATE)
    soundfile.write(judged / "other.flac", sound(11), RATE)
    arguments = [f"--music={tmp_path / 'music'}", f"--cache={tmp_path / 'cache'}", f"--artifacts={tmp_path / 'wheels'}"]
    assert twins.main(arguments) == 1
    rows = capsys.readouterr().out.splitlines()
    assert rows[-1] == "1 judged pieces have a learnt one at 0.9 or nearer, of 7 pieces in all"
    assert rows[-2].endswith(f"judged {judged.name}/renamed.flac  learnt {learnt.name}/3.wav")
    (judged / "renamed.flac").unlink()
    assert twins.main(arguments) == 0
    assert twins.main(["--music", str(tmp_path / "nowhere")]) == 2
    (judged / "other.flac").unlink()
    assert twins.main(arguments) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "nothing to compare: 5 pieces are learnt from, 0 judged"
    with pytest.raises(SystemExit):
        twins.main([*arguments, "--cosine=nan"])
