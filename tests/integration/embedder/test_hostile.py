"""Broken and hostile files through one decoding process: a coded error or the right sound, and the process lives on."""

import asyncio
import itertools
import os
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest
import soundfile
from numpy.typing import NDArray

from services.embedder.audio import DecodeSpec
from services.embedder.decoder import DecodeLimits, DecoderPool
from services.embedder.errors import AudioError
from tests.fixtures import hostile_audio as hostile
from tests.fixtures import hostile_containers as containers
from tests.integration.embedder import audio_files
from tests.integration.embedder import hostile_outcomes as outcomes
from tests.integration.embedder.conftest import decode

Float32Array = NDArray[np.float32]

MIB = 1024 * 1024
RATE = 8_000
SECONDS = 1.5
SPEC = DecodeSpec(RATE, 10 * RATE, min_seconds=0.1, max_seconds=60)
FORMATS = ("wav", "flac", "mp3", "ogg", "opus", "m4a", "aiff")
# What a file may be refused for; anything else, or no answer, fails the test.
REFUSALS = {
    "NOT_AUDIO", "AUDIO_EMPTY", "AUDIO_TRUNCATED", "AUDIO_CORRUPT", "AUDIO_TOO_SHORT", "AUDIO_TOO_LONG", "DECODE_LIMIT",
}  # fmt: skip


@dataclass
class Outcome:
    """A reason, or the sound and its length in seconds."""

    reason: str | None
    sound: Float32Array
    seconds: float


class Rig:
    """One decoding process and a place for files."""

    def __init__(self, pool: DecoderPool, path: Path) -> None:
        self.pool = pool
        self.path = path

    async def outcome(self, data: bytes | Path, spec: DecodeSpec = SPEC) -> Outcome:
        path = data if isinstance(data, Path) else self.path
        if isinstance(data, bytes):
            path.write_bytes(data)
        try:
            blocks, summary = await decode(self.pool, path, spec)
        except AudioError as error:
            return Outcome(error.reason, np.zeros(0, np.float32), 0.0)
        return Outcome(None, np.concatenate(blocks), summary.seconds)

    def process(self) -> psutil.Process:
        (process_id,) = self.pool.process_ids
        return psutil.Process(process_id)


@asynccontextmanager
async def started(folder: Path, limits: DecodeLimits) -> AsyncIterator[Rig]:
    pool = DecoderPool(1, limits, max_waiting=4)
    await pool.start()
    process_id = pool.process_ids[0]
    try:
        yield Rig(pool, folder / "file")
    finally:
        last = pool.process_ids
        await pool.close()
    assert not any(psutil.pid_exists(each) for each in {process_id, *last})


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    async with started(tmp_path, DecodeLimits(cpu_s=10, wait_s=100)) as one:
        yield one


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("good")
    sound = audio_files.music(SECONDS)
    return {
        suffix: audio_files.write(
            folder / f"a.{suffix}", sound, 48_000 if suffix == "opus" else audio_files.RATE
        ).read_bytes()
        for suffix in FORMATS
    }


