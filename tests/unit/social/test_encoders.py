"""Two encoders are kept at a time: the serving one, and the one that comes or else the one that was."""

import pytest

from services.social.domain.encoders import Role, Roles
from services.social.domain.ids import EncoderId

A, B, C, D = (EncoderId(name) for name in "abcd")


@pytest.mark.parametrize(
    ("roles", "kept"),
    [
        (Roles(A, None, None), [A]),
        (Roles(A, B, None), [A, B]),
        (Roles(B, None, A), [B, A]),
        (Roles(B, C, A), [B, C]),
        (Roles(B, A, A), [B, A]),
    ],
)
def test_kept_are_at_most_two(roles: Roles, kept: list[EncoderId]) -> None:
    assert roles.kept == kept


def test_each_encoder_has_one_role() -> None:
    roles = Roles(B, C, A)
    assert [roles.role_of(one) for one in (A, B, C, D)] == [Role.PREVIOUS, Role.SERVING, Role.CANDIDATE, Role.RETIRED]
    assert Roles(B, A, A).role_of(A) is Role.CANDIDATE
