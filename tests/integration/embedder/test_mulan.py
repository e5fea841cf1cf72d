"""The real network of MuQ-MuLan, tiny, loaded from a folder, against the package's own way of running it."""

import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from services.chassis.errors import FailedPrecondition
from services.embedder import mulan, mulan_folder
from services.embedder.choice import load_encoder
from services.embedder.errors import ArtifactInvalid, EncoderUnavailable, TextInvalid
from services.embedder.model import Encoder
from services.embedder.mulan import MulanEncoder, load_beside
from tests.fakes.encoder import FakeEncoder
from tests.fakes.mulan import DIM, MAX_TOKENS, save_tiny_mulan, save_tokenizer, strip_towers

RATE = 24_000
PROMPTS = ("calm piano", "a", "very fast and angry metal, loud drums", "悲伤的音乐", "hip-hop & r&b")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A folder without the towers' own weights, and the package's model that was saved into it."""
    folder = tmp_path_factory.mktemp("models") / "mulan"
    folder.mkdir()
    reference = save_tiny_mulan(folder)
    strip_towers(folder)
    return folder, reference


@pytest.fixture(scope="module")
def folder(made: tuple[Path, Any]) -> Path:
    return made[0]


@pytest.fixture(scope="module")
def reference(made: tuple[Path, Any]) -> Any:
    return made[1]


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder, tmp_path / "copy")


@pytest.fixture(scope="module")
def encoder(folder: Path) -> MulanEncoder:
    found = load(folder)
    assert isinstance(found, MulanEncoder)
    return found


@pytest.fixture(scope="module", autouse=True)
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def load(folder: Path) -> Encoder:
    return load_encoder(str(folder), artifacts_folder=folder, muq_folder=None, threads=1)


def sounds(seconds: float) -> NDArray[np.float32]:
    """Return noise, two tones and a chirp, shape (4, samples)."""
    time = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(5).uniform(-0.5, 0.5, len(time))
    tones = [0.4 * np.sin(2 * np.pi * hz * time) for hz in (80, 900)]
    return np.stack([noise, *tones, 0.3 * np.sin(400 * time**2)]).astype(np.float32)


def test_sound_has_the_vectors_of_the_package(encoder: MulanEncoder, reference: Any) -> None:
    sound = sounds(10)
    with torch.no_grad():
        wanted = reference(wavs=torch.from_numpy(sound)).numpy()
    encoded = encoder.encode(sound)
    np.testing.assert_allclose(encoded.vectors, wanted, atol=1e-5)
    assert (encoded.vectors.shape, encoded.tags.shape) == ((4, DIM), (4, 0))
    assert encoded.vectors.dtype == np.float32
    # They lie apart, or nothing here would show anything.
    assert (wanted @ wanted.T)[~np.eye(4, dtype=bool)].max() < 0.98


def test_words_have_the_vectors_of_the_package(encoder: MulanEncoder, reference: Any) -> None:
    for prompt in PROMPTS:
        with torch.no_grad():
            wanted = reference(texts=[prompt]).numpy()[0]
        np.testing.assert_allclose(encoder.embed_text(prompt), wanted, atol=1e-5)


@pytest.mark.parametrize("seconds", [10.0, 4.3])
def test_window_has_the_same_unit_vector_alone_and_in_any_batch(encoder: MulanEncoder, seconds: float) -> None:
    sound = sounds(seconds)
    together = encoder.encode(sound).vectors
    alone = np.concatenate([encoder.encode(window[None]).vectors for window in sound])
    turned = encoder.encode(sound[::-1]).vectors[::-1]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(together, turned, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)


def test_shortest_window_is_encoded(encoder: MulanEncoder) -> None:
    assert np.isfinite(encoder.encode(sounds(1)[:, : encoder.min_samples]).vectors).all()


def test_prompt_has_the_same_unit_vector_whatever_came_before(encoder: MulanEncoder) -> None:
    first = [encoder.embed_text(prompt) for prompt in PROMPTS]
    again = [encoder.embed_text(prompt) for prompt in reversed(PROMPTS)][::-1]
    np.testing.assert_array_equal(first, again)
    np.testing.assert_allclose(np.linalg.norm(first, axis=1), 1, atol=1e-6)
    assert (np.stack(first) @ np.stack(first).T)[~np.eye(len(first), dtype=bool)].max() < 0.999


def test_prompt_with_too_many_tokens_is_refused_and_the_longest_is_not(encoder: MulanEncoder) -> None:
    with pytest.raises(TextInvalid) as caught:
        encoder.embed_text("a" * (MAX_TOKENS - 2))  # beside two marks, the blank before a word is a token
    assert (caught.value.field, caught.value.value, caught.value.limit) == (
        "text",
        str(MAX_TOKENS + 1),
        str(MAX_TOKENS),
    )
    assert np.isfinite(encoder.embed_text("a" * (MAX_TOKENS - 3))).all()


def test_encoder_tells_what_it_is(encoder: MulanEncoder) -> None:
    assert encoder.manifest.encoder_id.startswith(f"muq-mulan-{DIM}-")
    assert (encoder.manifest.architecture, encoder.manifest.licence) == ("muq-mulan/1", "CC-BY-NC-4.0")
    assert (encoder.manifest.sample_rate_hz, encoder.manifest.window_seconds) == (RATE, 10)
    assert (encoder.runtime, encoder.precision) == ("torch", "fp32")
    assert encoder.parameters == sum(tensor.numel() for tensor in encoder._model.parameters())
    assert encoder.memory_bytes >= 4 * encoder.parameters


def test_pickled_weights_of_the_hub_are_the_same(copy: Path, encoder: MulanEncoder) -> None:
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    loaded = load(copy)
    assert loaded.manifest.encoder_id != encoder.manifest.encoder_id  # it is a digest of the file
    np.testing.assert_array_equal(loaded.encode(sounds(3)).vectors, encoder.encode(sounds(3)).vectors)


def test_weights_come_from_the_model_and_not_from_its_towers(copy: Path, encoder: MulanEncoder, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    save_tiny_mulan(other, seed=7)
    shutil.copytree(other / "muq", copy / "muq", dirs_exist_ok=True)
    shutil.copy(other / "xlm-roberta-base" / "model.safetensors", copy / "xlm-roberta-base")
    loaded = load(copy)
    assert loaded.manifest.encoder_id == encoder.manifest.encoder_id
    np.testing.assert_array_equal(loaded.encode(sounds(3)).vectors, encoder.encode(sounds(3)).vectors)


def rewrite(path: Path, change: "dict[str, torch.Tensor | None]") -> None:
    tensors: dict[str, torch.Tensor | None] = {**load_file(path), **change}
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, path)


@pytest.mark.parametrize(
    "lost",
    [
        "mulan.text_to_latents.weight",
        "mulan.audio.proj.bias",
        "mulan.audio.model.model.conv.conv.0.conv1.weight",
        "mulan.text.model.encoder.layer.0.output.dense.weight",
    ],
)
def test_tensor_that_is_read_must_be_there(copy: Path, lost: str) -> None:
    rewrite(copy / "model.safetensors", {lost: None})
    with pytest.raises(ArtifactInvalid, match="lacks 1 tensors") as caught:
        load(copy)
    assert caught.value.value == lost.removeprefix("mulan.")


def test_what_no_forward_pass_reads_may_be_missing_or_left_over(
    copy: Path, encoder: MulanEncoder, caplog: pytest.LogCaptureFixture
) -> None:
    unread = ("mulan.contrast.temperatures", "mulan.audio.aggregator.weight", "mulan.text.model.pooler.dense.weight")
    rewrite(copy / "model.safetensors", dict.fromkeys(unread))
    rewrite(copy / "model.safetensors", {"mulan.text.model.embeddings.position_ids": torch.zeros(1, 3)})
    loaded = load(copy)
    np.testing.assert_array_equal(loaded.encode(sounds(3)).vectors, encoder.encode(sounds(3)).vectors)
    assert caplog.records == []
    rewrite(copy / "model.safetensors", {"mulan.novelty": torch.zeros(1)})
    load(copy)
    assert [(record.message, vars(record)["first"]) for record in caplog.records] == [("tensors_unread", "novelty")]


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("content", [b"", b"no weights at all"])
def test_damaged_weights_are_coded(copy: Path, name: str, content: bytes) -> None:
    (copy / "model.safetensors").unlink()
    (copy / name).write_bytes(content)
    with pytest.raises(ArtifactInvalid) as caught:
        load(copy)
    assert (caught.value.reason, caught.value.value) == ("ARTIFACT_CORRUPT", str(copy / name))


class Opener:
    """Writes a file when it is unpickled as Python does it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_pickle_that_runs_code_is_coded_and_does_not(copy: Path, tmp_path: Path) -> None:
    (copy / "model.safetensors").unlink()
    torch.save({"mulan.audio": Opener(tmp_path / "opened")}, copy / "pytorch_model.bin")
    with pytest.raises(ArtifactInvalid) as caught:
        load(copy)
    assert caught.value.reason == "ARTIFACT_CORRUPT"
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("config.json", {"text_transformer": {"dim": 16, "tf_depth": 2, "heads": 4, "dim_head": 8}}),
        ("config.json", {"audio_transformer": {"width": 16}}),
        ("muq/config.json", {"conv_dim": 8}),
        ("muq/config.json", {"w2v2_config": {}}),
        ("xlm-roberta-base/config.json", {"hidden_size": 24}),
        ("xlm-roberta-base/config.json", {"hidden_act": "none such"}),
    ],
)
def test_config_that_does_not_fit_is_coded(copy: Path, file: str, change: dict[str, object]) -> None:
    (copy / file).write_text(json.dumps(json.loads((copy / file).read_text()) | change))
    with pytest.raises(ArtifactInvalid, match=r"do not fit|lacks"):
        load(copy)


