"""From files to vectors: real decoding processes and a real batcher around an encoder without weights."""

import asyncio
import threading
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from services.chassis.errors import DeadlineExceeded, DomainError
from services.embedder.aggregation import Maximum, Middle
from services.embedder.embedding import AudioLimits, TrackEmbedding
from services.embedder.errors import AudioSilent, AudioTooLarge, AudioTooShort, EncodingFailed
from services.embedder.lanes import Lane
from services.embedder.messages import encode_windows
from services.embedder.model import pool
from tests.fakes.encoder import POISON, vector_of
from tests.integration.embedder import audio_files
from tests.integration.embedder.conftest import Rig, opened

LIMITS = AudioLimits(min_seconds=3, max_seconds=600, max_bytes=10_000_000)


def levels(folder: Path, *parts: tuple[float, float]) -> Path:
    """Write a file at the encoder's own rate that holds each level for so many seconds."""
    sound = np.concatenate([np.full(round(seconds * 2000), level, np.float32) for seconds, level in parts])
    return audio_files.write(folder / "levels.wav", sound[:, None], 2000, subtype="FLOAT")


async def embed(rig: Rig, path: Path, limits: AudioLimits = LIMITS, time_left_s: float | None = None) -> TrackEmbedding:
    with opened(path) as descriptor:
        return await rig.tracks.embed(descriptor, limits, Lane.BULK, time_left_s)


async def refused(rig: Rig, path: Path, limits: AudioLimits = LIMITS) -> DomainError:
    with pytest.raises(DomainError) as caught:
        await embed(rig, path, limits)
    return caught.value


async def test_windows_are_pooled_by_their_length(rig: Rig, tmp_path: Path) -> None:
    found = await embed(rig, levels(tmp_path, (10, 0.2), (10, 0.4), (4, 0.8)))
    assert found.duration_seconds == 24.0
    assert sum(len(batch) for batch in rig.encoder.batches) == 3
    windows = np.stack([vector_of(level) for level in (0.2, 0.4, 0.8)])
    np.testing.assert_allclose(found.windows, windows, atol=1e-3)
    np.testing.assert_allclose(found.vector, pool(windows, np.array([10, 10, 4], np.float32)), atol=1e-3)
    loud = (10 * 0.2 + 10 * 0.4 + 4 * 0.8) / 24
    assert [name for name, _ in found.tags] == ["quiet", "loud"]
    np.testing.assert_allclose([score for _, score in found.tags], [1 - loud, loud], atol=1e-3)


async def test_windows_are_aggregated_as_the_encoder_says(rig: Rig, tmp_path: Path) -> None:
    path = levels(tmp_path, (10, 0.2), (10, 1.2), (4, 0.8))
    windows, seconds = np.stack([vector_of(level) for level in (0.2, 1.2, 0.8)]), np.array([10, 10, 4], np.float32)
    for aggregator in (Maximum(), Middle()):
        rig.encoder.aggregator = aggregator
        found = await embed(rig, path)
        np.testing.assert_allclose(found.vector, aggregator.aggregate(windows, seconds), atol=1e-3)
        assert len(found.windows) == 3  # all of them are stored, whichever count


@dataclass
class WaitingAggregator:
    """Waits until it is let go, as one that takes long does."""

    entered: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)

    def aggregate(self, vectors: NDArray[np.float32], seconds: NDArray[np.float32]) -> NDArray[np.float32]:
        self.entered.set()
        assert self.let_go.wait(60), "the event loop was blocked"
        return np.array(vectors[0], np.float32)


async def test_aggregation_never_blocks_the_event_loop(rig: Rig, tmp_path: Path) -> None:
    aggregator = WaitingAggregator()
    rig.encoder.aggregator = aggregator
    embedding = asyncio.create_task(embed(rig, levels(tmp_path, (10, 0.2))))
    while not aggregator.entered.is_set():
        await asyncio.sleep(0.005)
    aggregator.let_go.set()
    np.testing.assert_allclose((await embedding).vector, vector_of(0.2), atol=1e-3)


async def test_descriptors_are_those_of_the_file_itself(rig: Rig, tmp_path: Path) -> None:
    # The encoder hears one channel up to 500 Hz; loudness and peak are of both channels at the file's own rate.
    time = np.arange(12 * 44_100) / 44_100
    sound = 0.5 * np.sin(2 * np.pi * 1000 * time) + 0.005 * np.sin(2 * np.pi * 200 * time)
    stereo = np.stack([sound, -0.1 * sound], axis=1).astype(np.float32)
    found = (await embed(rig, audio_files.write(tmp_path / "tone.wav", stereo, subtype="FLOAT"))).descriptors
    assert found is not None
    assert found.loudness_lufs == pytest.approx(20 * np.log10(0.5) + 10 * np.log10(1.01 / 2), abs=0.1)
    assert found.peak_dbfs == pytest.approx(20 * np.log10(0.5), abs=0.1)
    assert (found.tempo_bpm, found.revision) == (None, 1)


