"""Mends what lost messages have left behind: streams, the vector log, work without an answer."""

import logging
import time
from datetime import datetime, timedelta

import nats.errors
import nats.js.errors

from services.chassis.bus import DEAD_LETTERS, EMBED_WORK, EMBEDDER_EVENTS, PROFILES, VECTORS, Bus, embed_track_subject
from services.chassis.errors import Unavailable
from services.social.consumer import DURABLE
from services.social.store import embeddings, encoders, tastes, vector_log, work
from services.social.store.database import Database
from services.social.workers.background import repeat
from services.social.workers.letter_keeper import LetterKeeper

logger = logging.getLogger(__name__)

_STREAM_INTERVAL_S = 2.0
_FIND_LOST_INTERVAL_S = 30.0
_MOST_LOSSES = 3
_WANT_BATCH_SIZE = 500


class StreamKeeper:
    """Keeps the streams of NATS as they should be, and sends again what a lost one held.

    Args:
        database: The truth.
        bus: The bell.
        lost_after_s: Age at which work that the queue no longer holds, and nobody answered, counts as lost.
    """

    def __init__(self, database: Database, bus: Bus, lost_after_s: float) -> None:
        self._database = database
        self._bus = bus
        self._letters = LetterKeeper(database, bus)
        self._lost_after = timedelta(seconds=lost_after_s)
        self._find_due_at = 0.0

    async def run(self) -> None:
        """Look after the streams for ever, and now and then at what they should hold."""
        await repeat("streams", self._keep, _STREAM_INTERVAL_S)

    async def keep_streams(self) -> None:
        """Provision every stream; where one was made anew, send again what the tables hold of it.

        Raises:
            Unavailable: NATS or the database does not answer; the next call goes on.
        """
        async with self._database.connection() as connection:
            await vector_log.end_rebuild(connection)
            known = await vector_log.known_streams(connection)
            # Work that is promised from now on cannot have been lost with an old stream.
            now = await work.database_time(connection)
        created = await self._bus.ensure_streams()
        fresh = {name: created_at for name, created_at in created.items() if known.get(name) != created_at}
        if VECTORS in fresh:
            await self._rebuild_vectors(fresh[VECTORS], known.get(VECTORS))
        if fresh.keys() & {EMBED_WORK, EMBEDDER_EVENTS}:
            await self._resend(now, first_sequence=None, most_losses=None)
        if DEAD_LETTERS in fresh:
            await self._letters.publish_all_again()
        for name, created_at in fresh.items():
            if name != VECTORS:
                async with self._database.transaction() as connection:
                    if name == PROFILES:
                        await tastes.publish_all_again(connection, now)
                    await vector_log.note_stream(connection, name, created_at)

    async def find_lost(self) -> None:
        """Find messages that are gone although their stream is the same, and send them again.

        Raises:
            Unavailable: NATS or the database does not answer; the next call goes on.
        """
        async with self._database.connection() as connection:
            point = await vector_log.read_point(connection)
            before = await work.database_time(connection) - self._lost_after
        try:
            log = await self._bus.jetstream.stream_info(VECTORS)
            queue = await self._bus.jetstream.stream_info(EMBED_WORK)
        except nats.errors.Error as error:
            raise Unavailable(f"streams cannot be read: {error}", reason="BUS_UNAVAILABLE") from error
        async with self._database.connection() as connection:
            # Asked after the stream: what is published in between is told of by then, or is still to be published.
            first = await vector_log.first_told(connection)
        if point is not None and log.created == point.stream_created_at:
            is_purged = first is not None and first < log.state.first_seq
            if log.state.last_seq < point.sequence or is_purged:
                await self._rebuild_vectors(point.stream_created_at, point.stream_created_at)
        if await self._has_answers_waiting():
            return  # what was worked off is not lost, only not yet written
        first = queue.state.first_seq if queue.state.messages else queue.state.last_seq + 1
        await self._resend(before, first_sequence=first, most_losses=_MOST_LOSSES)
        async with self._database.transaction() as connection:
            roles = await encoders.share_roles(connection)
            kept = [] if roles is None else roles.kept
            found = await embeddings.forgotten(connection, kept, before, _WANT_BATCH_SIZE)
            for encoder_id in kept:
                if track_ids := found.get(encoder_id):
                    logger.warning("tracks_forgotten", extra={"count": len(track_ids)})
                    await embeddings.want(connection, encoder_id, track_ids)

    async def drop_retired(self) -> None:
        """Take work out of the queue that no embedder will ever take: that of encoders which are not kept any more.

        It would lie there for ever, and hide from `find_lost` how far the queue was worked off.

        Raises:
            Unavailable: NATS or the database does not answer; the next call goes on.
        """
        async with self._database.transaction() as connection:
            roles = await encoders.share_roles(connection)
            if roles is None:
                return
            await work.drop_retired(connection, roles.kept)
            retired = [one for one in await encoders.known(connection) if one not in roles.kept]
        for encoder_id in retired:
            try:
                await self._bus.jetstream.purge_stream(EMBED_WORK, subject=embed_track_subject(encoder_id))
            except nats.errors.Error as error:
                raise Unavailable(f"queue cannot be purged: {error}", reason="BUS_UNAVAILABLE") from error

    async def _has_answers_waiting(self) -> bool:
        try:
            answers = await self._bus.jetstream.consumer_info(EMBEDDER_EVENTS, DURABLE)
        except nats.js.errors.NotFoundError:
            return True  # nobody has begun to read them
        except nats.errors.Error as error:
            raise Unavailable(f"consumer cannot be read: {error}", reason="BUS_UNAVAILABLE") from error
        return bool(answers.num_pending or answers.num_ack_pending)

    async def _keep(self) -> None:
        await self.keep_streams()
        if time.monotonic() >= self._find_due_at:
            await self.drop_retired()
            await self.find_lost()
            self._find_due_at = time.monotonic() + _FIND_LOST_INTERVAL_S

    async def _rebuild_vectors(self, created_at: datetime, seen: datetime | None) -> None:
        async with self._database.transaction() as connection:
            if await vector_log.lock_stream(connection, VECTORS) != seen:
                return  # another process was faster
            await vector_log.note_stream(connection, VECTORS, created_at)
            await vector_log.rebuild(connection)
        logger.log(
            logging.INFO if seen is None else logging.WARNING,
            "vectors_rebuild",
            extra={"created_at": created_at.isoformat()},
        )

    async def _resend(self, before: datetime, *, first_sequence: int | None, most_losses: int | None) -> None:
        async with self._database.connection() as connection:
            await work.drop_unwanted(connection, before)
        lost = -1
        while lost:
            async with self._database.transaction() as connection:
                lost = await work.resend(connection, before, first_sequence=first_sequence, most_losses=most_losses)
            if lost:
                logger.warning("work_resent", extra={"count": lost})