def test_tokenizer_that_does_not_fit_is_coded(copy: Path) -> None:
    path = copy / "xlm-roberta-base" / "tokenizer.json"
    tokenizer = json.loads(path.read_text())
    tokenizer["model"]["vocab"] += [["surplus", -1.0]]
    path.write_text(json.dumps(tokenizer))
    with pytest.raises(ArtifactInvalid, match=r"tokenizer\.json has \d+ tokens, the weights know"):
        load(copy)
    path.write_text("{}")
    with pytest.raises(ArtifactInvalid, match=r"tokenizer\.json is no tokenizer"):
        load(copy)
    save_tokenizer(path)
    assert load(copy).manifest.dim == DIM


def test_missing_package_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "muq" else object())
    with pytest.raises(EncoderUnavailable, match=r"needs muq: pip install 'museed\[muq\]'"):
        mulan.load(mulan_folder.find(str(folder)))


@pytest.mark.parametrize(
    ("runtime", "precision", "field"),
    [
        ("onnxruntime", "auto", "EMBEDDER_RUNTIME"),
        ("torch", "bf16", "EMBEDDER_PRECISION"),
        ("auto", "int8-static", "EMBEDDER_PRECISION"),
    ],
)
def test_settings_under_which_it_is_not_served_are_named(
    folder: Path, runtime: str, precision: str, field: str
) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        load_encoder(
            str(folder), artifacts_folder=folder, muq_folder=None, threads=1, runtime=runtime, precision=precision
        )
    assert caught.value.field == field
    assert "muq-mulan/1" in caught.value.message


