"""What goes into a file comes out of the decoder: every format, rate and number of channels."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray

from services.embedder.audio import AudioSummary, DecodeSpec, decode
from services.embedder.channels import mono_weights
from tests.fixtures import hostile_audio, hostile_containers
from tests.integration.embedder import audio_files
from tests.integration.embedder.conftest import opened

Float32Array = NDArray[np.float32]

RATES = (8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 88_200, 96_000, 176_400, 192_000)
# In the order of WAVE files, which is FFmpeg's.
LAYOUTS = {
    "mono": ("FC",),
    "stereo": ("FL", "FR"),
    "2.1": ("FL", "FR", "LFE"),
    "3.0": ("FL", "FR", "FC"),
    "quad": ("FL", "FR", "BL", "BR"),
    "5.0": ("FL", "FR", "FC", "BL", "BR"),
    "5.1": ("FL", "FR", "FC", "LFE", "BL", "BR"),
    "7.1": ("FL", "FR", "FC", "LFE", "BL", "BR", "SL", "SR"),
}
MASKS = {"2.1": 0xB, "3.0": 0x7, "quad": 0x33, "5.0": 0x37, "5.1": 0x3F, "7.1": 0x63F}
# Vorbis I specification, section 4.3.9, and RFC 7845, section 5.1.1.2: where each channel of a file stands in WAVE's.
VORBIS_ORDER = {"3.0": (0, 2, 1), "quad": (0, 1, 2, 3), "5.0": (0, 2, 1, 3, 4), "5.1": (0, 2, 1, 4, 5, 3)}
VORBIS_ORDER["7.1"] = (0, 2, 1, 6, 7, 4, 5, 3)


def read(path: Path, rate_hz: int) -> tuple[Float32Array, AudioSummary]:
    """Decode a file to mono at a rate."""
    blocks = decode_all(path, DecodeSpec(rate_hz, 10 * rate_hz, 0.1, 60))
    return np.concatenate(blocks[0]), blocks[1]


def decode_all(path: Path, spec: DecodeSpec) -> tuple[list[Float32Array], AudioSummary]:
    with opened(path) as descriptor:
        decoding = decode(descriptor, spec)
        blocks = []
        while True:
            try:
                blocks.append(next(decoding))
            except StopIteration as stop:
                return blocks, stop.value


def snr_db(found: Float32Array, wanted: Float32Array) -> float:
    assert found.shape == wanted.shape
    return float(20 * np.log10(np.linalg.norm(wanted) / max(float(np.linalg.norm(found - wanted)), 1e-12)))


def likeness(found: Float32Array, wanted: Float32Array) -> float:
    """Return the correlation at the best lag: lossy codecs may begin some samples late."""
    common = min(len(found), len(wanted))
    spectrum = np.fft.rfft(found[:common], 2 * common) * np.conj(np.fft.rfft(wanted[:common], 2 * common))
    norms = np.linalg.norm(found[:common]) * np.linalg.norm(wanted[:common])
    return float(np.fft.irfft(spectrum).max() / norms)


def channels_of(layout: str, rate_hz: int = 48_000, seconds: float = 1.5) -> Float32Array:
    """Return another chord for each channel, low for the low-frequency one, shape (frames, channels)."""
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    tones = [
        sum(
            np.sin(2 * np.pi * hz * time)
            for hz in ((40, 60) if name == "LFE" else (300 + 170 * place, 440 + 210 * place))
        )
        for place, name in enumerate(LAYOUTS[layout])
    ]
    return (0.1 * np.stack(tones, axis=1)).astype(np.float32)


LOSSLESS = {
    **{("WAV", subtype): floor for subtype, floor in {
        "PCM_U8": 25, "PCM_16": 75, "PCM_24": 120, "PCM_32": 130, "FLOAT": 150, "DOUBLE": 150, "ULAW": 25}.items()},
    **{("WAVEX", subtype): floor for subtype, floor in {
        "PCM_U8": 25, "PCM_16": 75, "PCM_24": 120, "PCM_32": 130, "FLOAT": 150, "DOUBLE": 150}.items()},
    **{("AIFF", subtype): floor for subtype, floor in {
        "PCM_S8": 25, "PCM_16": 75, "PCM_24": 120, "FLOAT": 150}.items()},
    ("FLAC", "PCM_16"): 75,
    ("FLAC", "PCM_24"): 120,
    ("RF64", "PCM_16"): 75,
    ("W64", "PCM_24"): 120,
    ("CAF", "PCM_16"): 75,
    ("OGG", "FLAC"): 75,
}  # fmt: skip


@pytest.mark.parametrize(("kind", "subtype"), LOSSLESS)
def test_lossless_file_gives_its_samples(tmp_path: Path, kind: str, subtype: str) -> None:
    sound = audio_files.music(1)
    path = tmp_path / "a.bin"
    if (kind, subtype) == ("OGG", "FLAC"):
        write_with_ffmpeg(path, sound, 44_100, "stereo", codec="flac", container="ogg", sample_format="s16")
    else:
        soundfile.write(path, sound, 44_100, format=kind, subtype=subtype)
    found, summary = read(path, 44_100)
    assert (summary.seconds, summary.source_rate_hz, summary.channels) == (1.0, 44_100, 2)
    assert snr_db(found, sound.mean(axis=1)) > LOSSLESS[kind, subtype]


def test_stereo_is_the_mean_to_the_last_bit(tmp_path: Path) -> None:
    sound = audio_files.music(1)
    found, _ = read(audio_files.write(tmp_path / "a.wav", sound, subtype="FLOAT"), 44_100)
    np.testing.assert_array_equal(found, sound.mean(axis=1))


@pytest.mark.parametrize("rate_hz", RATES)
@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff"])
def test_every_rate_is_resampled(tmp_path: Path, suffix: str, rate_hz: int) -> None:
    sound = audio_files.music(1, rate=rate_hz)
    found, summary = read(audio_files.write(tmp_path / f"a.{suffix}", sound, rate_hz), 24_000)
    assert summary.source_rate_hz == rate_hz
    assert snr_db(found, soxr.resample(sound.mean(axis=1), rate_hz, 24_000)) > 70


LOSSY = {
    "mp3": [rate for rate in RATES if rate <= 48_000],
    "ogg": list(RATES),
    "opus": [8_000, 16_000, 48_000],
    "m4a": [rate for rate in RATES if rate <= 96_000],
    "aac": [16_000, 44_100],
}


@pytest.mark.parametrize(("suffix", "rate_hz"), [(suffix, rate) for suffix, rates in LOSSY.items() for rate in rates])
@pytest.mark.parametrize("channels", [1, 2])
def test_lossy_file_sounds_the_same(tmp_path: Path, suffix: str, rate_hz: int, channels: int) -> None:
    sound = audio_files.music(1.5, rate=rate_hz)[:, :channels]
    path = tmp_path / f"a.{suffix}"
    if suffix == "opus":
        soundfile.write(path, sound, rate_hz, format="OGG", subtype="OPUS")
    else:
        audio_files.write(path, sound, rate_hz)
    found, summary = read(path, 8_000)
    assert summary.channels == channels
    assert summary.seconds == pytest.approx(1.5, abs=0.15)
    assert likeness(found, soxr.resample(sound.mean(axis=1), rate_hz, 8_000)) > 0.95


def write_with_ffmpeg(
    path: Path, sound: Float32Array, rate_hz: int, layout: str, codec: str, container: str, sample_format: str
) -> Path:
    whole: NDArray[Any] = np.round(sound * 32767).astype(np.int16) if sample_format.startswith("s16") else sound
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate_hz, layout=layout)
        assert isinstance(stream, av.AudioStream)
        for start in range(0, len(sound), 1024):
            piece = whole[start : start + 1024]
            array = np.ascontiguousarray(piece.T) if sample_format.endswith("p") else piece.reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(array, format=sample_format, layout=layout)
            frame.sample_rate, frame.pts = rate_hz, start
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def write_channels(path: Path, sound: Float32Array, layout: str) -> Path:
    """Write channels in WAVE's order in the order of the file that the suffix names."""
    if path.suffix == ".wav":
        path.write_bytes(hostile_audio.wav_extensible(sound, MASKS[layout], 48_000))
        return path
    if path.suffix == ".m4a":
        return write_with_ffmpeg(path, sound, 48_000, layout, "aac", "mp4", "fltp")
    if path.suffix in (".ogg", ".opus"):
        sound = sound[:, VORBIS_ORDER[layout]]
    return audio_files.write(path, sound, 48_000)


