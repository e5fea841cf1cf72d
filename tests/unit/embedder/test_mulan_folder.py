"""What a MuQ-MuLan's folder must hold, and what of it moves the encoder's id; nothing is loaded."""

import json
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from services.embedder import mulan_folder, muq
from services.embedder.choice import load_encoder
from services.embedder.errors import ArtifactInvalid, EncoderUnavailable
from services.embedder.mulan_folder import find, is_mulan

CONFIG: dict[str, Any] = {
    "mulan": {"sr": 24_000, "clip_secs": 10, "dim_latent": 512},
    "audio_model": {"name": "OpenMuQ/MuQ-large-msd-iter", "model_dim": 1024, "use_layer_idx": -1},
    "text_model": {"name": "xlm-roberta-base", "model_dim": 768},
    "audio_transformer": {"dim": 768, "tf_depth": 8},
    "text_transformer": {"dim": 768, "tf_depth": 8},
}
TEXT_CONFIG = {"model_type": "xlm-roberta", "hidden_size": 768, "vocab_size": 250_002, "transformers_version": "4.57"}
FILES = ("config.json", "pytorch_model.bin", "muq/config.json", "xlm-roberta-base/config.json")
ALL_FILES = (*FILES, "xlm-roberta-base/tokenizer.json")


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "MuQ-MuLan-large"
    write(folder / "config.json", CONFIG)
    write(folder / "pytorch_model.bin", "weights")
    write(folder / "muq" / "config.json", {"encoder_dim": 1024, "mask_prob": 0.6})
    write(folder / "xlm-roberta-base" / "config.json", TEXT_CONFIG)
    write(folder / "xlm-roberta-base" / "tokenizer.json", "tokens")
    return folder


