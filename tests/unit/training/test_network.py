"""What the network says of a crop and of the patches under it."""

from dataclasses import replace
from pathlib import Path

import muq
import torch

from tests.unit.training.networks import TINY
from training.network import Network, muq_options
from training.teacher import patch_count


def test_patches_are_the_head_on_the_frames_under_them() -> None:
    torch.manual_seed(1)
    network = Network(TINY).double().eval()
    for seconds in (3, 4, 10):
        mel = torch.randn(2, 100 * seconds, 128, dtype=torch.float64)
        kept: list[torch.Tensor] = []
        hook = network.muq.model.conformer.register_forward_hook(
            lambda _module, _inputs, output: kept.append(output.last_hidden_state)  # noqa: B023
        )
        with torch.no_grad():
            outputs = network(mel)
            assert outputs.patches.shape == (2, patch_count(seconds), 400)
            for at in range(patch_count(seconds)):
                under = kept[-1][:, 25 * at : 25 * at + 75]  # three seconds of 25 frames
                torch.testing.assert_close(outputs.patches[:, at], network.embedding(under.mean(dim=1)))
        hook.remove()
    # The one patch of three seconds is the whole crop.
    with torch.no_grad():
        whole = network(torch.randn(2, 300, 128, dtype=torch.float64))
    torch.testing.assert_close(whole.patches[:, 0], whole.vectors)


def test_a_base_that_drops_out_says_the_same_while_it_learns(tmp_path: Path) -> None:
    options = muq_options(TINY)
    chances = ("attention_dropout", "activation_dropout", "conformer_conv_dropout", "hidden_dropout", "layerdrop")
    options["w2v2_config"] |= dict.fromkeys(chances, 0.5) | {"layerdrop": 1.0}
    muq.MuQ(muq.MuQConfig(**options, codebook_size=16)).save_pretrained(tmp_path)
    mel = torch.randn(2, 400, 128)
    network = Network(replace(TINY, base=str(tmp_path), frozen_batch_norm=True))
    with torch.no_grad():
        torch.testing.assert_close(network.train()(mel).vectors, network.eval()(mel).vectors, rtol=0, atol=0)
