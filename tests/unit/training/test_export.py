"""An artifact holds what the network is, and nothing else."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from services.embedder.artifact import open_artifact
from services.embedder.model import centre
from tests.unit.training.networks import TINY, fill
from training.config import Config
from training.errors import TrainingError
from training.evaluation.postprocessing import sharpening
from training.export import CENTRING, ExportOptions, export
from training.network import Network
from training.tags import WORDS
from training.tracks import embed_files


def network() -> Network:
    torch.manual_seed(1)
    return Network(TINY).eval()


def test_an_artifact_holds_the_living_weights_heads_statistics_and_quantiles(tmp_path: Path) -> None:
    corpus, net = fill(tmp_path / "takes"), network()
    artifact = export(
        net, corpus, list(corpus.takes()), tmp_path / "mini", ExportOptions("museed-mini"), revision="7 steps"
    )
    manifest = open_artifact(tmp_path / "mini").manifest
    assert manifest == artifact.manifest
    assert (manifest.name, manifest.architecture, manifest.dim) == ("museed-mini", "museed-mini/1", 400)
    assert (manifest.centring, manifest.precision, manifest.revision) == (CENTRING, "fp16", "7 steps")
    assert manifest.tags == tuple(WORDS)
    weights = load_file(artifact.weights_path)
    assert not [name for name in weights if "pos_conv_embed" in name or "quantizer" in name or "cls_token" in name]
    assert {tensor.dtype for name, tensor in weights.items() if "running_" not in name and name != CENTRING} == {
        np.dtype(np.float16)
    }
    assert weights["heads.embedding.weight"].shape == (400, 16)
    assert weights["heads.tags.weight"].shape == (len(WORDS), 16)
    stated = net.muq.state_dict()["model.conv.linear.weight"].numpy()
    np.testing.assert_array_equal(weights["model.conv.linear.weight"], stated.astype(np.float16))
    assert manifest.random_pair_cosine is not None
    quantiles = list(manifest.random_pair_cosine.values())
    assert quantiles == sorted(quantiles)
    assert -1 <= quantiles[0] < quantiles[-1] <= 1
    json.dumps(manifest.config)


def test_the_mean_that_is_subtracted_is_that_of_all_files(tmp_path: Path) -> None:
    corpus, net = fill(tmp_path / "takes"), network()
    artifact = export(net, corpus, list(corpus.takes()), tmp_path / "mini", ExportOptions("museed-mini"), revision="")
    weights = load_file(artifact.weights_path)
    head = net.embedding.weight.detach().numpy(), net.embedding.bias.detach().numpy()  # type: ignore[operator]
    files = embed_files(net, corpus, list(corpus.takes()), *head)
    assert len(files) == 12
    np.testing.assert_allclose(weights[CENTRING], np.mean([file.windows[0] for file in files], axis=0), atol=1e-6)
    centred = centre(np.concatenate([file.windows for file in files]), weights[CENTRING])
    assert np.linalg.norm(centred.mean(axis=0)) < 0.5 * np.linalg.norm(weights[CENTRING])


def test_the_first_teacher_s_half_is_the_first_rows_of_both(tmp_path: Path) -> None:
    corpus, net = fill(tmp_path / "takes"), network()
    both = load_file(
        export(net, corpus, list(corpus.takes()), tmp_path / "a", ExportOptions("mini"), revision="").weights_path
    )
    half = export(
        net, corpus, list(corpus.takes()), tmp_path / "b", ExportOptions("mini", "msd", is_centred=False), revision=""
    )
    assert half.manifest.dim == 200
    assert half.manifest.centring is None
    rows = load_file(half.weights_path)
    np.testing.assert_array_equal(rows["heads.embedding.weight"], both["heads.embedding.weight"][:200])
    assert CENTRING not in rows


def test_a_sharpened_vector_is_made_by_the_head_and_the_mean(tmp_path: Path) -> None:
    corpus, net = fill(tmp_path / "takes"), network()
    takes = list(corpus.takes())
    options = ExportOptions("mini", sharpness=0.25)
    artifact = export(net, corpus, takes, tmp_path / "mini", options, revision="7 steps")
    assert (artifact.manifest.dim, artifact.manifest.revision) == (400, "7 steps, sharpened by 0.25")
    weights = load_file(artifact.weights_path)
    plain = net.embedding.weight.detach().numpy(), net.embedding.bias.detach().numpy()  # type: ignore[operator]
    windows = [file.windows for file in embed_files(net, corpus, takes, *plain)]
    served = embed_files(net, corpus, takes, *(weights[f"heads.embedding.{name}"] for name in ("weight", "bias")))
    wanted = sharpening(windows, 0.25)
    for file, before in zip(served, windows, strict=True):
        cosines = np.sum(centre(file.windows, weights[CENTRING]) * wanted(before), axis=1)
        np.testing.assert_allclose(cosines, 1, atol=1e-4)


def test_weights_that_are_not_finite_are_refused_by_name(tmp_path: Path) -> None:
    corpus, net = fill(tmp_path / "takes"), network()
    with torch.no_grad():
        net.muq.model.conv.linear.weight[0, 0] = float("nan")
    with pytest.raises(TrainingError, match=r"model\.conv\.linear\.weight holds values that are not finite"):
        export(
            net, corpus, list(corpus.takes()), tmp_path / "mini", ExportOptions("mini", sharpness=0.125), revision=""
        )
    assert not (tmp_path / "mini").exists()


def test_a_network_starts_from_an_artifact(tmp_path: Path) -> None:
    corpus, net = fill(tmp_path / "takes"), network()
    export(net, corpus, list(corpus.takes()), tmp_path / "mini", ExportOptions("museed-mini"), revision="")
    again = Network(replace(Config(network=TINY).network, base=str(tmp_path / "mini"))).eval()
    mel = torch.randn(2, 1000, 128, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(again(mel).vectors, net(mel).vectors, rtol=2e-2, atol=2e-3)
