import threading
import time

import pytest

from services.embedder.onnx_session import Workers


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_the_order_of_the_items(threads: int) -> None:
    assert Workers(threads, "t").map(lambda item: item * item, range(20)) == [item * item for item in range(20)]


def test_items_are_worked_on_at_a_time() -> None:
    barrier = threading.Barrier(3, timeout=30)
    assert sorted(Workers(3, "t").map(lambda _: barrier.wait(), range(3))) == [0, 1, 2]


def test_one_thread_is_the_callers_own() -> None:
    assert Workers(1, "t").map(lambda _: threading.get_ident(), range(2)) == [threading.get_ident()] * 2


@pytest.mark.parametrize("threads", [1, 2])
def test_first_failure_is_raised(threads: int) -> None:
    def call(item: int) -> int:
        if item >= 2:
            raise ValueError(str(item))
        return item

    workers = Workers(threads, "t")
    with pytest.raises(ValueError, match="2"):
        workers.map(call, range(5))
    assert workers.map(call, range(2)) == [0, 1]


def test_nothing_is_at_work_any_more_when_a_failure_is_raised() -> None:
    begun, ended = threading.Event(), threading.Event()

    def call(item: int) -> None:
        if item == 0:
            begun.wait(10)
            raise ValueError("first")
        begun.set()
        time.sleep(0.1)
        ended.set()

    with pytest.raises(ValueError, match="first"):
        Workers(2, "t").map(call, range(2))
    assert ended.is_set()
