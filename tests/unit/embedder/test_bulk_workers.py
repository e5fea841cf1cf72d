"""Which worker gets which part, around actors that are none."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import ActorDiedError, RayTaskError

from services.embedder.bulk import workers
from services.embedder.bulk.__main__ import main, read_arguments
from services.embedder.bulk.output import PartReport
from services.embedder.bulk.rows import Part, Row
from services.embedder.bulk.workers import RunFailed, Share, Workers, fitted, join, places
from services.embedder.settings import EncodingSettings

Outcome = PartReport | Exception


def failure(text: str) -> RayTaskError:
    return RayTaskError("hear", text, RuntimeError(text))


class FakeRay:
    """Ends tasks in the order in which they came, as its script says for a part; parts without one are heard."""

    def __init__(self, **script: list[Outcome]) -> None:
        self.script = {int(name.removeprefix("part")): list(outcomes) for name, outcomes in script.items()}
        self.at_work: list[int] = []
        self.begun: list[tuple[int, int]] = []
        self.killed: list[Any] = []
        self.resources: dict[str, float] = {}
        self.options: dict[str, object] = {}
        self.starts: list[Exception | None] = []
        self.joined: list[dict[str, object]] = []
        self.left = 0
        self._actors = 0

    def init(self, **given: object) -> None:
        self.joined.append(given)
        if self.starts and (error := self.starts.pop(0)) is not None:
            raise error

    def shutdown(self) -> None:
        self.left += 1

    def remote(self, kind: object) -> object:
        def make(*_: object) -> object:
            number, self._actors = self._actors, self._actors + 1

            def hear(part: Part) -> tuple[int, int]:
                self.begun.append((number, part.number))
                self.at_work.append(part.number)
                return number, len(self.begun)

            return SimpleNamespace(hear=SimpleNamespace(remote=hear), number=number)

        def options(**given: object) -> object:
            self.options = given
            return SimpleNamespace(remote=make)

        return SimpleNamespace(options=options)

    def wait(self, refs: list[tuple[int, int]], num_returns: int) -> tuple[list[object], list[object]]:
        return [min(refs, key=lambda ref: ref[1])], []

    def get(self, ref: tuple[int, int]) -> PartReport:
        number = self.begun[ref[1] - 1][1]
        self.at_work.remove(number)
        outcome = self.script[number].pop(0) if self.script.get(number) else PartReport(number, 1, {})
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def kill(self, actor: Any, no_restart: bool) -> None:
        assert not no_restart
        self.killed.append(actor.number)

    def cluster_resources(self) -> dict[str, float]:
        return self.resources


def use(ray: FakeRay, monkeypatch: pytest.MonkeyPatch, count: int = 2) -> Workers:
    monkeypatch.setattr(workers, "ray", ray)
    return Workers(count, Share(2, 1), EncodingSettings(), Path("/music"), Path("/out"))


def some(count: int) -> list[Part]:
    return [Part(number, (Row(number, str(number)),)) for number in range(count)]


def test_no_more_of_the_manifest_is_read_than_is_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    ray, told = FakeRay(), list[int]()
    read = list[int]()

    def parts() -> Iterator[Part]:
        for part in some(5):
            read.append(part.number)
            assert len(read) - len(told) <= 2
            yield part

    use(ray, monkeypatch).hear(parts(), lambda report: told.append(report.number))

    assert told == [0, 1, 2, 3, 4]
    assert ray.options == {"max_restarts": 1000, "max_task_retries": -1, "num_cpus": 2, "num_gpus": 1}


def test_the_part_of_a_worker_that_is_gone_goes_to_another(monkeypatch: pytest.MonkeyPatch) -> None:
    ray, told = FakeRay(part0=[ActorDiedError()]), list[int]()

    use(ray, monkeypatch).hear(iter(some(3)), lambda report: told.append(report.number))

    gone = ray.begun[0][0]
    assert sorted(told) == [0, 1, 2]
    assert {actor for actor, _ in ray.begun[2:]} == {1 - gone}


def test_without_workers_the_run_ends_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    ray, told = FakeRay(part0=[ActorDiedError()], part1=[ActorDiedError()]), list[int]()

    with pytest.raises(RunFailed, match="every worker is gone"):
        use(ray, monkeypatch).hear(iter(some(9)), lambda report: told.append(report.number))

    assert told == []


def test_a_worker_whose_part_failed_is_started_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    ray, told = FakeRay(part1=[failure("the device is gone"), failure("the device is gone")]), list[int]()

    use(ray, monkeypatch).hear(iter(some(3)), lambda report: told.append(report.number))

    assert sorted(told) == [0, 1, 2]
    assert len(ray.killed) == 2


def test_a_part_that_fails_three_times_ends_the_run_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = FakeRay(part1=[failure("the disk is full")] * 3)

    with pytest.raises(RunFailed, match="part 1: the disk is full"):
        use(ray, monkeypatch).hear(iter(some(3)), lambda report: None)


@pytest.mark.parametrize(
    ("resources", "share", "count"),
    [
        ({"CPU": 16.0}, Share(2, 0), 8),
        ({"CPU": 16.0, "GPU": 3.0}, Share(2, 1), 3),
        ({"CPU": 16.0, "GPU": 1.0}, Share(2, 0.25), 4),
        ({"CPU": 1.0}, Share(2, 0), 1),
    ],
)
def test_a_cluster_holds_as_many_workers_as_fit(
    resources: dict[str, float], share: Share, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ray = FakeRay()
    ray.resources = resources
    monkeypatch.setattr(workers, "ray", ray)

    assert places(share) == count


def test_a_ray_of_this_machine_that_starts_slowly_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    ray = FakeRay()
    ray.starts = [Exception("timed out"), Exception("timed out"), None]
    monkeypatch.setattr(workers, "ray", ray)

    join(None)

    assert (len(ray.joined), ray.left) == (3, 2)
    assert ray.joined[0]["object_store_memory"] == 128 * 2**20
    ray.starts = [Exception("timed out")] * 5
    with pytest.raises(RunFailed, match="Ray cannot be joined: timed out"):
        join(None)


@pytest.mark.parametrize("address", ["ray-head:6379", None], ids=["named", "environment"])
def test_a_cluster_is_joined_once_and_as_it_is(address: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray-head:6379")
    ray = FakeRay()
    ray.starts = [ConnectionError("no cluster there")]
    monkeypatch.setattr(workers, "ray", ray)

    with pytest.raises(RunFailed, match="no cluster there"):
        join(address)

    assert ray.joined == [{"address": address, "log_to_driver": False, "ignore_reinit_error": True}]


def test_a_worker_takes_its_own_cores_and_what_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    own = fitted(EncodingSettings(), Share(3, 0))
    given = fitted(EncodingSettings(model_threads=1, bulk_decoders=5), Share(3, 0))

    assert (own.model_threads, own.bulk_decoders) == (3, 3)
    assert (given.model_threads, given.bulk_decoders) == (1, 5)


def test_what_cannot_begin_is_told_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none.jsonl"), str(tmp_path / "out")]) == 1

    assert capsys.readouterr().err == f"{tmp_path / 'none.jsonl'}: No such file or directory\n"
    for options in (["--part-rows", "0"], ["--cpus", "0"], ["--workers", "-1"], ["--gpus", "-1"]):
        with pytest.raises(SystemExit):
            read_arguments(["manifest", "out", *options])
