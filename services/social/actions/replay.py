"""Has dead letters tried again: work by the tables, so that it counts as wanted, events by who reads them."""

import logging
from dataclasses import dataclass
from enum import StrEnum

from google.protobuf.message import DecodeError

from museed.embedder.v1.events_pb2 import TrackEmbedded, TrackEmbeddingFailed
from museed.social.v1.events_pb2 import EmbedTrack
from services.chassis.bus import (
    EMBED_WORK,
    EMBEDDER_EVENTS,
    DeadLetter,
    Delivery,
    delete_dead_letter,
    find_dead_letter,
)
from services.chassis.errors import DomainError, Unavailable
from services.social.consumer import EMBEDDED, EmbedderEvents
from services.social.domain.ids import EncoderId, UserId, is_id
from services.social.domain.moderation import Subject
from services.social.store import audit, dead_letters, encoders, work
from services.social.store.database import Database
from services.social.store.work import Retry
from services.social.streams import BusDoor

logger = logging.getLogger(__name__)


class ReplayOutcome(StrEnum):
    """What a replay did to a letter; all but KEPT take it away."""

    SENT = "SENT"
    SETTLED = "SETTLED"
    GONE = "GONE"
    KEPT = "KEPT"


@dataclass(frozen=True, slots=True)
class Replayed:
    """A letter of a replay, with the reason where it was kept."""

    letter_id: str
    outcome: ReplayOutcome
    reason: str = ""
    message: str = ""


class Replayer:
    """Replays dead letters. Safe to repeat: a letter is deleted after what it asks for is promised or done.

    Args:
        database: The truth.
        door: To NATS.
        events: Reads what the embedder tells.
    """

    def __init__(self, database: Database, door: BusDoor, events: EmbedderEvents) -> None:
        self._database = database
        self._door = door
        self._events = events

    async def replay(self, letter_id: str, by: UserId | None = None) -> Replayed:
        """Replay one letter; one that fails again, however it fails, is kept and keeps no other from its turn.

        Args:
            letter_id: Which.
            by: The admin who wants it. NATS takes part in no transaction: the audit log has it before it is tried.

        Raises:
            Unavailable: NATS or the database is away; the letter stays.
        """
        bus = self._door.opened()
        letter = await find_dead_letter(bus, letter_id)
        if letter is None:
            return Replayed(letter_id, ReplayOutcome.GONE)
        async with self._database.transaction() as connection:
            await audit.add(connection, by, "replay_dead_letter", Subject.DEAD_LETTER, letter_id)
        try:
            replayed = await self._try(letter)
        except DecodeError:
            return _kept(letter, "DEAD_LETTER_UNREADABLE", "its payload is no message that this version knows")
        except Unavailable:
            raise
        except Exception as error:  # what social cannot digest is here for that very reason
            logger.exception("replay_failed", extra={"letter_id": letter_id})
            return _kept(letter, type(error).__qualname__, "it fails as before; social's log has it as replay_failed")
        if replayed.outcome is not ReplayOutcome.KEPT:
            await delete_dead_letter(bus, letter)
            async with self._database.connection() as connection:
                await dead_letters.forget(connection, letter.message_id)
        return replayed

    async def _try(self, letter: DeadLetter) -> Replayed:
        if letter.stream == EMBED_WORK:
            return await self._want_again(letter)
        if letter.stream == EMBEDDER_EVENTS:
            return await self._hear_again(letter)
        return _kept(letter, "NOT_REPLAYABLE", f"nobody here works off {letter.stream}")

    async def _want_again(self, letter: DeadLetter) -> Replayed:
        asked = EmbedTrack.FromString(letter.payload)
        encoder_id = EncoderId(asked.encoder_id)
        async with self._database.transaction() as connection:
            roles = await encoders.share_roles(connection)
            if roles is None or encoder_id not in roles.kept:
                return _kept(letter, "ENCODER_NOT_KEPT", f"no track is heard by encoder {encoder_id} any more")
            retry = await work.try_again(connection, encoder_id, asked.audio_hash, letter.event_id)
        if retry is Retry.TOO_EARLY:
            return _kept(letter, "FAILURE_ON_ITS_WAY", "its failure is not written yet: try again in a moment")
        outcome = ReplayOutcome.SENT if retry is Retry.PROMISED else ReplayOutcome.SETTLED
        return Replayed(letter.letter_id, outcome)

    async def _hear_again(self, letter: DeadLetter) -> Replayed:
        if not letter.subject:
            return _kept(letter, "NOT_REPLAYABLE", "it was set aside by an earlier version, which kept no subject")
        delivery = Delivery(letter.subject, letter.payload, letter.event_id, 1, letter.stream, letter.sequence)
        try:
            await self._events.handle(delivery)
        except DomainError as error:
            return _kept(letter, error.reason, error.message)
        return Replayed(letter.letter_id, ReplayOutcome.SETTLED)


def _kept(letter: DeadLetter, reason: str, message: str) -> Replayed:
    return Replayed(letter.letter_id, ReplayOutcome.KEPT, reason, message)


def told_of(letter: DeadLetter) -> tuple[str, str]:
    """Return track and encoder that a letter is about, each empty where it cannot be read."""
    try:
        if letter.stream == EMBED_WORK:
            asked = EmbedTrack.FromString(letter.payload)
            track_id, encoder_id = asked.track_id, asked.encoder_id
        elif letter.subject == EMBEDDED:
            told = TrackEmbedded.FromString(letter.payload)
            track_id, encoder_id = told.track_id, told.embedding.encoder_id
        else:
            failed = TrackEmbeddingFailed.FromString(letter.payload)
            track_id, encoder_id = failed.track_id, failed.encoder_id
    except DecodeError:
        return "", ""
    return track_id if is_id(track_id) else "", encoder_id
