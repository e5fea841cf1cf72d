"""Each encoder has its own index; which one an unnamed encoder means follows what is served."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from museed.social.v1 import encoders_pb2
from services.chassis.errors import FailedPrecondition, Internal, Unavailable
from services.retriever.clients import Encoders, Kept
from services.retriever.live import collection
from services.retriever.live.collection import Collection, Collections


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


class Slow:
    """A collection that takes its time to end."""

    def __init__(self, encoder_id: str, on_ready: Callable[[bool], Awaitable[None]]) -> None:
        self.encoder_id, self.on_ready = encoder_id, on_ready
        self.live = SimpleNamespace(is_caught_up=False, close=lambda: None)
        self.consumer = SimpleNamespace(expect=lambda created_at, is_filling: self.expected.append(created_at))
        self.expected: list[Any] = []
        self.cancel_count = 0
        self.is_running = False
        self.may_end = asyncio.Event()

    async def run(self, bus: Any) -> None:
        self.is_running = True
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancel_count += 1
            try:
                await self.may_end.wait()
            except asyncio.CancelledError:
                self.cancel_count += 1
            raise
        finally:
            self.is_running = False


class Mesh:
    """Collections of slow ones, with what social answers and what health was told."""

    def __init__(self) -> None:
        self.made: list[Slow] = []
        self.told: list[bool] = []
        self.kept = Kept("")
        self.is_social_away = False
        self.asked = 0
        self.tidied_for: list[set[str]] = []
        self.collections = Collections(
            "enc", self._make, self._set_serving, lambda in_use: self.tidied_for.append(set(in_use))
        )

    def _make(self, encoder_id: str, on_ready: Callable[[bool], Awaitable[None]]) -> Any:
        self.made.append(Slow(encoder_id, on_ready))
        return self.made[-1]

    async def _set_serving(self, is_serving: bool) -> None:
        await asyncio.sleep(0)
        self.told.append(is_serving)

    async def fetch(self) -> Kept:
        await asyncio.sleep(0)
        self.asked += 1
        if self.is_social_away:
            raise Unavailable("social is away")
        return self.kept

    async def until(self, is_true: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not is_true():
                await asyncio.sleep(0.002)

    async def rounds(self, count: int = 3) -> None:
        """Wait until social was asked so many times more."""
        asked = self.asked
        await self.until(lambda: self.asked >= asked + count)


@pytest.fixture
async def mesh(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Mesh]:
    monkeypatch.setattr(collection, "_FOLLOW_INTERVAL_S", 0.002)
    found = Mesh()
    bus: Any = None
    task = asyncio.create_task(found.collections.run(bus, found.fetch))
    yield found
    for one in found.made:
        one.may_end.set()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert not any(one.is_running for one in found.made)


async def test_an_index_that_returns_begins_when_the_one_before_it_has_left_the_folder(mesh: Mesh) -> None:
    mesh.kept = Kept("enc", ("other",))
    await mesh.until(lambda: len(mesh.made) == 2 and mesh.made[1].is_running)
    mesh.kept = Kept("enc")
    await mesh.until(lambda: mesh.made[1].cancel_count == 1)
    mesh.kept = Kept("enc", ("other",))
    await mesh.rounds(5)
    before, again = mesh.made[1:]
    assert mesh.collections.of("other") is again  # type: ignore[comparison-overlap]  # a fake
    # It still saves what it had, undisturbed, and the new one has not touched the folder.
    assert (before.cancel_count, before.is_running, again.is_running) == (1, True, False)
    before.may_end.set()
    await mesh.until(lambda: again.is_running)
    assert not before.is_running


async def test_health_is_told_what_is_true_when_a_switch_and_a_lost_log_come_together(mesh: Mesh) -> None:
    mesh.kept = Kept("enc", ("other",))
    await mesh.until(lambda: len(mesh.made) == 2)
    first, second = mesh.made
    first.live.is_caught_up = second.live.is_caught_up = True
    await first.on_ready(True)
    assert mesh.told == [True]
    # The other's log begins anew just while it becomes the one that is served.
    second.live.is_caught_up = False
    mesh.kept = Kept("other", ("enc",))
    await mesh.until(lambda: mesh.collections.serving == "other")
    await asyncio.gather(second.on_ready(False), first.on_ready(True))
    assert mesh.told[-1] is False
    second.live.is_caught_up = True
    telling = asyncio.gather(second.on_ready(True), second.on_ready(False))
    await asyncio.sleep(0)
    second.live.is_caught_up = False
    await telling
    assert mesh.told[-1] is False


async def test_only_folders_that_nobody_uses_any_more_are_tidied(mesh: Mesh) -> None:
    mesh.tidied_for.clear()
    mesh.kept = Kept("")  # social has seen no encoder yet
    await mesh.rounds()
    assert mesh.tidied_for == []
    mesh.kept = Kept("enc", ("other",))
    await mesh.rounds()
    assert mesh.tidied_for == [{"enc", "other"}]
    mesh.kept = Kept("enc")
    await mesh.rounds()
    assert mesh.tidied_for == [{"enc", "other"}]  # it still saves what it had
    mesh.made[1].may_end.set()
    await mesh.rounds()
    assert mesh.tidied_for == [{"enc", "other"}, {"enc"}]


async def test_while_social_is_away_all_stays_and_that_is_said_once(
    mesh: Mesh, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "services.retriever.live.collection")
    mesh.is_social_away = True
    await mesh.rounds(5)
    assert [one.encoder_id for one in mesh.made] == ["enc"]
    mesh.is_social_away = False
    await mesh.rounds()
    assert [record.message for record in caplog.records] == ["encoders_stale", "encoders_fresh"]


@pytest.mark.parametrize("encoder_id", ["../../etc", "a.b", ">", ".windows", "x" * 101, "a/b", "a\n"])
async def test_an_encoder_that_can_be_no_folder_and_no_subject_is_refused(encoder_id: str) -> None:
    async def answer(request: object, timeout: float) -> encoders_pb2.GetServingEncoderResponse:
        await asyncio.sleep(0)
        roles = encoders_pb2.EncoderRoles(serving_id="enc", candidate_id=encoder_id)
        return encoders_pb2.GetServingEncoderResponse(roles=roles)

    encoders = Encoders(SimpleNamespace(unary_unary=lambda *_, **__: answer))  # type: ignore[arg-type]  # a fake
    with pytest.raises(Internal, match="social keeps the encoder"):
        await encoders.fetch_kept()