@pytest.mark.parametrize(
    ("suffix", "layout"),
    [
        *(("wav", layout) for layout in MASKS),
        *(("flac", layout) for layout in MASKS if layout != "2.1"),
        *(("ogg", layout) for layout in VORBIS_ORDER),
        *(("opus", layout) for layout in VORBIS_ORDER),
        ("m4a", "3.0"),
        ("m4a", "5.0"),
        ("m4a", "5.1"),
    ],
)
def test_known_channels_are_mixed_as_broadcasters_do(tmp_path: Path, suffix: str, layout: str) -> None:
    sound = channels_of(layout)
    found, summary = read(write_channels(tmp_path / f"a.{suffix}", sound, layout), 48_000)
    assert summary.channels == sound.shape[1]
    wanted = sound @ mono_weights(LAYOUTS[layout], sound.shape[1])
    assert likeness(found, wanted) > (0.9999 if suffix in ("wav", "flac") else 0.99)
    # The plain mean is another sound, or this test could not tell.
    assert layout in ("2.1", "3.0") or likeness(found, sound.mean(axis=1)) < 0.99


def test_surround_file_with_front_channels_only_gives_what_its_stereo_twin_gives(tmp_path: Path) -> None:
    stereo = audio_files.music(1)
    surround = np.zeros((len(stereo), 6), np.float32)
    surround[:, :2] = stereo
    found, _ = read(audio_files.write(tmp_path / "six.flac", surround), 44_100)
    wanted, _ = read(audio_files.write(tmp_path / "two.flac", stereo), 44_100)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("channels", [3, 6, 8])
