"""The mel front end against librosa's filters, torch's transform and a slow one.

librosa's own transform is not asked: the import of it compiles for most of a minute.
"""

import librosa
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from services.embedder.mel import frame_count, htk_filters, mel_power, power_spectra

RATE, N_FFT, HOP, N_MELS = 16_000, 512, 256, 96


def noise(samples: int, seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(-1, 1, samples).astype(np.float32)


@pytest.mark.parametrize("samples", [160_000, 48_000, 48_001, 600])
def test_equals_librosas_filters_of_torchs_spectra(samples: int) -> None:
    sound = noise(samples)
    window = torch.hann_window(N_FFT, dtype=torch.float64)
    waves = torch.stft(torch.from_numpy(sound).double(), N_FFT, HOP, window=window, return_complex=True)
    wanted = (librosa.filters.mel(sr=RATE, n_fft=N_FFT, n_mels=N_MELS) @ waves.abs().square().numpy()).T
    found = mel_power(sound[None], RATE, N_FFT, HOP, N_MELS)[0]
    assert found.dtype == np.float32
    assert found.shape == (frame_count(samples, HOP), N_MELS)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_frame_equals_a_transform_written_out() -> None:
    sound = noise(1024)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(N_FFT) / N_FFT)
    frame = sound[HOP : HOP + N_FFT] * hann  # the third: the first is centred on sample 0
    waves = np.exp(-2j * np.pi * np.outer(np.arange(N_FFT // 2 + 1), np.arange(N_FFT)) / N_FFT)
    power = np.abs(waves @ frame) ** 2
    filters = librosa.filters.mel(sr=RATE, n_fft=N_FFT, n_mels=N_MELS)
    found = mel_power(sound[None], RATE, N_FFT, HOP, N_MELS)[0, 2]
    np.testing.assert_allclose(found, filters @ power, rtol=1e-4)


def test_rows_do_not_mix() -> None:
    a, b = noise(4096, 2), noise(4096, 3)
    together = mel_power(np.stack([a, b]), RATE, N_FFT, HOP, N_MELS)
    np.testing.assert_allclose(together[1], mel_power(b[None], RATE, N_FFT, HOP, N_MELS)[0], rtol=1e-5)


@pytest.mark.parametrize("samples", [240_000, 103_200, 2048])
def test_htk_mels_equal_torchaudio(samples: int) -> None:
    import torchaudio

    sound = noise(samples)
    transform = torchaudio.transforms.MelSpectrogram(sample_rate=24_000, n_fft=2048, hop_length=240, n_mels=128)
    wanted = transform(torch.from_numpy(sound)).T.numpy()
    found = power_spectra(sound[None], 2048, 240)[0] @ htk_filters(24_000, 2048, 128)
    assert found.shape == wanted.shape == (frame_count(samples, 240), 128)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)


def test_batches_change_no_bit() -> None:
    sound = np.stack([noise(60_000, seed) for seed in range(3)])
    wanted = np.concatenate([power_spectra(row[None], 2048, 240) for row in sound])
    np.testing.assert_array_equal(power_spectra(sound, 2048, 240), wanted)
    np.testing.assert_array_equal(power_spectra(sound, 2048, 240, frames=70), wanted[:, :70])
