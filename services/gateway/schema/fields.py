"""Strawberry's decorators with types that survive mypy, and the arguments that many fields have."""

from collections.abc import Callable
from typing import Annotated, Any, ParamSpec, TypeVar

import strawberry
from strawberry.extensions import FieldExtension
from strawberry.extensions.field_extension import AsyncExtensionResolver
from uuid_utils.compat import uuid7

from services.gateway.ids import encode_global_id
from services.gateway.plain_fields import LOADS, Loads

AnyId = Annotated[strawberry.ID, strawberry.argument(description="Global id or UUID.")]
GlobalId = Annotated[strawberry.ID, strawberry.argument(description="What the field `id` of a thing gives.")]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


def resolver(description: str, loads: Loads | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a method a field.

    Args:
        description: For clients.
        loads: What it does, where it does nothing but load one thing by its id: then lists load together.
    """
    metadata = {} if loads is None else {LOADS: loads}
    return strawberry.field(description=description, metadata=metadata)  # type: ignore[no-any-return]  # typed as Any when used so


class _ReadingAnew(FieldExtension):
    """Lets a mutation show things as they are after it: those of a document run one after another, over one context."""

    async def resolve_async(
        self, next_: AsyncExtensionResolver, source: Any, info: strawberry.Info, **arguments: Any
    ) -> Any:
        info.context.forget_loaded()
        return await next_(source, info, **arguments)


def mutation(description: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a method a mutation, which must be asynchronous."""
    made = strawberry.mutation(description=description, extensions=[_ReadingAnew()])
    return made  # type: ignore[no-any-return]  # typed as Any when used so


def identity(kind: str, uuid: str) -> Any:
    """Make the field `id` of what `node` does not know: caches tell things apart by it, and inputs take it.

    Args:
        kind: What inputs call it, for example "Session".
        uuid: Attribute that has the UUID.
    """

    def resolve(root: strawberry.Parent[Any]) -> strawberry.ID:
        return strawberry.ID(encode_global_id(kind, getattr(root, uuid)))

    return strawberry.field(resolver=resolve, description="Its global id, by which caches know it.")


def subscription(description: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make an async generator a subscription."""
    return strawberry.subscription(description=description)  # type: ignore[no-any-return]  # typed as Any when used so


def member(value: T, description: str) -> T:
    """Describe a member of an enum by the value that upstream calls it."""
    return strawberry.enum_value(value, description=description)  # type: ignore[return-value]  # the enum unwraps it


def key_or_new(idempotency_key: str | None) -> str:
    """Return the client's idempotency key; without one each request is one of its own."""
    return str(uuid7()) if idempotency_key is None else idempotency_key
