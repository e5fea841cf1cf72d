"""Puts another encoder in the place of the one that is served: begun, given up, ended by one row at full coverage."""

import asyncio
import contextlib
import logging
import time

from services.chassis.errors import DomainError
from services.social.background import Nudge
from services.social.clients import Embedders, RetrieverClient
from services.social.encoders import Encoder, Roles
from services.social.errors import AlreadyServing, EncoderNotRunning, NoPreviousEncoder, SwitchUnderWay
from services.social.ids import EncoderId
from services.social.store import embeddings, encoders, vector_log, work
from services.social.store.database import Database

logger = logging.getLogger(__name__)

_WANT_BATCH_SIZE = 500
# A channel that was refused tries again after at most 2 s.
_CONNECT_PATIENCE_S = 3.0
_CONNECT_INTERVAL_S = 0.2


class EncoderSwitch:
    """Changes which encoder is for what. Any number of processes may do so at once: the row of the roles is their lock.

    Args:
        database: The truth.
        embedders: Must serve what is switched to.
        retriever: Must hold its index before it is served.
        begun: Rung when there is something new to hear.
    """

    def __init__(self, database: Database, embedders: Embedders, retriever: RetrieverClient, begun: Nudge) -> None:
        self._database = database
        self._embedders = embedders
        self._retriever = retriever
        self._begun = begun

    async def begin(self, encoder_id: EncoderId) -> Roles:
        """Let an encoder hear the library, to be served when it knows every track.

        Returns:
            Who is what now.

        Raises:
            AlreadyServing, SwitchUnderWay, EncoderNotRunning, NoEncoder: Nothing has changed.
            DomainError: No embedder answers, or the database is away.
        """
        async with self._database.connection() as connection:
            _check(await encoders.find_roles(connection), encoder_id)
        await self._set_candidate(await self._find_running(encoder_id))
        with contextlib.suppress(DomainError):  # whatever is not there yet: the keeper tries again
            await self.advance()
        async with self._database.connection() as connection:
            return await encoders.lock_roles(connection)

    async def roll_back(self) -> tuple[Roles, EncoderId | None]:
        """Give up the switch under way; without one, go back to the encoder before.

        That one was kept up to date, so it is served at once, unless tracks came that it has not heard yet.

        Returns:
            Who is what now, and the candidate that was given up.

        Raises:
            NoPreviousEncoder, EncoderNotRunning, NoEncoder: Nothing has changed.
            DomainError: No embedder answers, or the database is away.
        """
        async with self._database.transaction() as connection:
            roles = await encoders.lock_roles(connection)
            if roles.candidate is not None:
                await encoders.set_candidate(connection, None)
                now = await encoders.lock_roles(connection)
                await work.drop_retired(connection, now.kept)
                logger.info("encoder_switch_given_up", extra={"encoder_id": roles.candidate, "serving": now.serving})
                self._begun.ring()  # the encoder before has to catch up
                return now, roles.candidate
        if roles.previous is None:
            raise NoPreviousEncoder(roles.serving)
        return await self.begin(roles.previous), None

    async def advance(self) -> bool:
        """Serve the candidate if it knows the whole library, and its index and embedder are there.

        Coverage is looked at again under the lock: what was registered meanwhile waits for the next call.

        Returns:
            Whether there is still a candidate.

        Raises:
            DomainError: Its index or embedder is not there yet; the next call tries again.
        """
        async with self._database.connection() as connection:
            roles = await encoders.find_roles(connection)
            candidate = None if roles is None else roles.candidate
            if candidate is None:
                return False
            if not await encoders.is_covered(connection, candidate):
                return True
            read_point = await vector_log.read_point(connection, candidate)
        await self._retriever.until_ready(candidate, read_point)
        if candidate not in {encoder.encoder_id for encoder in await self._embedders.describe()}:
            return True
        return not await self._serve(candidate)

    async def catch_up(self) -> None:
        """Want everything that the encoders which are kept have missed."""
        is_all = False
        while not is_all:
            is_all = True
            async with self._database.transaction() as connection:
                roles = await encoders.share_roles(connection)
                for encoder_id in [] if roles is None else roles.kept:
                    track_ids = await embeddings.behind(connection, encoder_id, _WANT_BATCH_SIZE)
                    await embeddings.want(connection, encoder_id, track_ids)
                    is_all = is_all and len(track_ids) < _WANT_BATCH_SIZE

    async def _find_running(self, encoder_id: EncoderId) -> Encoder:
        """Find an encoder among those that run; one that has just started is not connected to at once."""
        deadline = time.monotonic() + _CONNECT_PATIENCE_S
        while True:
            seen = {encoder.encoder_id: encoder for encoder in await self._embedders.describe()}
            if encoder_id in seen:
                return seen[encoder_id]
            if time.monotonic() > deadline:
                raise EncoderNotRunning(encoder_id, sorted(seen))
            await asyncio.sleep(_CONNECT_INTERVAL_S)

    async def _set_candidate(self, encoder: Encoder) -> None:
        async with self._database.transaction() as connection:
            await encoders.note_seen(connection, encoder)
            _check(await encoders.lock_roles(connection), encoder.encoder_id)
            await encoders.set_candidate(connection, encoder.encoder_id)
            roles = await encoders.lock_roles(connection)
            await work.drop_retired(connection, roles.kept)
        logger.info("encoder_switch_begun", extra={"encoder_id": encoder.encoder_id, "serving": roles.serving})
        self._begun.ring()

    async def _serve(self, candidate: EncoderId) -> bool:
        async with self._database.transaction() as connection:
            roles = await encoders.lock_roles(connection)
            if roles.candidate != candidate or not await encoders.is_covered(connection, candidate):
                return False
            await encoders.serve_candidate(connection, candidate)
        logger.info("encoder_switched", extra={"encoder_id": candidate, "previous": roles.serving})
        return True


def _check(roles: Roles | None, encoder_id: EncoderId) -> None:
    if roles is None:
        return
    if roles.candidate is not None:
        raise SwitchUnderWay(encoder_id, roles.candidate)
    if encoder_id == roles.serving:
        raise AlreadyServing(encoder_id)
