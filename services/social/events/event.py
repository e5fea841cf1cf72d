"""A message for the outbox: subject, bytes, and the key whose order matters."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """A message that must be published if, and only if, the transaction commits.

    Attributes:
        event_id: The same on every attempt to publish.
        key: Events of one key are published in the order of their transactions.
        subject: Where to.
        payload: Serialised protobuf message.
    """

    event_id: str
    key: str
    subject: str
    payload: bytes