def test_channels_without_names_are_averaged(tmp_path: Path, channels: int) -> None:
    sound = channels_of("7.1")[:, :channels]
    found, _ = read(audio_files.write(tmp_path / "a.aiff", sound, 48_000), 48_000)
    assert snr_db(found, sound.mean(axis=1)) > 60


def test_eight_planes_of_ffmpeg_come_in_their_order(tmp_path: Path) -> None:
    sound = channels_of("7.1")
    path = write_with_ffmpeg(tmp_path / "a.m4a", sound, 48_000, "7.1(wide)", "alac", "ipod", "s16")
    found, summary = read(path, 48_000)
    assert (summary.channels, summary.codec) == (8, "alac")
    wanted = sound @ mono_weights(("FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC"), 8)
    assert snr_db(found, wanted) > 60


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE", "AVERAGE"])
def test_tags_around_an_mp3_are_no_sound(tmp_path: Path, mode: str) -> None:
    sound = audio_files.music(3)
    bare = tmp_path / "bare.mp3"
    with soundfile.SoundFile(bare, "w", 44_100, 2, bitrate_mode=mode, compression_level=0.5) as file:
        file.write(sound)
    tagged = tmp_path / "tagged.mp3"
    cover = hostile_audio.id3(b"APIC", b"\0image/png\0\3\0" + np.random.default_rng(0).bytes(200_000))
    old_tag = b"TAG" + b"title".ljust(125, b"\0")
    tagged.write_bytes(cover + bare.read_bytes() + hostile_audio.ape_tag(b"Title", b"a song" * 500) + old_tag)
    found, summary = read(tagged, 44_100)
    wanted, _ = read(bare, 44_100)
    assert summary.seconds == 3.0
    np.testing.assert_array_equal(found, wanted)
    assert likeness(found, sound.mean(axis=1)) > 0.95


def test_concatenated_ogg_files_play_one_after_the_other(tmp_path: Path) -> None:
    first, second = audio_files.music(2, seed=1), audio_files.music(3, seed=2)
    data = b"".join(
        audio_files.write(tmp_path / f"{seed}.ogg", sound).read_bytes() for seed, sound in enumerate((first, second))
    )
    path = tmp_path / "both.ogg"
    path.write_bytes(data)
    found, summary = read(path, 44_100)
    assert summary.seconds == pytest.approx(5, abs=0.05)
    assert likeness(found[: 2 * 44_100], first.mean(axis=1)) > 0.98
    assert likeness(found[2 * 44_100 :], second.mean(axis=1)) > 0.98


def test_ogg_file_that_ffmpeg_refuses_is_read_by_libsndfile(tmp_path: Path) -> None:
    # libvorbis forgives a comment header without its last bit, and there are such files.
    sound = audio_files.music(2)
    good = audio_files.write(tmp_path / "a.ogg", sound).read_bytes()
    pages = hostile_containers.ogg_pages(good)
    at = pages[1].index(b"\x05vorbis") - 1
    assert pages[1][at] == 1
    path = tmp_path / "unframed.ogg"
    path.write_bytes(b"".join([pages[0], hostile_containers.ogg_page_with(pages[1], at, b"\0"), *pages[2:]]))
    found, _ = read(path, 44_100)
    wanted, _ = read(tmp_path / "a.ogg", 44_100)
    assert snr_db(found, wanted) > 110


@pytest.mark.parametrize("suffix", ["mp3", "aac"])
def test_file_that_states_no_length_is_read_to_its_end(tmp_path: Path, suffix: str) -> None:
    # Loud and then quiet, and the other way round: whoever goes by the first bits is wrong about the rest.
    sound = audio_files.music(6)
    sound[: 2 * audio_files.RATE] *= 0
    for name, whole in (("quiet first", sound), ("loud first", sound[::-1].copy())):
        path = tmp_path / f"{name}.{suffix}"
        if suffix == "mp3":
            with soundfile.SoundFile(path, "w", 44_100, 2, bitrate_mode="VARIABLE", compression_level=0.3) as file:
                file.write(whole)
            path = audio_files.lengthen(path, tmp_path / f"{name} again.mp3", 1)
        else:
            audio_files.write(path, whole)
        found, summary = read(path, 44_100)
        assert summary.seconds == pytest.approx(6, abs=0.1)
        assert likeness(found, whole.mean(axis=1)) > 0.95
