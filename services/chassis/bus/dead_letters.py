"""What was set aside: the payload as it came, with the reason; read, counted and taken away by whoever may."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote, unquote

import nats.errors
import nats.js.errors
from nats.js.api import RawStreamMsg

from services.chassis.bus.connection import Bus
from services.chassis.bus.streams import DEAD_LETTERS
from services.chassis.errors import Unavailable

_LONGEST_MESSAGE = 500
# Lookups for one page: what was taken away leaves gaps, which cost a question each.
_MOST_LOOKUPS = 1_000
# As many as the largest sequence may have.
_MOST_DIGITS = 19


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that nobody could work off.

    Attributes:
        subject: Where it was published.
        payload: As it was published.
        event_id: Its id.
        stream: Where it lay.
        attempts: Deliveries without success.
        code: gRPC code of the last error; UNKNOWN where no handler came to an end.
        reason: Stable code of the last error, or the name of its class.
        message: Sentence for people.
        set_aside_at: When, in UTC.
        request_id: Of the request that caused it.
        sequence: Where it lies on DEAD_LETTERS; 0 before it does.
    """

    subject: str
    payload: bytes
    event_id: str
    stream: str
    attempts: int
    code: str
    reason: str
    message: str
    set_aside_at: datetime
    request_id: str = ""
    sequence: int = 0

    @property
    def letter_id(self) -> str:
        """Its name on this store: a store that was made anew has other letters at the same places."""
        return f"{self.sequence}.{self.event_id}"

    @property
    def message_id(self) -> str:
        """The id under which it is published, the same on every attempt."""
        return f"dead-{self.stream}-{self.event_id}"

    def headers(self) -> dict[str, str]:
        """Return everything but the payload as headers, in ASCII."""
        return {
            "Museed-Subject": self.subject,
            "Museed-Event-Id": quote(self.event_id),
            "Museed-Stream": self.stream,
            "Museed-Attempts": str(self.attempts),
            "Museed-Code": self.code,
            "Museed-Reason": quote(self.reason),
            "Museed-Message": quote(self.message[:_LONGEST_MESSAGE]),
            "Museed-Time": self.set_aside_at.isoformat(),
            "Museed-Request": quote(self.request_id),
        }


def _read(raw: RawStreamMsg) -> DeadLetter:
    """Read a letter; one from before letters had headers tells its stream only."""
    found = raw.headers or {}
    attempts = found.get("Museed-Attempts", "")
    try:
        set_aside_at = datetime.fromisoformat(found.get("Museed-Time", ""))
    except ValueError:
        set_aside_at = datetime.fromtimestamp(0, UTC)
    return DeadLetter(
        found.get("Museed-Subject", ""),
        raw.data or b"",
        unquote(found.get("Museed-Event-Id", "")),
        found.get("Museed-Stream") or (raw.subject or "").rpartition(".")[2],
        _number(attempts),
        found.get("Museed-Code", "UNKNOWN"),
        unquote(found.get("Museed-Reason", "")),
        unquote(found.get("Museed-Message", "")),
        set_aside_at,
        unquote(found.get("Museed-Request", "")),
        raw.seq or 0,
    )


class DeadLetterPage(NamedTuple):
    """A page of letters.

    Attributes:
        letters: Newest first; fewer than asked for, or none, also where many were taken away in between.
        before: Where to go on; None at the end.
        total: All letters there are.
    """

    letters: list[DeadLetter]
    before: int | None
    total: int


async def list_dead_letters(bus: Bus, before: int | None, limit: int) -> DeadLetterPage:
    """List letters, newest first.

    Args:
        bus: Of a user that may read DEAD_LETTERS.
        before: Sequence before which to begin; None begins with the newest.
        limit: Most letters.

    Raises:
        Unavailable: NATS does not answer.
    """
    try:
        state = (await bus.jetstream.stream_info(DEAD_LETTERS)).state
        sequence = state.last_seq if before is None else min(before - 1, state.last_seq)
        found: list[DeadLetter] = []
        stop = max(state.first_seq, sequence - _MOST_LOOKUPS + 1, 1)
        while sequence >= stop and len(found) < limit:
            letter = await _letter_at(bus, sequence)
            if letter is not None:
                found.append(letter)
            sequence -= 1
    except nats.js.errors.NotFoundError:
        return DeadLetterPage([], None, 0)
    except (nats.errors.Error, TimeoutError) as error:
        raise _away(error) from error
    is_over = sequence < max(state.first_seq, 1) or not state.messages
    return DeadLetterPage(found, None if is_over else sequence + 1, state.messages)


async def find_dead_letter(bus: Bus, letter_id: str) -> DeadLetter | None:
    """Return a letter by its id, None where it is not there any more; raises Unavailable like `list_dead_letters`."""
    sequence = _number(letter_id.partition(".")[0])
    if not sequence:
        return None
    try:
        found = await _letter_at(bus, sequence)
    except (nats.errors.Error, TimeoutError) as error:
        raise _away(error) from error
    return found if found is not None and found.letter_id == letter_id else None


async def headers_of_dead_letter(bus: Bus, sequence: int) -> dict[str, str] | None:
    """Return what stands beside the payload at a sequence, None where nothing lies there any more.

    Raises:
        Unavailable: NATS does not answer.
    """
    try:
        raw = await _raw_at(bus, sequence)
    except (nats.errors.Error, TimeoutError) as error:
        raise _away(error) from error
    return None if raw is None else dict(raw.headers or {})


async def delete_dead_letter(bus: Bus, letter: DeadLetter) -> None:
    """Take a letter away; one that is gone is no error.

    Raises:
        Unavailable: NATS does not answer, or does not take it away.
    """
    try:
        await bus.jetstream.delete_msg(DEAD_LETTERS, letter.sequence)
    except nats.js.errors.APIError as error:
        # What is not there any more is refused in several ways: by where it lay, and what lies around it.
        if await find_dead_letter(bus, letter.letter_id) is not None:
            raise _away(error) from error
    except (nats.errors.Error, TimeoutError) as error:
        raise _away(error) from error


async def _letter_at(bus: Bus, sequence: int) -> DeadLetter | None:
    raw = await _raw_at(bus, sequence)
    return None if raw is None else _read(raw)


async def _raw_at(bus: Bus, sequence: int) -> RawStreamMsg | None:
    try:
        return await bus.jetstream.get_msg(DEAD_LETTERS, sequence)
    except nats.js.errors.NotFoundError:
        return None


def _number(text: str) -> int:
    """Return what decimal digits say; 0 where there is anything else, or too much of them."""
    is_number = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    return int(text) if is_number else 0


def _away(error: Exception) -> Unavailable:
    return Unavailable(f"dead letters cannot be reached: {error}", reason="BUS_UNAVAILABLE")