def test_compiler_is_refused(folder: Path) -> None:
    with pytest.raises(EncoderUnavailable) as caught:
        load_encoder(str(folder), artifacts_folder=folder, muq_folder=None, threads=1, is_compiled=True)
    assert caught.value.field == "EMBEDDER_TORCH_COMPILE"
    assert caught.value.message == "EMBEDDER_TORCH_COMPILE is on, muq-mulan/1 is not compiled: leave it out"


@pytest.mark.skipif(torch.cuda.is_available(), reason="threads are those of a CPU")
def test_threads_are_those_that_are_set(folder: Path) -> None:
    for threads in (1, 2):
        load_encoder(str(folder), artifacts_folder=folder, muq_folder=None, threads=threads)
        assert torch.get_num_threads() == threads
    for threads in (1, 2):
        load_beside(str(folder), FakeEncoder(), threads)
        assert torch.get_num_threads() == threads
    load_beside(str(folder), FakeEncoder())
    assert torch.get_num_threads() == 2


def test_no_convolution_is_rounded(encoder: MulanEncoder) -> None:
    told: list[bool] = []
    hooks = [
        tower.register_forward_pre_hook(lambda *_: told.append(torch.backends.cudnn.allow_tf32))
        for tower in (encoder._model.audio, encoder._model.text)
    ]
    before = torch.backends.cudnn.allow_tf32
    encoder.encode(sounds(1))
    encoder.embed_text("calm piano")
    for hook in hooks:
        hook.remove()
    assert (told, torch.backends.cudnn.allow_tf32) == ([False, False], before)


def test_model_that_is_served_is_not_loaded_twice(
    folder: Path, encoder: MulanEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mulan, "load", lambda *_, **__: pytest.fail("loaded a second time"))
    assert load_beside("", encoder) is encoder
    assert load_beside(str(folder), encoder) is encoder
    assert load_beside("", FakeEncoder()) is None


def test_other_model_is_loaded_beside(folder: Path, copy: Path, encoder: MulanEncoder) -> None:
    rewrite(copy / "model.safetensors", {"mulan.text_to_latents.bias": torch.ones(DIM)})
    beside = load_beside(str(copy), encoder)
    assert beside is not None
    assert beside.manifest.encoder_id not in (encoder.manifest.encoder_id, FakeEncoder().manifest.encoder_id)
    again = load_beside(str(folder), FakeEncoder())
    assert again is not None
    assert again.manifest.encoder_id == encoder.manifest.encoder_id
