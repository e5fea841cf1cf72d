"""Numbers that JSON's own cannot carry."""

from typing import Any

import pytest
from graphql import GraphQLError
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.schema.scalars import UINT64

parse, serialize = UINT64.parse_value, UINT64.serialize
assert parse is not None
assert serialize is not None


@given(st.integers(0, 2**64 - 1))
def test_a_random_seed_comes_back_digit_by_digit(number: int) -> None:
    assert parse(serialize(number)) == number


@pytest.mark.parametrize("given_", [0, 2**53 - 1, 7.0, "007", str(2**64 - 1)])
def test_numbers_and_digits_are_understood(given_: Any) -> None:
    assert parse(given_) == int(given_)


@pytest.mark.parametrize(
    "given_",
    [-1, 2**53, 0.5, float("inf"), float("nan"), True, None, "", "-1", "1e3", "٣", str(2**64), "0" * 21, [1], {}],
)
def test_what_is_no_such_number_is_refused(given_: Any) -> None:
    with pytest.raises(GraphQLError):
        parse(given_)
