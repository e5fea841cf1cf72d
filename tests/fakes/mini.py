"""museed-mini with random weights, written as an artifact, and the same artifact run by muq's own classes in torch."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save

from services.embedder.artifact import Artifact, Manifest, write_artifact
from services.embedder.model import Encoded, centre

TINY = {"encoder_dim": 32, "encoder_depth": 2, "conv_dim": 4, "intermediate_size": 64, "heads": 4}
FULL = {"encoder_dim": 256, "encoder_depth": 6, "conv_dim": 16, "intermediate_size": 1024, "heads": 4}
TAGS = ("calm", "fast", "loud")
CENTRING = "centring.mean"
DIM = 20
RATE = 24_000
# What no vector depends on and no artifact holds.
_DEAD = ("model.cls_token", "model.linear.", "model.quantizer_", "model.conformer.pos_conv_embed.")


def muq_options(sizes: dict[str, int]) -> dict[str, Any]:
    """Return the arguments of `muq.MuQConfig` for a network of these sizes."""
    return {
        "encoder_dim": sizes["encoder_dim"],
        "encoder_depth": sizes["encoder_depth"],
        "conv_dim": sizes["conv_dim"],
        "stat": {"melspec_2048_mean": 6.8, "melspec_2048_std": 18.4},
        "w2v2_config": {
            "activation_dropout": 0.1,
            "attention_dropout": 0.1,
            "conformer_conv_dropout": 0.1,
            "conv_depthwise_kernel_size": 31,
            "feat_extract_activation": "gelu",
            "hidden_act": "swish",
            "hidden_dropout": 0.1,
            "hidden_size": sizes["encoder_dim"],
            "intermediate_size": sizes["intermediate_size"],
            "layer_norm_eps": 1e-5,
            "layerdrop": 0.0,
            "num_attention_heads": sizes["heads"],
            "num_conv_pos_embedding_groups": 4,
            "num_conv_pos_embeddings": 16,
            "position_embeddings_type": "rotary",
            "rotary_embedding_base": 10000,
        },
    }


def build_muq(options: dict[str, Any]) -> Any:  # the package ships no types
    """Build a `muq.MuQ` with random weights of torch's seed."""
    with warnings.catch_warnings():
        # muq, x_clip and transformers warn at import of what is not ours to change.
        warnings.simplefilter("ignore")
        import muq
    return muq.MuQ(muq.MuQConfig(**options))


def sounds(seconds: float, count: int, seed: int = 0) -> NDArray[np.float32]:
    """Return different chords with noise bursts, shape (count, samples): something with pitch and rhythm."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * RATE)) / RATE
    rows = []
    for _ in range(count):
        chord = sum(np.sin(2 * np.pi * hz * time) for hz in random.uniform(60, 6000, 5))
        bursts = random.standard_normal(len(time)) * np.exp(-8 * (time % random.uniform(0.2, 0.8)))
        rows.append(random.uniform(0.02, 0.15) * chord + random.uniform(0, 0.3) * bursts)
    return np.stack(rows).astype(np.float32)


def write_mini(
    folder: Path,
    sizes: dict[str, int] = TINY,
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float16,
    has_heads: bool = True,
    **fields: Any,
) -> Artifact:
    """Write an artifact with random weights; two passes in training make its batch statistics other than 0 and 1.

    Args:
        folder: Where to.
        sizes: TINY or FULL.
        seed: Of the weights.
        dtype: In which they are stored.
        has_heads: Without them it is an artifact of a MuQ.
        fields: Of the manifest, in the place of what it would be.
    """
    torch.manual_seed(seed)
    options = muq_options(sizes)
    model = build_muq(options)
    model.train()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:  # biases and norms, which would be 0 or 1
                parameter.add_(0.2 * torch.randn_like(parameter))
        for number in range(2):
            model(torch.from_numpy(sounds(1, 4, number)))
        model.eval()
        hidden = model(torch.from_numpy(sounds(3, 8))).last_hidden_state
    tensors = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if not name.startswith(_DEAD) and not name.endswith("num_batches_tracked")
    }
    dim = sizes["encoder_dim"]
    embeddings = hidden.mean(dim=1)
    if has_heads:
        tensors |= {
            "heads.embedding.weight": torch.randn(DIM, dim) / dim**0.5,
            "heads.embedding.bias": 0.1 * torch.randn(DIM),
            "heads.tags.weight": torch.randn(len(TAGS), dim) / dim**0.5,
            "heads.tags.bias": 0.1 * torch.randn(len(TAGS)),
        }
        embeddings = torch.nn.functional.linear(
            embeddings, tensors["heads.embedding.weight"], tensors["heads.embedding.bias"]
        )
    # What random weights make of any two sounds is nearly one vector: without its mean a comparison could not fail.
    tensors[CENTRING] = torch.nn.functional.normalize(embeddings).mean(dim=0)
    manifest: dict[str, Any] = {
        "name": "museed-mini" if has_heads else f"muq-{dim}",
        "architecture": "museed-mini/1" if has_heads else "muq/1",
        "config": options,
        "dim": DIM if has_heads else dim,
        "sample_rate_hz": 24_000,
        "window_seconds": 10.0,
        "hop_seconds": 10.0,
        "weights_sha256": "",
        "centring": CENTRING,
        "licence": "Apache-2.0",
        "precision": "fp16" if dtype == torch.float16 else "fp32",
        "random_pair_cosine": {"0.5": 0.1, "0.99": 0.6},
        "tags": TAGS if has_heads else (),
    }
    stored = {name: tensor.to(dtype).contiguous() for name, tensor in tensors.items()}
    return write_artifact(folder, save(stored), Manifest(**(manifest | fields)))


class MiniInTorch:
    """Runs an artifact through muq's own classes: the slow reference of both runtimes."""

    def __init__(self, artifact: Artifact) -> None:
        self.manifest = artifact.manifest
        tensors = {name: tensor.float() for name, tensor in load_file(artifact.weights_path).items()}
        self._heads = {name: tensors.pop(name) for name in list(tensors) if name.startswith("heads.")}
        centring = artifact.manifest.centring
        self._mean = None if centring is None else tensors.pop(centring).numpy()
        # Part of the state by accident: it follows from the config, which half precision would blur.
        tensors.pop("model.conformer.embed_positions.inv_freq", None)
        self._model = build_muq(artifact.manifest.config)
        missing, unexpected = self._model.load_state_dict(tensors, strict=False)
        assert unexpected == []
        assert [name for name in missing if not name.startswith((*_DEAD, "model.conformer.embed_positions"))] == []
        self._model.eval()

    def encode(self, windows: NDArray[np.float32]) -> Encoded:
        with torch.no_grad():
            hidden = self._model(
                torch.from_numpy(np.ascontiguousarray(windows)), output_hidden_states=False
            ).last_hidden_state
            pooled = hidden.mean(dim=1)
            vectors, logits = (
                torch.nn.functional.linear(
                    pooled, self._heads[f"heads.{head}.weight"], self._heads[f"heads.{head}.bias"]
                )
                for head in ("embedding", "tags")
            )
        return Encoded(centre(vectors.numpy(), self._mean), torch.sigmoid(logits).numpy())
