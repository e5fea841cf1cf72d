"""Spans: what took how long, in which process, for whom. Knows no library; without `install` all of it does nothing.

A span that is current is the parent of those begun inside of it, and travels to other processes as the W3C header
`traceparent` in gRPC metadata and NATS headers. Spans carry ids, codes and numbers, never what people wrote.
"""

import asyncio
import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar, Token
from enum import StrEnum
from types import TracebackType
from typing import Protocol, Self

from services.chassis.errors import DomainError

Attribute = str | int | float | bool
Headers = Mapping[str, str]

TRACE_HEADERS = ("traceparent", "tracestate")
_NO_HEADERS: dict[str, str] = {}


class Kind(StrEnum):
    """Which side of a border a span is on."""

    INTERNAL = "INTERNAL"
    SERVER = "SERVER"
    CLIENT = "CLIENT"
    PRODUCER = "PRODUCER"
    CONSUMER = "CONSUMER"


class Recorder(Protocol):
    """One span as the tracer keeps it."""

    def note(self, attributes: Mapping[str, Attribute]) -> None:
        """Add attributes."""
        ...

    def fail(self, description: str) -> None:
        """Mark it as failed."""
        ...

    def end(self) -> None:
        """End it now."""
        ...

    def headers(self) -> dict[str, str]:
        """Return how others refer to it."""
        ...

    def ids(self) -> tuple[str, str]:
        """Return trace and span id, hexadecimal."""
        ...


class Tracer(Protocol):
    """Begins spans; may be called from any thread."""

    def begin(
        self,
        name: str,
        kind: Kind,
        parent: Recorder | Headers | None,
        links: Sequence[Headers],
        attributes: Mapping[str, Attribute],
        began_ns: int | None,
    ) -> Recorder:
        """Begin a span.

        Args:
            name: What is done; one of few.
            kind: Side of a border.
            parent: A span, or the headers of one elsewhere; None or empty headers begin a trace.
            links: Headers of spans that this one works for without being part of them.
            attributes: Ids, codes and numbers.
            began_ns: Unix time; None is now.
        """
        ...


_tracer: Tracer | None = None
_current: ContextVar[Recorder | Headers | None] = ContextVar("current_span", default=None)


def install(tracer: Tracer | None) -> None:
    """Record spans of this process from now on; None stops that."""
    global _tracer
    _tracer = tracer


def is_on() -> bool:
    """Say whether spans are recorded."""
    return _tracer is not None


class Span:
    """A span at work. As a context manager it is current inside, and ends with the block, failed where that raises."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder: Recorder = recorder
        self._token: Token[Recorder | Headers | None] | None = None

    def note(self, **attributes: Attribute) -> None:
        """Add attributes; `a__b` is written `a.b`."""
        self._recorder.note(_named(attributes))

    def fail(self, error: BaseException) -> None:
        """Mark it as failed, by the error's code and reason; its text may hold what people wrote, and stays here."""
        if isinstance(error, asyncio.CancelledError | GeneratorExit):
            self._recorder.note({"museed.cancelled": True})
            return
        reason = error.reason if isinstance(error, DomainError) else type(error).__qualname__
        found: dict[str, Attribute] = {"error.type": reason}
        if isinstance(error, DomainError):
            found["museed.code"] = error.code.value
        self._recorder.note(found)
        self._recorder.fail(reason)

    def end(self) -> None:
        """End it, where it is no context manager."""
        self._recorder.end()

    def headers(self) -> dict[str, str]:
        """Return what tells another process, or another task, of this span."""
        return self._recorder.headers()

    def __enter__(self) -> Self:
        self._token = _current.set(self._recorder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.fail(error)
        self._recorder.end()
        if self._token is not None:
            with contextlib.suppress(ValueError):  # a generator that was ended by another task
                _current.reset(self._token)


class _Nothing(Span):
    """Stands for every span while none is recorded."""

    def __init__(self) -> None:
        pass

    def note(self, **attributes: Attribute) -> None:
        pass

    def fail(self, error: BaseException) -> None:
        pass

    def end(self) -> None:
        pass

    def headers(self) -> dict[str, str]:
        return _NO_HEADERS

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


NOTHING = _Nothing()


def span(
    name: str,
    kind: Kind = Kind.INTERNAL,
    *,
    parent: Headers | None = None,
    links: Sequence[Headers] = (),
    **attributes: Attribute,
) -> Span:
    """Begin a span, to be used as a context manager, or to be ended by hand.

    Args:
        name: What is done; one of few, no ids.
        kind: Side of a border.
        parent: Headers that came from elsewhere, without any of which it begins a trace; None is the current span.
        links: Headers of spans that this one works for without being part of them.
        attributes: Ids, codes and numbers; `a__b` is written `a.b`.
    """
    if _tracer is None:
        return NOTHING
    chosen = _current.get() if parent is None else parent
    return Span(_tracer.begin(name, kind, chosen, links, _named(attributes), None))


def part(name: str, **attributes: Attribute) -> Span:
    """Begin a span of what is only ever done for something else: where no span is current, nothing is recorded."""
    if _tracer is None or (current := _current.get()) is None:
        return NOTHING
    return Span(_tracer.begin(name, Kind.INTERNAL, current, (), _named(attributes), None))


def record(name: str, seconds: float, *, parent: Headers | None = None, **attributes: Attribute) -> None:
    """Record a span that ends now and took some seconds; see `span`."""
    if _tracer is None:
        return
    chosen = _current.get() if parent is None else parent
    began_ns = time.time_ns() - round(seconds * 1e9)
    _tracer.begin(name, Kind.INTERNAL, chosen, (), _named(attributes), began_ns).end()


def headers() -> dict[str, str]:
    """Return what tells another process, or another task, of the current span; empty where there is none."""
    if _tracer is None:
        return _NO_HEADERS
    current = _current.get()
    if current is None:
        return _NO_HEADERS
    return dict(current) if isinstance(current, Mapping) else current.headers()


def parent_header() -> str:
    """Return the current span as one line, to be kept with what it causes; empty where there is none."""
    return headers().get(TRACE_HEADERS[0], "")


def ids() -> tuple[str, str] | None:
    """Return trace and span id of the current span, None where there is none."""
    current = _current.get()
    return None if current is None or isinstance(current, Mapping) else current.ids()


@contextlib.contextmanager
def within(parent: Headers) -> Iterator[None]:
    """Let spans that begin inside belong to one of another process, which was kept with what it caused."""
    token = _current.set(parent if _tracer is not None and parent else None)
    try:
        yield
    finally:
        _current.reset(token)


def within_header(line: str) -> contextlib.AbstractContextManager[None]:
    """Like `within`, of what `parent_header` returned."""
    return within({TRACE_HEADERS[0]: line} if line else {})


def _named(attributes: Mapping[str, Attribute]) -> dict[str, Attribute]:
    return {name.replace("__", "."): value for name, value in attributes.items()}
