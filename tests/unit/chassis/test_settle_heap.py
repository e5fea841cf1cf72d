import gc
import weakref

from services.chassis.server import settle_heap


class _Cycle:
    def __init__(self) -> None:
        self.own = self


def test_what_lives_is_out_of_sight_and_what_does_not_is_gone() -> None:
    gone = weakref.ref(_Cycle())
    kept = _Cycle()
    before = gc.get_freeze_count()
    settle_heap()
    try:
        assert gone() is None
        assert gc.get_freeze_count() > before
        assert not any(found is kept for found in gc.get_objects())
    finally:
        gc.unfreeze()
