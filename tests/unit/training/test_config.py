"""A configuration says exactly what it means, or raises."""

import dataclasses
from pathlib import Path

import pytest

from training.config import Config
from training.config_file import CONFIGS, config_names, load_config
from training.errors import ConfigInvalid


@pytest.mark.parametrize("name", config_names())
def test_shipped_configs_load(name: str) -> None:
    assert isinstance(load_config(CONFIGS / f"{name}.toml"), Config)


def test_overrides_win_over_the_file_and_keep_types() -> None:
    config = load_config(
        CONFIGS / "mini.toml", ["--run.steps=7", "loss.tags=1", "--run.precision=fp32", "--network.base=models/x"]
    )
    assert (config.run.steps, config.loss.tags, config.run.precision) == (7, 1.0, "fp32")
    assert type(config.loss.tags) is float
    assert config.network.base == "models/x"
    assert config.run.batch == load_config(CONFIGS / "mini.toml").run.batch


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("--run.stepz=7", "there is no key run.stepz"),
        ("--rum.steps=7", "there is no section rum"),
        ("--run.steps=7.5", "run.steps is 7.5, it must be int"),
        ("--run.steps=true", "run.steps is True, it must be int"),
        ("--run.steps='7'", "run.steps is '7', it must be int"),
        ("--run.steps=0", "run.steps is 0, the minimum is 1"),
        ("--run.precision=fp16", "run.precision is 'fp16', it must be 'fp32' or 'bf16'"),
        ("--loss.nt_xent=1", "crops.views is 1, loss.nt_xent and loss.triplet need 2"),
        ("--network.encoder_dim=255", "network.encoder_dim is 255, it must be a multiple of"),
        ("--crops.seconds=2", "crops.seconds is 2, the minimum is 3"),
        ("--optimiser.learning_rate=-1", "optimiser.learning_rate is -1.0, the minimum is 0"),
        ("--optimiser.learning_rate=nan", "optimiser.learning_rate is nan, the minimum is 0"),
        ("--optimiser.clip_norm=inf", "optimiser.clip_norm is inf, the minimum is 1e-06"),
        ("--network.attention_heads=0", "network.attention_heads is 0, the minimum is 1"),
        ("--crops.equaliser=5", "crops.equaliser is 5.0, the maximum is 1"),
        ("--network.embedding_dim=128", "network.embedding_dim is 128, loss.cosine, patches and scale need 400"),
        ("--network.tags=0", "network.tags is 0, loss.tags needs 100"),
        ("--run.batch=2", "run.batch is 2, loss.similarity needs at least 3 crops"),
        ("--run.steps", "is no --section.key=value"),
        ("steps=7", "is no --section.key=value"),
    ],
)
def test_a_fault_names_the_key_the_value_and_the_limit(override: str, told: str) -> None:
    with pytest.raises(ConfigInvalid, match=told):
        load_config(CONFIGS / "mini.toml", [override])


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load_config(CONFIGS / "mini.toml", ["--run.stepz=7", "--run.steps=x", "--loss.tags=false"])
    assert len(str(caught.value).splitlines()) == 3


def test_a_config_without_a_loss_is_refused() -> None:
    none = [f"--loss.{name}=0" for name in ("cosine", "patches", "scale", "similarity", "tags")]
    with pytest.raises(ConfigInvalid, match="every weight of loss is 0"):
        load_config(CONFIGS / "mini.toml", none)


def test_a_value_where_a_section_should_be_is_told(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("run = 3\n", encoding="utf-8")
    with pytest.raises(ConfigInvalid, match="there is no section run"):
        load_config(path, ["--run.steps=3"])
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigInvalid, match=r"run\.toml: 'utf-8' codec"):
        load_config(path)


def test_a_config_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        load_config(CONFIGS / "mini.toml").run.steps = 1  # type: ignore[misc]


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("steps = ", encoding="utf-8")
    with pytest.raises(ConfigInvalid, match=r"x\.toml"):
        load_config(tmp_path / "x.toml")
    with pytest.raises(ConfigInvalid, match=r"missing\.toml"):
        load_config(tmp_path / "missing.toml")
