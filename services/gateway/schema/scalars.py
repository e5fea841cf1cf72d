"""Scalars beyond GraphQL's own."""

from typing import Any, NewType

import strawberry
from graphql import GraphQLError

BigInt = NewType("BigInt", int)

# Numbers above this are not exact in JavaScript.
_LIMIT = 2**53 - 1


def _parse(value: Any) -> BigInt:  # whatever JSON holds
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 16:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > _LIMIT:
        raise GraphQLError(f"BigInt cannot represent {str(value)[:50]!r}: it is a whole number up to {_LIMIT}")
    return BigInt(value)


BIG_INT = strawberry.scalar(
    name="BigInt",
    description="A whole number up to 2^53 − 1, as a JSON number; a string of digits is understood too.",
    serialize=int,
    parse_value=_parse,
)
