"""Which figures stand in the tables: queries of the split, candidates of all, differences on the same queries."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from services.embedder.artifact import Manifest
from services.embedder.model import unit
from training.catalogue import Split, Track
from training.evaluation import command as evaluate
from training.evaluation import sections
from training.evaluation.collection import Collection, Embedding
from training.evaluation.embedding import TrackVectors
from training.evaluation.encoders import EncoderChoice
from training.evaluation.postprocessing import measure, pooled
from training.evaluation.report import Report
from training.evaluation.retrieval import precision_at_k
from training.evaluation.robustness import ORIGINAL, VARIANTS
from training.evaluation.store import VectorStore
from training.evaluation.tunes import find_tunes

Float32Array = NDArray[np.float32]
FAMILIES = ("electronic", "metal", "orchestral")
# Two packages of each split.
PACKAGES = ("wesnoth", "ufoai", "unknown-horizons", "singularity-music", "supertux-data", "warzone2100-music")


def tracks() -> list[Track]:
    found = []
    for package in PACKAGES:
        for number in range(9):
            family, evidence = FAMILIES[number % 3], "tagger" if number == 8 else "tag"
            group = f"{package}:{number}"
            found.append(Track(f"{package}/{number}.ogg", group, family, evidence, "", "", "", 60.0))
    return found


def windows(of: list[Track], noise: float, seed: int) -> list[TrackVectors]:
    random = np.random.default_rng(seed)
    made = []
    for track in of:
        centre = np.eye(3)[FAMILIES.index(track.family)] + 0.5
        vectors = unit((centre + noise * random.standard_normal((4, 3))).astype(np.float32))
        made.append(TrackVectors(vectors, np.full(4, 10, np.float32), np.zeros((4, 0), np.float32), 40.0))
    return made


@pytest.fixture
def collection() -> Collection:
    of = tracks()
    vectors = {"first": windows(of, 0.4, 1), "second": windows(of, 0.9, 2)}
    manifests = {name: Manifest(name, f"{name}/1", 3, 8_000, 10.0, 10.0, "") for name in vectors}
    return Collection(of, vectors, manifests, [])


def test_queries_are_of_the_split_and_candidates_of_all(collection: Collection) -> None:
    table = sections.retrieval_table(collection, Split.TEST, "first")
    assert table.note.startswith("16 queries in 16 groups")
    labelled = collection.labelled()
    judged = [track for track in collection.tracks if track.is_labelled]
    assert len(judged) == 48
    every = precision_at_k(
        pooled(collection.vectors["first"])[labelled],
        [track.family for track in judged],
        [track.package for track in judged],
        5,
    )
    asked = np.array([track.package in ("unknown-horizons", "singularity-music") for track in judged])
    assert table.rows["first"]["P@5"].value == pytest.approx(every[asked].mean())
    assert table.rows["chance"]["P@5"].value == pytest.approx(
        np.mean([{"electronic": 15, "metal": 15, "orchestral": 10}[t.family] / 40 for t in judged])
    )


def test_a_difference_is_that_to_the_reference_on_the_same_queries(collection: Collection) -> None:
    table = sections.retrieval_table(collection, None, "first")
    first, second = table.rows["first"], table.rows["second"]
    assert "P@5 difference" not in first
    assert second["P@5 difference"].value == pytest.approx(second["P@5"].value - first["P@5"].value)
    difference = second["P@5 difference"]
    assert difference.low is not None
    assert difference.high is not None
    assert difference.low < difference.value < difference.high < 0
    assert second["macro difference"].value == pytest.approx(second["P@5 macro"].value - first["P@5 macro"].value)
    assert list(second) == [
        *("P@1", "P@5", "mAP", "P@5 macro", "P@5 electronic", "P@5 metal", "P@5 orchestral"),
        *("P@5 z-scored", "P@5 difference", "macro difference"),
    ]


def test_statistics_are_of_the_soundtracks_that_train(collection: Collection) -> None:
    of_training = [
        vectors.windows
        for track, vectors in zip(collection.tracks, collection.vectors["first"], strict=True)
        if track.package in ("wesnoth", "ufoai")
    ]
    np.testing.assert_array_equal(collection.statistics("first").mean, measure(of_training).mean)


def test_changes_and_pairs_are_rows(collection: Collection) -> None:
    table = sections.postprocessing_table(collection, None, ["first", "second"], ["first", "second"], "first")
    changes = ("centred", "sharpened", "standardised", "whitened", "square root")
    assert list(table.rows) == [
        *(f"first · {change}" for change in changes),
        *(f"second · {change}" for change in changes),
        "first + second",
    ]
    assert table.rows["first · centred"]["P@5"].value != table.rows["first · square root"]["P@5"].value


def test_space_has_hubs_and_probes_only_where_there_is_enough(collection: Collection) -> None:
    whole = sections.space_table(collection).rows["first"]
    assert {"soundtrack P@5", "hubness", "kNN accuracy", "linear F1 metal", "silhouette"} <= set(whole)
    few = [at for at, track in enumerate(collection.tracks) if track.path in ("wesnoth/0.ogg", "ufoai/1.ogg")]
    small = Collection(
        [collection.tracks[at] for at in few],
        {"first": [collection.vectors["first"][at] for at in few]},
        collection.manifests,
        [],
    )
    assert list(sections.space_table(small).rows["first"]) == ["soundtrack P@5", "soundtrack mAP"]


def test_each_variant_is_compared_with_the_originals(collection: Collection) -> None:
    originals = collection.vectors["first"][:6]
    found = {variant: originals for variant in (ORIGINAL, *VARIANTS)}
    found["+3 dB"] = originals[::-1]
    row = sections.robustness_table({"first": found}).rows["first"]
    assert row["-3 dB: cosine"].value == pytest.approx(1.0)
    assert row["-3 dB: own nearest"].value == 1.0
    assert row["+3 dB: own nearest"].value == 0.0
    assert len(row) == 2 * len(VARIANTS)
    nothing: dict[str, list[TrackVectors]] = {variant: [] for variant in (ORIGINAL, *VARIANTS)}
    assert sections.robustness_table({"first": nothing}).rows == {}


class Embedded(Embedding):
    """A folder whose files are embedded already."""

    def __init__(self, collection: Collection) -> None:
        super().__init__(Path(), VectorStore(Path()))
        self._collection = collection

    def collect(self, tracks: Sequence[Track], encoders: dict[str, tuple[EncoderChoice, Manifest]]) -> Collection:
        return self._collection


def judged(collection: Collection, choice: str | None) -> Report:
    encoders = {name: (EncoderChoice(name, Path()), manifest) for name, manifest in collection.manifests.items()}
    tunes = find_tunes(collection.tracks, collection.tracks)
    return evaluate.judge(Embedded(collection), tunes, encoders, evaluate._splits(choice), variant_tracks=0)[0]


@pytest.mark.parametrize(
    ("choice", "asked", "chosen"),
    [
        (None, ["all parts", "test part", "validation part"], "validation part"),
        ("all", ["all parts"], "all parts"),
        ("train", ["train part"], "train part"),
        ("validation", ["validation part"], "validation part"),
        ("test", ["test part"], "test part"),
    ],
)
def test_each_split_asks_and_changes_are_chosen_on_validation(
    collection: Collection, choice: str | None, asked: list[str], chosen: str
) -> None:
    titles = [table.title for table in judged(collection, choice).tables]
    assert titles == [
        *(f"Families across soundtracks, {part}" for part in asked),
        f"After the fact, {chosen}",
        "The space",
    ]


@pytest.mark.parametrize(("choice", "told"), [("all", "which ask as well"), ("test", "none of which asks")])
def test_a_table_of_changes_says_whether_its_statistics_are_of_what_asks(
    collection: Collection, choice: str, told: str
) -> None:
    table = next(table for table in judged(collection, choice).tables if table.title.startswith("After the fact"))
    assert table.note.startswith(f"Statistics of the training soundtracks, {told}.")


def test_a_part_that_is_not_in_the_folder_is_told(collection: Collection) -> None:
    kept = [at for at, track in enumerate(collection.tracks) if track.package in PACKAGES[:4]]
    without = Collection(
        [collection.tracks[at] for at in kept],
        {name: [vectors[at] for at in kept] for name, vectors in collection.vectors.items()},
        collection.manifests,
        [],
    )
    report = judged(without, "validation")
    assert [table.title for table in report.tables] == ["The space"]
    assert report.facts[-1] == "Nothing of the validation part can ask."
