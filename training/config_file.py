"""Reads a run's configuration: a TOML file, then `--section.key=value`. Everything unknown or impossible raises."""

import math
import tomllib
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from training.config import TEACHER_DIM, TEACHER_TAGS, Config
from training.errors import ConfigInvalid

CONFIGS = Path(__file__).with_name("configs")
# Of `training.aggregator`; all others are of `training`.
AGGREGATOR_CONFIG = CONFIGS / "aggregator.toml"

_Kind = TypeVar("_Kind")
_LEAST_ROWS = 3  # fewer have one pair at most, and no variance


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read a file, and then `section.key=value`, each of the type that the key has.

    Raises:
        ConfigInvalid: All faults together: unknown sections and keys, wrong types, values that cannot be meant.
    """
    return read_sections(path, overrides, Config, _check)


def config_names() -> list[str]:
    """Name the configurations of `training` that are shipped."""
    return sorted(path.stem for path in CONFIGS.glob("*.toml") if path != AGGREGATOR_CONFIG)


def read_sections(
    path: Path, overrides: Sequence[str], kind: type[_Kind], check: Callable[[_Kind], list[str]]
) -> _Kind:
    """Read a configuration of any kind.

    Args:
        path: A TOML file.
        overrides: Each `section.key=value`.
        kind: A dataclass whose fields are sections, which are dataclasses.
        check: Tells what cannot be meant, a sentence for each fault.

    Raises:
        ConfigInvalid: As for `load_config`.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigInvalid(f"{path}: {error}") from error
    for override in overrides:
        _set(tables, override)
    faults: list[str] = []
    sections: dict[str, Any] = {}
    assert is_dataclass(kind)
    kinds = {one.name: typing.cast(type[Any], one.type) for one in fields(kind)}
    for name, table in tables.items():
        if name not in kinds or not isinstance(table, dict):
            faults.append(f"there is no section {name}: {', '.join(kinds)}")
        else:
            sections[name] = _read_section(name, table, kinds[name], faults)
    if not faults:
        config = kind(**sections)
        faults += check(config)
    if faults:
        raise ConfigInvalid("\n".join(faults))
    return config


def too_small(values: Mapping[str, Any], at_least: Mapping[str, float]) -> list[str]:  # values of TOML
    """Tell which numbers are not finite or lie below their minimum, which is 0 unless said otherwise."""
    return [
        f"{key} is {value}, the minimum is {at_least.get(key, 0)}"
        for key, value in values.items()
        if isinstance(value, (int, float)) and not (math.isfinite(value) and value >= at_least.get(key, 0))
    ]


def _set(tables: dict[str, Any], override: str) -> None:
    key, equals, text = override.removeprefix("--").partition("=")
    section, dot, name = key.partition(".")
    if not equals or not dot:
        raise ConfigInvalid(f"{override!r} is no --section.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    table = tables.setdefault(section, {})
    if isinstance(table, dict):  # else the file has a value of that name, which is told with the other faults
        table[name] = value


def _read_section(name: str, table: Mapping[str, Any], kind: type[Any], faults: list[str]) -> Any:  # a section
    assert is_dataclass(kind)
    wanted = typing.get_type_hints(kind)
    for key, value in table.items():
        if key not in wanted:
            faults.append(f"there is no key {name}.{key}: {', '.join(wanted)}")
        elif not _fits(value, wanted[key]):
            faults.append(f"{name}.{key} is {value!r}, it must be {_told(wanted[key])}")
    known = {key: value for key, value in table.items() if key in wanted and _fits(value, wanted[key])}
    return kind(**{key: float(value) if wanted[key] is float else value for key, value in known.items()})


def _fits(value: object, wanted: Any) -> bool:  # a type or a Literal
    if typing.get_origin(wanted) is Literal:
        return value in typing.get_args(wanted)
    if wanted is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return type(value) is wanted


def _told(wanted: Any) -> str:  # a type or a Literal
    return " or ".join(map(repr, typing.get_args(wanted))) if typing.get_args(wanted) else str(wanted.__name__)


def _check(config: Config) -> list[str]:
    faults: list[str] = []
    at_least = {
        "network.encoder_dim": 8, "network.encoder_depth": 1, "network.conv_dim": 1, "network.attention_heads": 1,
        "network.intermediate_size": 1, "crops.seconds": 3, "crops.views": 1, "run.steps": 1, "run.batch": 1,
        "run.micro_batch": 1, "run.validate_steps": 1, "run.checkpoint_steps": 1, "run.settle_windows": 1,
        "corpus.validation_chapters": 1,
        "corpus.take_seconds": 12.0, "loss.temperature": 1e-4, "optimiser.clip_norm": 1e-6,
    }  # fmt: skip
    at_most = {
        "crops.equaliser": 1, "crops.low_pass": 1, "crops.noise": 1, "crops.masks": 1, "crops.warp": 1,
        "crops.views": 2, "corpus.take_seconds": 600.0,
    }  # fmt: skip
    faults += too_small(config.flat(), at_least)
    for key, value in config.flat().items():
        if key in at_most and value > at_most[key]:
            faults.append(f"{key} is {value}, the maximum is {at_most[key]}")
    return faults or _check_together(config)


def _check_together(config: Config) -> list[str]:
    faults = []
    if config.network.encoder_dim % config.network.attention_heads:
        faults.append(
            f"network.encoder_dim is {config.network.encoder_dim}, it must be a multiple of"
            f" network.attention_heads ({config.network.attention_heads})"
        )
    if (config.loss.nt_xent or config.loss.triplet) and config.crops.views != 2:
        faults.append(f"crops.views is {config.crops.views}, loss.nt_xent and loss.triplet need 2")
    loss, network = config.loss, config.network
    if not any((loss.cosine, loss.patches, loss.scale, loss.similarity, loss.tags, loss.nt_xent, loss.triplet)):
        faults.append("every weight of loss is 0: there is nothing to learn")
    if (loss.cosine or loss.patches or loss.scale) and network.embedding_dim != TEACHER_DIM:
        faults.append(
            f"network.embedding_dim is {network.embedding_dim}, loss.cosine, patches and scale need {TEACHER_DIM}"
        )
    if loss.tags and network.tags != TEACHER_TAGS:
        faults.append(f"network.tags is {network.tags}, loss.tags needs {TEACHER_TAGS}")
    if loss.similarity and config.run.batch * config.crops.views < _LEAST_ROWS:
        faults.append(f"run.batch is {config.run.batch}, loss.similarity needs at least {_LEAST_ROWS} crops")
    shares = (config.crops.original, config.crops.varied, config.crops.mixed, config.crops.rendered)
    if sum(shares) <= 0:
        faults.append("crops.original, varied, mixed and rendered are all 0: there is nothing to learn from")
    return faults
