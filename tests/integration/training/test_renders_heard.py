"""What the teacher hears in renders: the test of their variety that no property of samples can be."""

from pathlib import Path

import numpy as np
import pytest
import soxr

from services.embedder import musicnn_wheel
from services.embedder.musicnn import MusicnnEncoder
from training.renders import SAMPLE_RATE_HZ, render

_SEEDS = range(4)
_SECONDS = 10.0


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> MusicnnEncoder:
    folder: Path = tmp_path_factory.mktemp("wheel") / "musicnn-mtt"
    return MusicnnEncoder(musicnn_wheel.import_wheel(folder, musicnn_wheel.MTT), threads=1)


@pytest.mark.parametrize(
    ("style", "words", "others"),
    [
        ("metal", ("rock", "metal", "loud"), ("techno", "classical", "piano")),
        ("techno", ("techno", "electronic", "beat"), ("rock", "classical", "guitar")),
        ("orchestra", ("classical", "strings", "violin"), ("techno", "rock", "drums")),
        ("piano", ("piano", "classical", "solo"), ("techno", "rock", "drums")),
        ("world", ("drums", "indian", "sitar"), ("techno", "rock", "piano")),
    ],
)
def test_the_teacher_hears_a_style_as_what_it_is_meant_to_be(
    style: str, words: tuple[str, ...], others: tuple[str, ...], teacher: MusicnnEncoder
) -> None:
    rate_hz = teacher.manifest.sample_rate_hz
    sounds = [soxr.resample(render(seed, _SECONDS, style), SAMPLE_RATE_HZ, rate_hz) for seed in _SEEDS]
    scores = teacher.encode(np.stack(sounds).astype(np.float32)).tags.mean(axis=0)
    by_word = dict(zip(teacher.manifest.tags, scores, strict=True))

    assert sum(by_word[word] for word in words) > 1.5 * sum(by_word[word] for word in others)
