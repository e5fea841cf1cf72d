"""The museed-mini of the repository: whole, small, and heard as what it says it is."""

import json

import numpy as np
import pytest

from services.embedder.artifact import open_artifact
from services.embedder.choice import MINI_FOLDER, load_encoder
from services.embedder.mini import MiniEncoder
from training.catalogue import Split, read_catalogue, split_of

RATE_HZ = 24_000


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> MiniEncoder:
    found = load_encoder("museed-mini", artifacts_folder=tmp_path_factory.mktemp("x"), muq_folder=None, threads=1)
    assert isinstance(found, MiniEncoder)
    return found


def test_the_artifact_is_whole_and_small_and_its_card_names_it() -> None:
    manifest = open_artifact(MINI_FOLDER).manifest
    size = sum(path.stat().st_size for path in MINI_FOLDER.iterdir())
    assert (MINI_FOLDER / "weights.safetensors").stat().st_size <= 25e6
    assert size <= 26e6
    assert manifest.encoder_id in (MINI_FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert manifest.licence == "Apache-2.0"
    assert manifest.random_pair_cosine is not None
    assert manifest.random_pair_cosine["0.5"] < manifest.random_pair_cosine["0.99"]


def test_nothing_was_learnt_from_validation_or_test_soundtracks() -> None:
    lines = (MINI_FOLDER / "training_list.jsonl").read_text(encoding="utf-8").splitlines()
    takes = [json.loads(line) for line in lines]
    held_out = {track.package for track in read_catalogue() if split_of(track) is not Split.TRAIN}
    assert len(held_out) == 7
    assert takes
    assert not [take for take in takes if any(f"{name}/" in take["source"] for name in held_out)]


@pytest.mark.parametrize(
    ("style", "word", "other"), [("techno", "electronic", "classical"), ("metal", "loud", "quiet")]
)
def test_renders_are_heard_as_what_they_are(encoder: MiniEncoder, style: str, word: str, other: str) -> None:
    import soxr

    from training.renders import SAMPLE_RATE_HZ, render

    windows = [soxr.resample(render(seed, 10.5, style), SAMPLE_RATE_HZ, RATE_HZ)[: 10 * RATE_HZ] for seed in (91, 92)]
    scores = dict(zip(encoder.manifest.tags, encoder.encode(np.stack(windows)).tags.mean(axis=0), strict=True))
    assert scores[word] > 2 * scores[other]
