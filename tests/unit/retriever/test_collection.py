"""Each encoder has its own index; which one an unnamed encoder means follows what is served."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from services.chassis.errors import FailedPrecondition
from services.retriever.collection import Collection, Collections


@pytest.fixture
def collections(tmp_path: Path) -> Collections:
    def make(encoder_id: str, on_ready: Callable[[bool], Awaitable[None]]) -> Collection:
        return Collection(encoder_id, tmp_path, 10, 10.0, on_ready)

    async def set_serving(is_ready: bool) -> None: ...

    return Collections("enc", make, set_serving)


@pytest.mark.parametrize("encoder_id", ["", "enc"])
async def test_the_serving_encoder_is_accepted(collections: Collections, encoder_id: str) -> None:
    assert collections.of(encoder_id).encoder_id == "enc"


async def test_another_encoder_is_refused_and_the_serving_one_named(collections: Collections) -> None:
    with pytest.raises(FailedPrecondition) as refused:
        collections.of("other")
    error = refused.value
    assert (error.reason, error.field, error.value, error.limit) == ("ENCODER_MISMATCH", "encoder_id", "other", "enc")
