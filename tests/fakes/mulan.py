"""A MuQ-MuLan of the real package's classes, tiny and untrained, and the folder that its files lie in."""

import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

DIM = 32
HIDDEN = 16
MAX_TOKENS = 126
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789-,&'悲伤的音乐"
_WAV2VEC2 = {
    "activation_dropout": 0.0,
    "apply_spec_augment": False,
    "attention_dropout": 0.0,
    "conformer_conv_dropout": 0.0,
    "conv_depthwise_kernel_size": 31,
    "feat_extract_activation": "gelu",
    "feat_extract_norm": "group",
    "feat_proj_dropout": 0.0,
    "final_dropout": 0.0,
    "hidden_act": "swish",
    "hidden_dropout": 0.0,
    "hidden_size": HIDDEN,
    "initializer_range": 0.02,
    "intermediate_size": 32,
    "layer_norm_eps": 1e-5,
    "layerdrop": 0.0,
    "max_source_positions": 5000,
    "num_attention_heads": 2,
    "num_conv_pos_embedding_groups": 4,
    "num_conv_pos_embeddings": 16,
    "num_hidden_layers": 1,
    "position_embeddings_type": "rotary",
    "rotary_embedding_base": 10000,
}
_TRANSFORMER = {"dim": HIDDEN, "tf_depth": 2, "heads": 2, "dim_head": 8}


def save_tokenizer(path: Path) -> None:
    """Write a tokenizer of letters with the marks and ids of XLM-RoBERTa's."""
    marks = ["<s>", "<pad>", "</s>", "<unk>"]
    letters = ["▁", *_LETTERS]
    vocabulary: list[tuple[str, float]] = [(token, 0.0) for token in marks]
    vocabulary += [(letter, -1.0) for letter in letters] + [("<mask>", 0.0)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(path))


def save_tiny_mulan(folder: Path, seed: int = 0) -> Any:  # a MuQMuLan, whose package ships no types
    """Write a MuQ-MuLan into a folder and return the package's own model; the towers' weights lie beside."""
    with warnings.catch_warnings():
        # muq, x_clip and transformers warn at import of what is not ours to change.
        warnings.simplefilter("ignore")
        from muq import MuQ, MuQConfig, MuQMuLan
        from transformers import XLMRobertaConfig, XLMRobertaModel, XLMRobertaTokenizerFast

    torch.manual_seed(seed)
    muq_folder, text_folder = folder / "muq", folder / "xlm-roberta-base"
    MuQ(
        MuQConfig(
            encoder_dim=HIDDEN,
            encoder_depth=1,
            conv_dim=4,
            codebook_size=16,
            w2v2_config=_WAV2VEC2,
            stat={"melspec_2048_mean": 6.8, "melspec_2048_std": 18.4},
        )
    ).save_pretrained(muq_folder)
    text_folder.mkdir()
    save_tokenizer(text_folder / "tokenizer.json")
    make: Any = XLMRobertaTokenizerFast  # untyped there, as the two below
    tokenizer = make(tokenizer_file=str(text_folder / "tokenizer.json"))
    tokenizer.save_pretrained(text_folder)
    text_model: Any = XLMRobertaModel
    options: Any = XLMRobertaConfig
    text_model(
        options(
            vocab_size=len(tokenizer),
            hidden_size=HIDDEN,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            max_position_embeddings=MAX_TOKENS + 2,
            type_vocab_size=1,
            pad_token_id=1,
        )
    ).save_pretrained(text_folder)
    torch.manual_seed(seed)
    # As the hub's config.json has it, with folders in the place of names.
    config = {
        "mulan": {"sr": 24_000, "clip_secs": 10, "dim_latent": DIM, "rank_contrast": True},
        "audio_model": {"name": str(muq_folder), "model_dim": HIDDEN, "use_layer_idx": -1},
        "text_model": {"name": str(text_folder), "model_dim": HIDDEN, "use_layer_idx": -1},
        "audio_transformer": _TRANSFORMER,
        "text_transformer": _TRANSFORMER,
    }
    model = MuQMuLan(config)
    _spread(model)
    model.save_pretrained(folder)
    return model.eval()


def _spread(model: Any) -> None:  # a MuQMuLan
    """Make untrained vectors lie apart: without it all sounds, and all words, are nearly one."""
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            if name.endswith("_latents.bias") or name.endswith("proj.bias"):
                tensor.zero_()
            elif tensor.dim() >= 2:
                tensor.mul_(4)


def strip_towers(folder: Path) -> None:
    """Leave of the towers' folders what services/embedder/README.md asks for: no weights."""
    for part, kept in (("muq", ["config.json"]), ("xlm-roberta-base", ["config.json", "tokenizer.json"])):
        for path in (folder / part).iterdir():
            if path.name not in kept:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
