"""A run learns from the takes of its plan, each for what the list of music says today."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training import make_corpus, prepare
from training.catalogue import Split
from training.config import Config, CorpusConfig
from training.corpus import Content, Corpus, Kind
from training.errors import TakeDamaged, WorkFolderTaken
from training.manifest import Entry, Manifest, write_manifest
from training.recipes import Recipe
from training.work_folder import taken

PLAN = Config(corpus=CorpusConfig(varied=3, mixed=2, rendered=2, take_seconds=12.0))


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A work folder with a list of three soundtracks, whose takes are nought instead of heard."""

    def make(recipes: Sequence[Recipe], music: Path, corpus: Corpus, **rest: Any) -> set[str]:
        seconds = 12
        for recipe in recipes:
            if recipe.take_id not in corpus:
                nothing = (np.zeros((100 * seconds, 128)), np.zeros((seconds - 2, 400)), np.zeros((seconds - 2, 100)))
                corpus.add(recipe.describe(seconds), Content(*(part.astype(np.float16) for part in nothing)))
        return {recipes[0].take_id}

    monkeypatch.setattr(prepare, "make_corpus", make)
    entries = (
        Entry("a/1.ogg", "a", Split.TRAIN, 20.0), Entry("b/1.ogg", "b", Split.TRAIN, 20.0),
        Entry("c/1.ogg", "c", Split.VALIDATION, 20.0),
    )  # fmt: skip
    write_manifest(tmp_path / "manifest.jsonl", Manifest(entries))
    return tmp_path


def test_takes_of_another_plan_and_those_left_out_are_not_learnt_from(work: Path) -> None:
    takes = prepare.prepare(PLAN, Path("music"), work)
    assert len(takes) == 3 + 7 - 1
    few = prepare.prepare(Config(corpus=CorpusConfig(varied=0, mixed=0, rendered=0)), Path("music"), work)
    assert {take.kind for take in few} == {Kind.ORIGINAL}
    assert len(list(Corpus(work / "takes").takes())) == 10
    assert [take.take_id for take in takes] == sorted(take.take_id for take in takes)


def test_a_soundtrack_that_a_person_moves_is_no_longer_learnt_from(work: Path) -> None:
    before = prepare.prepare(PLAN, Path("music"), work)
    assert any(take.group == "b" and take.split is Split.TRAIN for take in before)
    path = work / "manifest.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    moved = [{**row, "split": "validation"} if row["group"] == "b" else row for row in rows]
    path.write_text("".join(json.dumps(row) + "\n" for row in moved), encoding="utf-8")
    after = prepare.prepare(PLAN, Path("music"), work)
    assert [take.split for take in after if take.group == "b"] == [Split.VALIDATION]
    assert not [take for take in after if take.kind is not Kind.ORIGINAL and "b/1.ogg" in take.source]


@pytest.mark.parametrize("damage", [b"", b"cut"])
def test_a_damaged_take_counts_as_missing_and_is_named_when_it_is_read(work: Path, damage: bytes) -> None:
    take = prepare.prepare(PLAN, Path("music"), work)[0]
    corpus = Corpus(work / "takes")
    path = work / "takes" / f"{take.take_id}.safetensors"
    path.write_bytes(path.read_bytes()[: 5_000 * len(damage)])
    assert take.take_id not in corpus
    with pytest.raises(TakeDamaged, match=take.take_id):
        corpus.read(take.take_id, start_s=0, seconds=4)
    prepare.prepare(PLAN, Path("music"), work)
    assert take.take_id in corpus


def test_half_a_line_of_a_killed_run_is_no_take_left_out(tmp_path: Path) -> None:
    path = tmp_path / make_corpus.LEFT_OUT_FILE
    path.write_text('{"take_id": "original-1", "reason": "silent"}\n{"take_id": "orig', encoding="utf-8")
    assert make_corpus.read_left_out(path) == {"original-1"}


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    with taken(tmp_path / "work"):
        with pytest.raises(WorkFolderTaken, match="another run is at work"), taken(tmp_path / "work"):
            pass
        with taken(tmp_path / "other"):
            pass
    with taken(tmp_path / "work"):
        pass
