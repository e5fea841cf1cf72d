"""Which precision is served, by its distance to fp32; the probe itself."""

import logging
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from services.embedder.errors import PrecisionRefused
from services.embedder.model import Encoded, ServedEncoder, unit
from services.embedder.precision import calibration, probe, settle
from tests.fakes.encoder import MANIFEST, FakeEncoder

SLOW = replace(MANIFEST, sample_rate_hz=2000)


class Turned(FakeEncoder):
    """Turns the vector of one window, the last part window of the probe, by an angle; NaN spoils it."""

    angle = 0.0

    def encode(self, windows: NDArray[np.float32]) -> Encoded:
        encoded = super().encode(windows)
        if windows.shape[1] == self.manifest.window_samples:
            return encoded
        x, y = encoded.vectors[-1]
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        vectors = encoded.vectors.copy()
        vectors[-1] = cosine * x - sine * y, sine * x + cosine * y
        return Encoded(vectors, encoded.tags)


class Sighted(FakeEncoder):
    """Fails on windows that are shorter than it says that it can see."""

    def encode(self, windows: NDArray[np.float32]) -> Encoded:
        assert windows.shape[1] >= self.min_samples
        return super().encode(windows)


def maker(angle: float) -> Callable[[str], ServedEncoder]:
    def make(wanted: str) -> ServedEncoder:
        encoder = Turned(manifest=SLOW, precision=wanted.partition("-")[0])
        encoder.angle = 0.0 if wanted == "fp32" else angle
        return encoder

    return make


JUST_NEAR, TOO_FAR = float(np.arccos(0.9991)), float(np.arccos(0.9989))


def test_fp32_is_served_without_a_probe() -> None:
    encoder = settle(maker(TOO_FAR), "fp32", ("bf16",))
    assert isinstance(encoder, Turned)
    assert (encoder.precision, encoder.batches) == ("fp32", [])


def test_precision_that_is_near_enough_is_served() -> None:
    assert settle(maker(JUST_NEAR), "int8-dynamic", ()).precision == "int8"


def test_precision_that_moves_one_window_too_far_is_refused() -> None:
    with pytest.raises(PrecisionRefused) as caught:
        settle(maker(TOO_FAR), "int8-static", ())
    assert str(caught.value) == (
        "EMBEDDER_PRECISION is int8-static: fake then has a cosine of 0.998900 to fp32 on the probe, at least 0.999"
        " is needed; set EMBEDDER_PRECISION to auto or fp32"
    )
    assert caught.value.reason == "PRECISION_REFUSED"
    assert caught.value.metadata == {
        "field": "EMBEDDER_PRECISION",
        "value": "int8-static 0.998900",
        "limit": "0.999",
    }


def test_precision_that_gives_no_number_is_refused() -> None:
    with pytest.raises(PrecisionRefused, match=r"cosine of -1\.000000"):
        settle(maker(np.nan), "fp16", ())


@pytest.mark.parametrize(("angle", "served"), [(JUST_NEAR, "int8"), (TOO_FAR, "fp32")])
def test_auto_takes_what_is_near_enough(angle: float, served: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert settle(maker(angle), "auto", ("int8-dynamic",)).precision == served
    event = "precision_admitted" if served == "int8" else "precision_passed_over"
    assert [record.message for record in caplog.records] == [event]


def test_auto_without_candidates_is_fp32() -> None:
    assert settle(maker(0), "auto", ()).precision == "fp32"


def test_probe_has_full_and_part_windows_of_every_kind() -> None:
    windows = probe(SLOW)
    assert [len(window) for window in windows] == [20_000] * 6 + [7_400] * 6
    assert all(window.dtype == np.float32 for window in windows)
    again = probe(SLOW)
    assert all((one == other).all() for one, other in zip(windows, again, strict=True))


def test_part_windows_are_long_enough_to_be_seen() -> None:
    brief = replace(MANIFEST, sample_rate_hz=24_000, window_seconds=0.1, hop_seconds=0.1)
    assert [len(window) for window in probe(brief, 2048)] == [2400] * 6 + [2048] * 6
    encoder = settle(lambda wanted: Sighted(brief, precision=wanted, min_samples=2048), "bf16", ())
    assert encoder.precision == "bf16"


def test_reference_of_its_own_is_never_served() -> None:
    def reference() -> ServedEncoder:
        return Turned(manifest=SLOW, runtime="of the probe")

    for wanted, angle, served in (
        ("auto", TOO_FAR, "fp32"),
        ("auto", JUST_NEAR, "int8"),
        ("int8-dynamic", JUST_NEAR, "int8"),
        ("fp32", TOO_FAR, "fp32"),
    ):
        encoder = settle(maker(angle), wanted, ("int8-dynamic",), reference)
        assert (encoder.precision, encoder.runtime) == (served, "onnxruntime")


def test_probe_spans_levels_and_kinds() -> None:
    windows = probe(replace(MANIFEST, sample_rate_hz=16_000))[:6]
    levels = sorted(float(20 * np.log10(np.sqrt(np.mean(window**2)))) for window in windows)
    assert levels[0] < -40
    assert levels[-1] > -6
    assert max(float(np.abs(window).max()) for window in windows) <= 1
    spectra = unit(np.stack([np.abs(np.fft.rfft(window))[: 10 * (len(window) // 20)] for window in windows]))
    assert np.triu(spectra @ spectra.T, 1).max() < 0.9


def test_calibration_shows_nothing_of_the_probe() -> None:
    seen = {window.tobytes() for window in calibration(SLOW)}
    assert len(seen) == 12
    assert not seen & {window.tobytes() for window in probe(SLOW)}