@pytest.fixture(autouse=True)
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache with one folder a model, empty at first."""
    cache = tmp_path / "cache"

    def look_up(name: str, file: str) -> str | None:
        return str(cache / name / file) if (cache / name / file).is_file() else None

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", look_up)
    return cache


def id_of(folder: Path) -> str:
    return find(str(folder)).describe().encoder_id


def test_manifest_tells_what_it_is(folder: Path) -> None:
    manifest = find(str(folder)).describe()
    assert manifest.encoder_id.startswith("muq-mulan-512-")
    assert (manifest.architecture, manifest.dim, manifest.licence) == ("muq-mulan/1", 512, "CC-BY-NC-4.0")
    assert (manifest.sample_rate_hz, manifest.window_seconds, manifest.hop_seconds) == (24_000, 10, 10)
    assert manifest.tags == ()
    assert (manifest.source, manifest.revision) == (str(folder), "")


@pytest.mark.parametrize("missing", ALL_FILES)
def test_missing_file_is_named_with_what_belongs_there(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(ArtifactInvalid) as caught:
        find(str(folder))
    error = caught.value
    assert (error.reason, error.value) == ("ARTIFACT_MISSING", str(folder / missing))
    source = {"muq": "OpenMuQ/MuQ-large-msd-iter", "xlm-roberta-base": "xlm-roberta-base"}.get(
        missing.split("/")[0], "OpenMuQ/MuQ-MuLan-large"
    )
    assert f"{folder / missing} is missing: put {Path(missing).name} of {source} there" in error.message
    for file in ALL_FILES:
        assert file in error.message


def test_folder_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(ArtifactInvalid, match=r"none/config\.json is missing: put config\.json of OpenMuQ/MuQ-MuLan"):
        find(str(tmp_path / "none"))


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("config.json", "{", "JSONDecodeError"),
        ("config.json", [], "AttributeError"),
        ("config.json", CONFIG | {"mulan": {}}, "dim_latent"),
        ("config.json", {key: CONFIG[key] for key in CONFIG if key != "text_transformer"}, "text_transformer"),
        ("config.json", CONFIG | {"audio_model": {"name": "m-a-p/MERT-v1-330M"}}, "MERT-v1-330M and xlm-roberta-base"),
        ("config.json", CONFIG | {"text_model": {"name": "Qwen/Qwen2"}}, "its towers are .* and Qwen/Qwen2"),
        ("muq/config.json", "nothing", "JSONDecodeError"),
        ("xlm-roberta-base/config.json", '"text"', "AttributeError"),
    ],
)
def test_config_that_is_none_is_named(folder: Path, file: str, content: object, told: str) -> None:
    write(folder / file, content)
    with pytest.raises(ArtifactInvalid, match=told) as caught:
        find(str(folder))
    assert (caught.value.field, caught.value.value) == ("config", str(folder / file))


def test_length_that_cannot_be_meant_is_refused(folder: Path) -> None:
    write(folder / "config.json", CONFIG | {"mulan": {"dim_latent": -1}})
    with pytest.raises(ArtifactInvalid):
        find(str(folder)).describe()


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("pytorch_model.bin", "other"),
        ("xlm-roberta-base/tokenizer.json", "other"),
        ("xlm-roberta-base/config.json", TEXT_CONFIG | {"layer_norm_eps": 1e-6}),
        ("muq/config.json", {"encoder_dim": 1024, "hop_length": 480}),
        ("config.json", CONFIG | {"mulan": CONFIG["mulan"] | {"clip_secs": 5}}),
        ("config.json", CONFIG | {"audio_model": CONFIG["audio_model"] | {"use_layer_idx": 6}}),
        ("config.json", CONFIG | {"text_transformer": {"dim": 768, "tf_depth": 7}}),
    ],
)
def test_what_moves_a_vector_moves_the_id(folder: Path, file: str, content: object) -> None:
    before = id_of(folder)
    write(folder / file, content)
    assert id_of(folder) != before


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.json", {"config": CONFIG, "hf_hub_cache_dir": None}),
        ("config.json", CONFIG | {"audio_model": CONFIG["audio_model"] | {"name": "/models/muq"}}),
        ("muq/config.json", {"encoder_dim": 1024, "mask_prob": 0.5, "rvq_ckpt_path": "x"}),
        ("xlm-roberta-base/config.json", TEXT_CONFIG | {"transformers_version": "5", "architectures": ["X"]}),
    ],
)
def test_names_and_options_of_training_do_not(folder: Path, file: str, content: object) -> None:
    before = id_of(folder)
    write(folder / file, content)
    assert id_of(folder) == before


def test_safetensors_go_before_a_pickle(folder: Path) -> None:
    write(folder / "model.safetensors", "weights")
    assert find(str(folder)).weights == folder / "model.safetensors"


def test_parts_may_lie_in_the_hub_cache(folder: Path, hub_cache: Path) -> None:
    before = id_of(folder)
    hub_cache.mkdir()
    (hub_cache / "OpenMuQ").mkdir()
    (folder / "muq").rename(hub_cache / "OpenMuQ" / "MuQ-large-msd-iter")
    (folder / "xlm-roberta-base").rename(hub_cache / "xlm-roberta-base")
    assert id_of(folder) == before


def test_hub_name_fetches_what_is_needed_and_no_more(
    folder: Path, hub_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[tuple[str, tuple[str, ...]]] = []
    folders = {
        "OpenMuQ/MuQ-MuLan-large": folder,
        "OpenMuQ/MuQ-large-msd-iter": hub_cache / "muq",
        "xlm-roberta-base": hub_cache / "text",
    }

    def fetch(name: str, files: tuple[str, ...]) -> Path:
        fetched.append((name, files))
        return folders[name]

    before = id_of(folder)
    hub_cache.mkdir()
    (folder / "muq").rename(hub_cache / "muq")
    (folder / "xlm-roberta-base").rename(hub_cache / "text")
    monkeypatch.setattr(muq, "download_from_hub", fetch)
    found = find("OpenMuQ/MuQ-MuLan-large")
    assert (found.revision, found.describe().encoder_id) == ("OpenMuQ/MuQ-MuLan-large", before)
    assert fetched == [
        ("OpenMuQ/MuQ-MuLan-large", ("config.json", "model.safetensors", "pytorch_model.bin")),
        ("OpenMuQ/MuQ-large-msd-iter", ("config.json",)),
        ("xlm-roberta-base", ("config.json",)),
        ("xlm-roberta-base", ("tokenizer.json",)),
    ]


def test_hub_that_gives_nothing_is_coded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise OSError("no network")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(EncoderUnavailable, match="OpenMuQ/MuQ-MuLan-large is neither cached nor to be had"):
        find("OpenMuQ/MuQ-MuLan-large")


def test_kinds_of_folders_are_told_apart_by_their_config(folder: Path) -> None:
    assert is_mulan(folder)
    assert not is_mulan(folder / "muq")
    assert not is_mulan(folder / "none")


def test_encoder_of_either_kind_is_asked_for_by_folder_and_by_hub_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def refuse(choice: str) -> object:
        asked.append(choice)
        raise EncoderUnavailable("asked")

    monkeypatch.setattr(mulan_folder, "find", refuse)
    monkeypatch.setattr(muq, "download_from_hub", lambda name, files=(): folder if "MuLan" in name else folder / "muq")
    for choice in (str(folder), "OpenMuQ/MuQ-MuLan-large"):
        with pytest.raises(EncoderUnavailable, match="asked"):
            load_encoder(choice, artifacts_folder=tmp_path, muq_folder=None, threads=1)
    with pytest.raises(ArtifactInvalid, match="a MuQ folder has"):
        load_encoder("OpenMuQ/MuQ-large-msd-iter", artifacts_folder=tmp_path, muq_folder=None, threads=1)
    assert asked == [str(folder), "OpenMuQ/MuQ-MuLan-large"]
