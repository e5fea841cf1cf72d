"""Scalars beyond GraphQL's own."""

from typing import Any, NewType

import strawberry
from graphql import GraphQLError

BigInt = NewType("BigInt", int)
UInt64 = NewType("UInt64", int)

# Numbers above this are not exact in JavaScript.
_LIMIT = 2**53 - 1
_UINT64_LIMIT = 2**64 - 1


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


def _parse_uint64(value: Any) -> UInt64:  # whatever JSON holds
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
        number = int(value)
    else:
        number = int(_parse(value)) if not isinstance(value, str) else -1
    if not 0 <= number <= _UINT64_LIMIT:
        raise GraphQLError(
            f"UInt64 cannot represent {str(value)[:50]!r}: it is a whole number from 0 to {_UINT64_LIMIT}"
        )
    return UInt64(number)


UINT64 = strawberry.scalar(
    name="UInt64",
    description="A whole number from 0 to 2^64 − 1, as a string of digits, since JSON's numbers end earlier; "
    "a number up to 2^53 − 1 is understood too.",
    serialize=str,
    parse_value=_parse_uint64,
)
