"""Variants of files are real ones, and figures are those of vectors worked out by hand."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from training.catalogue import Track
from training.evaluation.robustness import (
    ORIGINAL,
    VARIANTS,
    choose_tracks,
    measure_robustness,
    read_excerpt,
    variant_key,
    write_variants,
)

Float32Array = NDArray[np.float32]


def tones(seconds: float, rate_hz: int, channels: int = 2) -> Float32Array:
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    sound = [0.3 * np.sin(2 * np.pi * (220 + 110 * channel) * time * (1 + time / 60)) for channel in range(channels)]
    return np.stack(sound, axis=1).astype(np.float32)


def track(path: str, seconds: float = 100.0) -> Track:
    return Track(path, path, "metal", "tag", "", "", "", seconds)


@pytest.mark.parametrize(("rate_hz", "channels"), [(44_100, 2), (48_000, 1), (96_000, 2)])
def test_variants_are_real_files(tmp_path: Path, rate_hz: int, channels: int) -> None:
    sound = tones(4, rate_hz, channels)
    paths = write_variants(sound, rate_hz, tmp_path)
    assert list(paths) == ["mp3 64 kbit/s", "+3 dB", "-3 dB", "1 s shift", "22.05 kHz", ORIGINAL]
    assert set(VARIANTS) | {ORIGINAL} == set(paths)
    original, rate = soundfile.read(paths[ORIGINAL], dtype="float32", always_2d=True)
    assert rate == rate_hz
    np.testing.assert_array_equal(original, sound[: 3 * rate_hz])
    louder = soundfile.read(paths["+3 dB"], dtype="float32", always_2d=True)[0]
    np.testing.assert_allclose(louder, original * 10 ** (3 / 20), rtol=1e-6)
    quieter = soundfile.read(paths["-3 dB"], dtype="float32", always_2d=True)[0]
    np.testing.assert_allclose(quieter, original * 10 ** (-3 / 20), rtol=1e-6)
    shifted = soundfile.read(paths["1 s shift"], dtype="float32", always_2d=True)[0]
    np.testing.assert_array_equal(shifted, sound[rate_hz:])
    low = soundfile.info(paths["22.05 kHz"])
    assert (low.samplerate, low.frames) == (22_050, 3 * 22_050)


def test_mp3_has_the_rate_that_it_says_and_sounds_alike(tmp_path: Path) -> None:
    sound = tones(11, 44_100)
    path = write_variants(sound, 44_100, tmp_path)["mp3 64 kbit/s"]
    info = soundfile.info(path)
    assert (info.format, info.samplerate, info.channels) == ("MP3", 44_100, 2)
    assert info.duration == pytest.approx(10, abs=0.1)
    assert path.stat().st_size * 8 / 10 == pytest.approx(64_000, rel=0.03)
    decoded = soundfile.read(path, dtype="float32")[0][44_100 : 9 * 44_100, 0]
    spectrum, wanted = (np.abs(np.fft.rfft(part)) for part in (decoded, sound[44_100 : 9 * 44_100, 0]))
    assert np.corrcoef(np.stack([spectrum, wanted]))[0, 1] > 0.9


def test_excerpt_is_the_middle(tmp_path: Path) -> None:
    sound = tones(65, 8_000, 1)
    soundfile.write(tmp_path / "a.wav", sound, 8_000, subtype="FLOAT")
    excerpt, rate_hz = read_excerpt(tmp_path / "a.wav")
    assert rate_hz == 8_000
    np.testing.assert_array_equal(excerpt, sound[2 * 8_000 : 63 * 8_000])


def test_tracks_are_taken_in_turn_from_each_package() -> None:
    tracks = [track(f"a/{number}.ogg") for number in range(5)] + [track("b/0.ogg"), track("c/0.ogg", seconds=60.9)]
    assert [one.path for one in choose_tracks(tracks, 4)] == ["a/0.ogg", "b/0.ogg", "a/1.ogg", "a/2.ogg"]
    assert [one.path for one in choose_tracks(tracks[::-1], 4)] == ["a/0.ogg", "b/0.ogg", "a/1.ogg", "a/2.ogg"]
    assert choose_tracks([], 4) == []


def test_keys_of_variants_differ() -> None:
    keys = {variant_key("digest", variant) for variant in (*VARIANTS, ORIGINAL)}
    assert len(keys) == 6
    assert all(key.replace("-", "").isalnum() for key in keys)


def test_cosine_and_own_nearest_are_those_worked_out_by_hand() -> None:
    originals = np.array([[1, 0], [0, 1]], np.float32)
    variants = np.array([[3, 4], [0, 5]], np.float32)  # the first leans to the other's original
    found = measure_robustness(originals, variants)
    assert found.cosine == pytest.approx((0.6 + 1) / 2)
    assert found.own_nearest == 0.5