def likenesses(found: Float32Array, whole: Float32Array, piece: int = RATE // 8) -> Float32Array:
    """Correlate every eighth of a second with the place of the whole sound that it is most like."""
    size = 1 << (len(whole) + piece).bit_length()
    spectrum = np.fft.rfft(whole, size)
    energy = np.concatenate([[0.0], np.cumsum(np.square(whole, dtype=np.float64))])
    norms = np.sqrt(np.maximum(energy[piece:] - energy[:-piece], 1e-9))
    best = []
    for start in range(0, len(found) - piece + 1, piece):
        part = found[start : start + piece]
        products = np.fft.irfft(spectrum * np.conj(np.fft.rfft(part, size)))[: len(norms)]
        best.append(float((products / norms).max()) / max(float(np.linalg.norm(part)), 1e-9))
    return np.array(best, np.float32)


def matching_share(found: Float32Array, whole: Float32Array) -> float:
    """Return the share of the found sound that is the same as some part of the whole."""
    return float((likenesses(found, whole) > 0.95).mean()) if len(found) >= RATE // 8 else 1.0


@pytest.mark.parametrize("suffix", FORMATS)
async def test_file_cut_at_every_hundredth_is_refused_or_gives_its_first_part(
    rig: Rig, good: dict[str, bytes], suffix: str
) -> None:
    whole = (await rig.outcome(good[suffix])).sound
    process = rig.process()
    accepted = []
    for part, data in enumerate(hostile.truncations(good[suffix])):
        found = await rig.outcome(data)
        assert found.reason in REFUSALS | {None}, part
        if found.reason is None:
            accepted.append(part)
            assert matching_share(found.sound, whole) == 1, part
    assert rig.process() == process
    # Ogg may be cut exactly between two pages, which nothing in it tells.
    assert all(part >= 95 for part in accepted) or (suffix in ("ogg", "opus") and len(accepted) <= 2)
    np.testing.assert_array_equal((await rig.outcome(good[suffix])).sound, whole)


@pytest.mark.parametrize("suffix", FORMATS)
async def test_file_with_flipped_bits_is_refused_or_sounds_the_same_elsewhere(
    rig: Rig, good: dict[str, bytes], suffix: str
) -> None:
    await check_flipped_bits(rig, good[suffix], range(40))


@pytest.mark.long
@pytest.mark.parametrize("suffix", FORMATS)
async def test_file_with_flipped_bits_long(rig: Rig, good: dict[str, bytes], suffix: str) -> None:
    await check_flipped_bits(rig, good[suffix], range(40, 1000))


async def check_flipped_bits(rig: Rig, data: bytes, seeds: range) -> None:
    whole = (await rig.outcome(data)).sound
    for seed in seeds:
        bits = (1, 1, 10, 100)[seed % 4]
        found = await rig.outcome(hostile.flipped(data, bits, seed))
        assert found.reason in REFUSALS | {None}, seed
        assert np.abs(found.sound).max(initial=0) <= 9, seed
        if found.reason is None and bits == 1:
            # A frame and its neighbours, which overlap it: two eighths of a second, or three where it moved the rest.
            assert matching_share(found.sound, whole) >= 1 - 3.5 / (8 * SECONDS), seed
            assert found.seconds > 0.7 * SECONDS, seed
    np.testing.assert_array_equal((await rig.outcome(data)).sound, whole)


async def test_flipped_bits_of_a_float_file_are_refused_where_they_would_drown_the_rest(rig: Rig) -> None:
    sound = audio_files.music(SECONDS, rate=RATE)[:, 0]
    data = hostile.wav_of_floats(sound, RATE)
    for seed in range(60):
        found = await rig.outcome(hostile.flipped(data, 3, seed, first=44))
        if found.reason is None:
            assert np.dot(found.sound, sound) / np.linalg.norm(found.sound) / np.linalg.norm(sound) > 0.9, seed
        else:
            assert found.reason == "AUDIO_CORRUPT"


async def check_table(rig: Rig, files: dict[str, bytes], expected: dict[str, str], like: bytes) -> None:
    whole = (await rig.outcome(like)).sound
    found = {}
    for name, data in files.items():
        outcome = await rig.outcome(data)
        is_same = matching_share(outcome.sound, whole) == 1 and len(outcome.sound) > 0.95 * len(whole)
        found[name] = outcome.reason or ("same" if is_same else "sound")
    assert found == expected
    np.testing.assert_array_equal((await rig.outcome(like)).sound, whole)


async def test_absurd_wave_headers(rig: Rig, good: dict[str, bytes]) -> None:
    await check_table(rig, hostile.absurd_wavs(audio_files.music(SECONDS)), outcomes.ABSURD_WAVS, good["wav"])


async def test_absurd_flac_headers(rig: Rig, good: dict[str, bytes]) -> None:
    await check_table(rig, hostile.absurd_flacs(good["flac"]), outcomes.ABSURD_FLACS, good["flac"])


async def test_absurd_mp4_boxes(rig: Rig, good: dict[str, bytes]) -> None:
    await check_table(rig, containers.absurd_mp4s(good["m4a"]), outcomes.ABSURD_MP4S, good["m4a"])


async def test_absurd_ogg_pages(rig: Rig, good: dict[str, bytes], tmp_path: Path) -> None:
    other = audio_files.write(tmp_path / "other.ogg", audio_files.music(1, seed=1, rate=22_050), 22_050).read_bytes()
    await check_table(rig, containers.absurd_oggs(good["ogg"], other), outcomes.ABSURD_OGGS, good["ogg"])


async def test_what_is_no_sound_is_refused_whatever_its_name(rig: Rig, tmp_path: Path) -> None:
    for name, data in hostile.not_audio(tmp_path).items():
        for suffix in ("mp3", "wav"):
            path = tmp_path / f"a.{suffix}"
            path.write_bytes(data)
            assert (await rig.outcome(path)).reason == "NOT_AUDIO", name


@pytest.mark.parametrize("suffix", FORMATS)
async def test_wrong_extension_changes_nothing(rig: Rig, good: dict[str, bytes], tmp_path: Path, suffix: str) -> None:
    for extension in {"mp3", "flac", "m4a", "txt"} - {suffix}:
        path = tmp_path / f"a.{extension}"
        path.write_bytes(good[suffix])
        np.testing.assert_array_equal((await rig.outcome(path)).sound, (await rig.outcome(good[suffix])).sound)


TIME = np.arange(round(SECONDS * RATE)) / RATE
TONE = (0.3 * np.sin(2 * np.pi * 440 * TIME)).astype(np.float32)


def with_sample(value: float, place: int) -> Float32Array:
    changed = TONE.copy()
    changed[place] = value
    return changed


async def test_samples_that_are_no_sound_are_refused(rig: Rig) -> None:
    refused = {
        "nan": with_sample(np.nan, 0),
        "nan at the end": with_sample(np.nan, -1),
        "all nan": np.full_like(TONE, np.nan),
        "infinity": with_sample(np.inf, 500),
        "negative infinity": with_sample(-np.inf, 500),
        "beyond any scale": TONE * 1e9,
        "one sample far beyond the others": with_sample(1e4, 500),
    }
    found = {name: (await rig.outcome(hostile.wav_of_floats(values, RATE))).reason for name, values in refused.items()}
    assert found == dict.fromkeys(refused, "AUDIO_CORRUPT")


async def test_odd_samples_come_through_as_they_are(rig: Rig) -> None:
    denormal = (TONE * 1e-40).astype(np.float32)
    assert 0 < np.abs(denormal).max() < np.finfo(np.float32).tiny
    taken = {
        "silence": np.zeros_like(TONE),
        "constant": np.full_like(TONE, 0.5),
        "denormal": denormal,
        "clipped": np.clip(TONE * 100, -1, 1),
        "on the scale of 16 bits": TONE * 32_768,
        "on the scale of 20 bits": TONE * 2**20,
        "full scale and a little more": with_sample(7.0, 500),
    }
    for name, values in taken.items():
        np.testing.assert_array_equal((await rig.outcome(hostile.wav_of_floats(values, RATE))).sound, values, name)


async def test_lengths_near_nothing(rig: Rig, tmp_path: Path) -> None:
    found = {}
    for samples in (0, 1, round(0.2 * RATE), RATE):
        for suffix in ("wav", "flac", "aiff"):
            path = audio_files.write(tmp_path / f"{samples}.{suffix}", TONE[:samples, None], RATE)
            three_seconds = await rig.outcome(path, DecodeSpec(RATE, RATE, 0.5, 60))
            found[samples, suffix] = three_seconds.reason
    assert found == {
        **{(samples, suffix): "AUDIO_TOO_SHORT" for samples in (1, 1600) for suffix in ("wav", "flac", "aiff")},
        **{(RATE, suffix): None for suffix in ("wav", "flac", "aiff")},
        (0, "wav"): "AUDIO_EMPTY",
        (0, "aiff"): "AUDIO_EMPTY",
        (0, "flac"): "AUDIO_EMPTY",
    }


async def test_a_hundred_megabytes_of_tag_are_skipped(rig: Rig, good: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "tag.mp3"
    length = 100 * MIB
    with path.open("wb") as file:
        file.write(b"ID3\4\0\0" + bytes(length >> shift & 0x7F for shift in (21, 14, 7, 0)))
        file.seek(10 + length)  # zeros, which the file system does not store
        file.write(good["mp3"])
    before = rig.process().memory_info().rss
    np.testing.assert_array_equal((await rig.outcome(path)).sound, (await rig.outcome(good["mp3"])).sound)
    assert rig.process().memory_info().rss - before < 40 * MIB


@contextmanager
def changing(path: Path, change: Callable[[], object]) -> Iterator[None]:
    """Change a file again and again while it is read."""
    is_over = threading.Event()

    def run() -> None:
        while not is_over.is_set():
            change()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@pytest.mark.parametrize("suffix", FORMATS)
async def test_file_that_changes_its_length_while_it_is_read(rig: Rig, good: dict[str, bytes], suffix: str) -> None:
    data = good[suffix]
    whole = (await rig.outcome(data)).sound
    sizes = itertools.cycle([len(data) // 3, len(data), 2 * len(data)])
    with changing(rig.path, lambda: os.truncate(rig.path, next(sizes))):
        for _ in range(10):
            assert (await rig.outcome(rig.path)).reason in REFUSALS | {None}
    np.testing.assert_array_equal((await rig.outcome(data)).sound, whole)


async def test_two_gigabytes_of_zeros_end_at_the_limit_of_seconds(rig: Rig, tmp_path: Path) -> None:
    path = tmp_path / "zeros.wav"
    length = 2048 * MIB - 100
    header = hostile.wav(b"", rate_hz=48_000, data_bytes=length)
    with path.open("wb") as file:
        file.write(header[:4] + struct.pack("<I", length + 36) + header[8:])
        file.truncate(44 + length)
    before = rig.process().memory_info().rss
    assert (await rig.outcome(path)).reason == "AUDIO_TOO_LONG"  # by its header
    with path.open("r+b") as file:
        for place in (4, 40):  # as one that was written to a pipe
            file.seek(place)
            file.write(b"\xff\xff\xff\xff")
    assert (await rig.outcome(path)).reason == "AUDIO_TOO_LONG"
    assert rig.process().memory_info().rss - before < 40 * MIB


async def test_ten_hours_are_refused_with_and_without_a_stated_length(rig: Rig, tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    with soundfile.SoundFile(path, "w", 8_000, 1, format="FLAC") as file:
        silence = np.zeros(10 * 60 * 8_000, np.int16)
        for _ in range(60):
            file.write(silence)
    assert (await rig.outcome(path)).reason == "AUDIO_TOO_LONG"
    assert (await rig.outcome(hostile.forget_length(path))).reason == "AUDIO_TOO_LONG"


async def test_after_all_of_them_the_process_is_what_it_was(good: dict[str, bytes], tmp_path: Path) -> None:
    async with started(tmp_path, DecodeLimits(cpu_s=10, wait_s=100)) as rig:
        files = [
            *(data for suffix in FORMATS for data in hostile.truncations(good[suffix], 5)),
            *(hostile.flipped(good[suffix], 30, seed) for suffix in FORMATS for seed in range(5)),
            *hostile.absurd_wavs(audio_files.music(SECONDS)).values(),
            *hostile.absurd_flacs(good["flac"]).values(),
            *hostile.not_audio(tmp_path).values(),
        ]
        wanted = [(await rig.outcome(good[suffix])).sound for suffix in FORMATS]
        for data in files:  # once, to load what is loaded on demand
            await rig.outcome(data)
        process = rig.process()
        memory_bytes = process.memory_info().rss
        for data in files * 2:
            await rig.outcome(data)
        assert rig.process() == process
        for _ in range(500):  # it closes the file after its last word
            if process.num_fds() == 4:
                break
            await asyncio.sleep(0.01)
        assert (process.num_fds(), process.num_threads()) == (4, 1)
        # It moves by some 15 MiB, as the heap goes; 90 KB kept of each file would be more.
        assert process.memory_info().rss - memory_bytes < 24 * MIB
        for suffix, sound in zip(FORMATS, wanted, strict=True):
            np.testing.assert_array_equal((await rig.outcome(good[suffix])).sound, sound)
