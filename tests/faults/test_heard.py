"""An internal error and a log-in that was lost are found, though asking again helped."""

import pytest

from tests.faults.findings import Kind
from tests.faults.heard import check_heard
from tests.faults.history import Operation, Outcome


@pytest.mark.parametrize(
    ("heard", "do_clocks_jump", "found"),
    [
        (["UNAVAILABLE", "NO_ANSWER"], False, []),
        (["UNAVAILABLE", "INTERNAL"], False, [Kind.REFUSED]),
        (["TOKEN_EXPIRED"], False, [Kind.LOST]),
        (["TOKEN_EXPIRED", "TOKEN_INVALID"], True, []),
        (["SESSION_REVOKED", "LOGIN_REQUIRED"], True, [Kind.LOST, Kind.LOST]),
    ],
)
def test_what_nobody_may_be_told_is_found(heard: list[str], do_clocks_jump: bool, found: list[Kind]) -> None:
    told = Operation(0, "ann", "like", {"playlist_id": "p1"}, Outcome.DONE, {}, 1 + len(heard), heard)
    assert [finding.kind for finding in check_heard([told], do_clocks_jump=do_clocks_jump)] == found
