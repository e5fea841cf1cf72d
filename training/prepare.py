"""Makes what a run learns from: lists the music of a folder, and fills the corpus by the plan of a configuration."""

from pathlib import Path

from training.catalogue import Split
from training.config import Config
from training.corpus import Corpus, Take
from training.errors import ManifestInvalid
from training.make_corpus import make_corpus, plan
from training.manifest import check_splits, list_music, read_manifest, write_manifest
from training.train import TAKES_FOLDER

MANIFEST_FILE = "manifest.jsonl"
ARTIFACTS_FOLDER = "artifacts"


def prepare(config: Config, music: Path, work: Path) -> list[Take]:
    """List the music unless a list is there, refuse leaks, and make every take that is missing.

    A person may edit the list in WORK/manifest.jsonl; it is read again and checked, and decides what each take is for.
    Takes of other plans that lie in the same folder are left alone.

    Returns:
        The takes of the plan, in the order of their ids.

    Raises:
        ManifestInvalid: No music to learn from, or a group that stands in two splits.
    """
    path = work / MANIFEST_FILE
    if not path.is_file():
        write_manifest(path, list_music(music))
    manifest = read_manifest(path)
    check_splits(manifest.entries)
    for split in (Split.TRAIN, Split.VALIDATION):
        if not manifest.of(split):
            raise ManifestInvalid(f"{path} has no entry for {split}: put a soundtrack of its own into it")
    recipes = plan(manifest, config.corpus)
    corpus = Corpus(work / TAKES_FOLDER)
    left_out = make_corpus(recipes, music, corpus, artifacts=work / ARTIFACTS_FOLDER)
    planned = {recipe.take_id: recipe for recipe in recipes if recipe.take_id not in left_out}
    print(f"{len(planned)} takes in {work / TAKES_FOLDER}, {len(left_out)} left out")
    return [planned[take_id].describe(corpus.take(take_id).seconds) for take_id in sorted(planned)]
