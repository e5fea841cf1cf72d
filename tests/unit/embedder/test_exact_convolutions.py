"""cuDNN's flag while several networks run."""

from collections.abc import Iterator

import pytest
import torch

from services.embedder.exact_convolutions import exact_convolutions


@pytest.fixture(autouse=True)
def _rounding() -> Iterator[None]:
    """Begin with cuDNN's default."""
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=True):
        yield


def is_rounded() -> bool:
    return torch.backends.cudnn.allow_tf32


def test_fp32_is_exact_while_it_runs() -> None:
    with exact_convolutions("fp32"):
        assert not is_rounded()
    assert is_rounded()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precisions_leave_the_flag(precision: str) -> None:
    with exact_convolutions(precision):
        assert is_rounded()


def test_flag_is_put_back_after_a_failure() -> None:
    with pytest.raises(RuntimeError, match="of the network"), exact_convolutions("fp32"):
        raise RuntimeError("of the network")
    assert is_rounded()


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_flag_stays_until_the_last_of_several_runs_ends(order: tuple[int, int]) -> None:
    runs = [exact_convolutions("fp32"), exact_convolutions("fp32")]
    for run in runs:
        run.__enter__()
    runs[order[0]].__exit__(None, None, None)
    assert not is_rounded()
    runs[order[1]].__exit__(None, None, None)
    assert is_rounded()