async def test_descriptors_do_not_carry_over_to_the_next_file(rig: Rig, tmp_path: Path) -> None:
    loud = audio_files.write(tmp_path / "loud.wav", audio_files.music(12))
    quiet = audio_files.write(tmp_path / "quiet.wav", 0.1 * audio_files.music(12))
    alone = (await embed(rig, quiet)).descriptors
    await embed(rig, loud)
    assert (await embed(rig, quiet)).descriptors == alone


async def test_silence_does_not_move_the_vector(rig: Rig, tmp_path: Path) -> None:
    plain = await embed(rig, levels(tmp_path, (10, 0.3)))
    padded = await embed(rig, levels(tmp_path, (20, 0), (10, 0.3), (20, 0)))
    np.testing.assert_allclose(padded.vector, plain.vector, atol=1e-3)
    assert (len(padded.windows), padded.duration_seconds) == (1, 50.0)


async def test_a_row_of_the_timeline_tells_its_time_whatever_was_silent(rig: Rig, tmp_path: Path) -> None:
    found = await embed(rig, levels(tmp_path, (20, 0), (10, 0.3), (10, 0), (12, 0.6)))
    assert found.window_numbers.tolist() == [2, 4]  # the last two seconds are too short a part to vote
    rows = found.timeline()
    assert rows.shape == (6, found.vector.shape[0])
    np.testing.assert_array_equal(rows[[2, 4]], found.windows)
    assert not rows[[0, 1, 3, 5]].any()
    stored = np.frombuffer(encode_windows(found), dtype="<f2").reshape(rows.shape)
    np.testing.assert_allclose(stored, rows, atol=1e-3)


async def test_silent_track_is_refused_with_the_level(rig: Rig, tmp_path: Path) -> None:
    error = await refused(rig, levels(tmp_path, (25, 0.0005)))
    assert isinstance(error, AudioSilent)
    assert error.metadata == {"field": "audio", "limit": "-60 dBFS"}
    assert rig.encoder.batches == []


async def test_short_track_never_reaches_the_model(rig: Rig, tmp_path: Path) -> None:
    error = await refused(rig, levels(tmp_path, (19, 0.3)), AudioLimits(20, 600, 10_000_000))
    assert isinstance(error, AudioTooShort)
    assert rig.encoder.batches == []


async def test_no_more_is_held_than_may_wait_however_long_a_track_must_be(rig: Rig, tmp_path: Path) -> None:
    rig.encoder.open.clear()
    path = levels(tmp_path, (119, 0.3))
    refusing = asyncio.ensure_future(refused(rig, path, AudioLimits(120, 600, 10_000_000)))
    while not rig.encoder.batches:  # two windows may wait: the third lets them go
        await asyncio.sleep(0.005)
    rig.encoder.open.set()
    assert isinstance(await refusing, AudioTooShort)


async def test_large_file_is_refused_before_it_is_read(rig: Rig, tmp_path: Path) -> None:
    path = levels(tmp_path, (4, 0.3))
    size = path.stat().st_size
    error = await refused(rig, path, AudioLimits(3, 600, size - 1))
    assert isinstance(error, AudioTooLarge)
    assert error.metadata == {"field": "audio", "value": str(size), "limit": str(size - 1)}


async def test_window_that_the_model_fails_on_fails_its_track_alone(rig: Rig, tmp_path: Path) -> None:
    good = levels(tmp_path, (20, 0.3))
    (tmp_path / "bad").mkdir()
    bad = levels(tmp_path / "bad", (10, 0.3), (10, POISON), (10, 0.3))
    assert isinstance(await refused(rig, bad), EncodingFailed)
    assert len((await embed(rig, good)).windows) == 2


async def test_deadline_that_passes_costs_nothing(rig: Rig, tmp_path: Path) -> None:
    path = levels(tmp_path, (10, 0.3))
    with opened(path) as descriptor, pytest.raises(DeadlineExceeded):
        await rig.tracks.embed(descriptor, LIMITS, Lane.INTERACTIVE, time_left_s=0)
    assert rig.encoder.batches == []


async def test_caller_that_goes_away_leaves_nothing_behind(rig: Rig, tmp_path: Path) -> None:
    rig.encoder.open.clear()
    task = asyncio.create_task(embed(rig, levels(tmp_path, (100, 0.3))))
    while not rig.encoder.batches:
        await asyncio.sleep(0.005)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    rig.encoder.open.set()
    assert len((await embed(rig, levels(tmp_path, (10, 0.5)))).windows) == 1
    seen = [level for batch in rig.encoder.batches for level in batch]
    assert len(seen) <= 3  # two were in flight, and this one
