"""Makes what a run learns from: lists the music of a folder, and fills the corpus by the plan of a configuration.

python -m training.prepare --config mini --music DIR --work DIR [--section.key=value …]
"""

from pathlib import Path

from training.catalogue import Split
from training.config import Config
from training.corpus import Corpus
from training.errors import ManifestInvalid
from training.make_corpus import make_corpus, plan
from training.manifest import Manifest, check_splits, list_music, read_manifest, write_manifest
from training.train import TAKES_FOLDER

MANIFEST_FILE = "manifest.jsonl"
ARTIFACTS_FOLDER = "artifacts"


def prepare(config: Config, music: Path, work: Path) -> Manifest:
    """List the music unless a list is there, refuse leaks, and make every take that is missing.

    A person may edit the list in WORK/manifest.jsonl; it is read again and checked.

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
    left_out = make_corpus(recipes, music, Corpus(work / TAKES_FOLDER), artifacts=work / ARTIFACTS_FOLDER)
    print(f"{len(recipes) - left_out} takes in {work / TAKES_FOLDER}, {left_out} left out")
    return manifest
