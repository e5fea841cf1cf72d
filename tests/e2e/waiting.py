"""Waits of the tests of a whole mesh: each has a deadline of its own, so that none eats another's."""

import time
from collections.abc import Callable
from typing import Any, TypeVar

from deploy.local.client import ClientError, GatewayClient

PATIENCE_S = 180.0
_EVERY_S = 0.1
T = TypeVar("T")

_JOB = """query($id: ID!) { job(id: $id, waitMs: 2000) {
  jobId kind state isFinished failureReason failureMessage playlistId } }"""


def eventually(read: Callable[[], T], is_so: Callable[[T], object] = bool) -> T:
    """Read until it is so, and return what was read then.

    Raises:
        AssertionError: It did not become so in time; the text shows what was read last.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not is_so(found := read()):
        assert time.monotonic() < deadline, found
        time.sleep(_EVERY_S)
    return found


def patiently(call: Callable[[], T], *also: type[Exception]) -> T:
    """Repeat what a kill may make fail, as a person would, until it ends well.

    Args:
        call: What is repeated.
        also: Which errors are waited out beside those of the client.
    """
    deadline = time.monotonic() + PATIENCE_S
    waited_out: tuple[type[Exception], ...] = (ClientError, *also)
    while True:
        try:
            return call()
        except waited_out:
            if time.monotonic() > deadline:
                raise
            time.sleep(_EVERY_S)


def ended(client: GatewayClient, job_id: str) -> dict[str, Any]:
    """Wait for a job's end and return it."""
    return eventually(lambda: client.query(_JOB, id=job_id)["job"], lambda job: job["isFinished"])
