"""What generated operations are made of: a document with the type of its answer, and how JSON becomes such a type.

Knows no transport.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, Literal, Protocol, Self, TypeVar

T = TypeVar("T")
Json = dict[str, Any]


class OpenEnum(StrEnum):
    """An enum that takes a value it does not know as it is: a gateway of a later release may send one."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_ = member._value_ = value
        return member


@dataclass(frozen=True, slots=True)
class Operation(Generic[T]):
    """A document with one operation.

    Attributes:
        name: Of the operation.
        kind: What it is.
        text: The document, with the fragments that it needs.
        read: Makes the answer of its data.
    """

    name: str
    kind: Literal["query", "mutation", "subscription"]
    text: str
    read: Callable[[Json], T]


class Caller(Protocol):
    """Runs queries and mutations."""

    def execute(self, operation: Operation[T], variables: Json) -> T:
        """Run an operation and return its answer; an error of any field of it is raised."""


class Subscriber(Protocol):
    """Runs subscriptions."""

    def subscribe(self, operation: Operation[T], variables: Json) -> Iterator[T]:
        """Yield what a subscription sends, until it ends."""


class UnreadableAnswer(ValueError):
    """An answer that is not what the schema promised when this client was generated."""


def read_answer(operation: Operation[T], data: Any) -> T:
    """Make an answer of an operation's data.

    Raises:
        UnreadableAnswer: It has another form.
    """
    try:
        return operation.read(data)
    except (KeyError, TypeError, ValueError) as error:
        raise UnreadableAnswer(f"the answer to {operation.name} cannot be read ({error!r:.200})") from error


def as_it_is(value: Any) -> Any:  # of whatever type the schema says
    """Return a value that needs no reading."""
    return value


def optional(read: Callable[[Any], T]) -> Callable[[Any], T | None]:
    """Return a reader for what may be null."""
    return lambda value: None if value is None else read(value)


def many(read: Callable[[Any], T]) -> Callable[[Iterable[Any]], tuple[T, ...]]:
    """Return a reader for a list."""
    return lambda values: tuple(read(value) for value in values)


def required(read: Callable[[Any], T]) -> Callable[[Any], T]:
    """Return a reader for what may be null by the schema, and is not without an error."""

    def read_it(value: Any) -> T:
        if value is None:
            raise UnreadableAnswer("null, and no error that tells why")
        return read(value)

    return read_it


def root(name: str, read: Callable[[Any], T]) -> Callable[[Json], T]:
    """Return a reader for data of which one field is the answer."""
    return lambda data: read(data[name])


def given(values: Json) -> Json:
    """Leave out what is None: null and nothing are the same to every input of the schema."""
    return {name: value for name, value in values.items() if value is not None}
