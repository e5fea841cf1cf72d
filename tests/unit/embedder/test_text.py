"""The queue around the text model: one prompt at a time, bounded, and nothing computed for nobody."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from services.chassis.errors import DeadlineExceeded
from services.embedder.artifact import Manifest
from services.embedder.errors import EmbedderBusy, EncoderMismatch, EncodingFailed, TextInvalid, WordsUnknown
from services.embedder.text import TextEmbedder, VectorCache
from tests.fakes.encoder import MANIFEST


@dataclass
class FakeTextModel:
    """A prompt's vector tells its length; "poison" raises, "nan" is not finite, "long" is refused."""

    manifest: Manifest = MANIFEST
    prompts: list[str] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)
    # Cleared, it holds every call until it is set.
    open: threading.Event = field(default_factory=threading.Event)
    began: threading.Event = field(default_factory=threading.Event)

    def embed_text(self, prompt: str) -> NDArray[np.float32]:
        self.prompts.append(prompt)
        self.threads.add(threading.get_ident())
        self.began.set()
        self.open.wait()
        if prompt == "poison":
            raise RuntimeError("poison")
        if prompt == "long":
            raise TextInvalid("too many tokens", field="text")
        return np.array([np.nan if prompt == "nan" else len(prompt), 0], np.float32)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def model() -> FakeTextModel:
    model = FakeTextModel()
    model.open.set()
    return model


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def text(model: FakeTextModel, clock: Clock) -> Iterator[TextEmbedder]:
    embedder = TextEmbedder(model, max_waiting=3, cached=2, clock=clock)
    yield embedder
    model.open.set()
    embedder.close()


async def hold(text: TextEmbedder, model: FakeTextModel, prompt: str) -> "asyncio.Task[object]":
    """Let the model begin with a prompt and stay at it."""
    model.open.clear()
    model.began.clear()
    task: asyncio.Task[object] = asyncio.create_task(text.embed(prompt))
    while not model.began.is_set():
        await asyncio.sleep(0)
    return task


async def waiting(text: TextEmbedder, prompt: str, time_left_s: float | None = None) -> "asyncio.Task[object]":
    task: asyncio.Task[object] = asyncio.create_task(text.embed(prompt, time_left_s=time_left_s))
    await asyncio.sleep(0)
    return task


async def test_prompts_run_one_after_the_other_in_one_thread(text: TextEmbedder, model: FakeTextModel) -> None:
    found = await asyncio.gather(*(text.embed("a" * length) for length in (3, 1, 2)))
    assert [embedded.vector[0] for embedded in found] == [3, 1, 2]
    assert model.prompts == ["aaa", "a", "aa"]
    assert len(model.threads) == 1
    assert threading.get_ident() not in model.threads


async def test_korean_is_embedded_as_the_prompt_of_the_table(text: TextEmbedder, model: FakeTextModel) -> None:
    assert (await text.embed(" 신나는  노래 ")).prompt == "exciting upbeat music"
    assert model.prompts == ["exciting upbeat music"]


async def test_known_prompts_are_not_run_again(text: TextEmbedder, model: FakeTextModel) -> None:
    first = await text.embed("calm")
    again = await text.embed("  calm ")
    assert again.vector is first.vector
    assert model.prompts == ["calm"]


async def test_prompt_used_longest_ago_is_forgotten(text: TextEmbedder, model: FakeTextModel) -> None:
    for prompt in ("a", "b", "a", "c", "a", "b"):
        await text.embed(prompt)
    assert model.prompts == ["a", "b", "c", "b"]


async def test_prompt_that_several_wait_for_runs_once(text: TextEmbedder, model: FakeTextModel) -> None:
    held = await hold(text, model, "held")
    both = [await waiting(text, "same") for _ in range(2)]
    model.open.set()
    await asyncio.gather(held, *both)
    assert model.prompts == ["held", "same"]


async def test_full_queue_refuses_with_a_hint_and_takes_again(text: TextEmbedder, model: FakeTextModel) -> None:
    held = await hold(text, model, "held")
    rest = [await waiting(text, prompt) for prompt in ("b", "c")]
    with pytest.raises(EmbedderBusy) as caught:
        await asyncio.wait_for(text.embed("d"), 60)
    assert (caught.value.value, caught.value.limit, caught.value.retry_after_ms) == ("3", "3", 300)
    model.open.set()
    await asyncio.gather(held, *rest)
    await text.embed("d")
    assert model.prompts == ["held", "b", "c", "d"]


async def test_known_prompt_is_told_while_the_model_is_at_work(text: TextEmbedder, model: FakeTextModel) -> None:
    await text.embed("known")
    held = [await hold(text, model, "held"), await waiting(text, "b"), await waiting(text, "c")]
    assert (await text.embed("known")).vector[0] == 5
    model.open.set()
    await asyncio.gather(*held)


async def test_expired_prompt_costs_nothing(text: TextEmbedder, model: FakeTextModel, clock: Clock) -> None:
    held = await hold(text, model, "held")
    late, early = await waiting(text, "late", 5), await waiting(text, "early", 5.1)
    clock.now += 5
    model.open.set()
    with pytest.raises(DeadlineExceeded):
        await late
    await asyncio.gather(held, early)
    assert model.prompts == ["held", "early"]


async def test_caller_that_left_costs_nothing(text: TextEmbedder, model: FakeTextModel) -> None:
    held = await hold(text, model, "held")
    left = await waiting(text, "left")
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    rest = [await waiting(text, prompt) for prompt in ("b", "c")]  # its place is free again
    model.open.set()
    await asyncio.gather(held, *rest)
    assert model.prompts == ["held", "b", "c"]


async def test_other_encoder_is_refused_naming_the_loaded_one(text: TextEmbedder, model: FakeTextModel) -> None:
    with pytest.raises(EncoderMismatch) as caught:
        await text.embed("calm", encoder_id="other-1")
    assert (caught.value.value, caught.value.limit) == ("other-1", MANIFEST.encoder_id)
    assert (await text.embed("calm", encoder_id=MANIFEST.encoder_id)).prompt == "calm"
    assert model.prompts == ["calm"]


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [("", TextInvalid), ("a\0", TextInvalid), ("아무말", WordsUnknown)],
    ids=["empty", "control", "Korean"],
)
async def test_bad_text_never_reaches_the_model(
    text: TextEmbedder, model: FakeTextModel, prompt: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        await text.embed(prompt)
    assert model.prompts == []


@pytest.mark.parametrize(
    ("prompt", "kind"), [("poison", EncodingFailed), ("nan", EncodingFailed), ("long", TextInvalid)]
)
async def test_failure_is_coded_and_fails_alone(
    text: TextEmbedder, model: FakeTextModel, prompt: str, kind: type[Exception]
) -> None:
    for _ in range(2):  # and is not remembered
        with pytest.raises(kind):
            await text.embed(prompt)
    assert (await text.embed("calm")).vector[0] == 4
    assert model.prompts == [prompt, prompt, "calm"]


def test_cache_of_no_size_keeps_nothing() -> None:
    cache = VectorCache(0)
    cache.put("a", np.zeros(2, np.float32))
    assert cache.get("a") is None
