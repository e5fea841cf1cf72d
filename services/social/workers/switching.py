"""Puts another encoder in the place of the one that is served: begun, given up, ended by one row at full coverage."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from services.chassis.errors import DomainError
from services.chassis.telemetry import request_id
from services.social.clients import RetrieverClient
from services.social.domain.encoders import Encoder, Roles
from services.social.domain.ids import EncoderId, JobId, UserId
from services.social.domain.jobs import JobState
from services.social.domain.moderation import Subject
from services.social.embedders import Embedders
from services.social.errors import AlreadyServing, EncoderNotRunning, NoPreviousEncoder, SwitchUnderWay
from services.social.store import audit, embeddings, encoders, switch_jobs, vector_log, work
from services.social.store.database import Database
from services.social.workers.background import Bells, Nudge

logger = logging.getLogger(__name__)

_WANT_BATCH_SIZE = 500
# All tracks are counted for it.
_TELL_INTERVAL_S = 5.0
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
        clock: Time of day.
        bells: Rung with the id of a switch's job when that has ended.
    """

    def __init__(
        self,
        database: Database,
        embedders: Embedders,
        retriever: RetrieverClient,
        begun: Nudge,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        bells: Bells | None = None,
    ) -> None:
        self._database = database
        self._embedders = embedders
        self._retriever = retriever
        self._begun = begun
        self._clock = clock
        self._bells = bells or Bells()
        self._told_at = float("-inf")

    async def begin(self, encoder_id: EncoderId, user_id: UserId) -> Roles:
        """Let an encoder hear the library, to be served when it knows every track: a job of who asks for it.

        Returns:
            Who is what now.

        Raises:
            AlreadyServing, SwitchUnderWay, EncoderNotRunning, NoEncoder: Nothing has changed.
            DomainError: No embedder answers, or the database is away.
        """
        return await self._begin(encoder_id, user_id, "switch_encoder")

    async def _begin(self, encoder_id: EncoderId, user_id: UserId, action: str) -> Roles:
        async with self._database.connection() as connection:
            _check(await encoders.find_roles(connection), encoder_id)
        await self._set_candidate(await self._find_running(encoder_id), user_id, action)
        with contextlib.suppress(DomainError):  # whatever is not there yet: the keeper tries again
            await self.advance()
        async with self._database.connection() as connection:
            return await encoders.lock_roles(connection)

    async def roll_back(self, user_id: UserId) -> tuple[Roles, EncoderId | None]:
        """Give up the switch under way; without one, go back to the encoder before.

        That one was kept up to date, so it is served at once, unless tracks came that it has not heard yet.

        Returns:
            Who is what now, and the candidate that was given up.

        Raises:
            NoPreviousEncoder, EncoderNotRunning, NoEncoder: Nothing has changed.
            DomainError: No embedder answers, or the database is away.
        """
        roles, given_up = await self._give_up(None, user_id)
        if given_up is not None:
            return roles, given_up
        if roles.previous is None:
            raise NoPreviousEncoder(roles.serving)
        return await self._begin(roles.previous, user_id, "roll_back_encoder"), None

    async def give_up(self, encoder_id: EncoderId, user_id: UserId) -> None:
        """Give up the switch to this encoder, if that is under way.

        Raises:
            NoEncoder: None has been seen yet.
            DatabaseUnavailable: It may be given up.
        """
        await self._give_up(encoder_id, user_id)

    async def settle(self) -> None:
        """End the jobs of switches that have ended."""
        async with self._database.transaction() as connection:
            roles = await encoders.share_roles(connection)
            if roles is not None:
                await switch_jobs.settle(connection, roles)

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
            is_covered = await encoders.is_covered(connection, candidate)
            read_point = await vector_log.read_point(connection, candidate)
        if not is_covered:
            if time.monotonic() >= self._told_at + _TELL_INTERVAL_S:
                async with self._database.transaction() as connection:
                    await switch_jobs.tell(connection, candidate, self._clock())
                self._told_at = time.monotonic()
            return True
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

    async def _give_up(self, encoder_id: EncoderId | None, user_id: UserId) -> tuple[Roles, EncoderId | None]:
        """Give up the switch under way, or only that to an encoder; return who is what, and who was given up."""
        async with self._database.transaction() as connection:
            roles = await encoders.lock_roles(connection)
            candidate = roles.candidate
            if candidate is None or encoder_id not in (None, candidate):
                return roles, None
            await encoders.set_candidate(connection, None)
            now = await encoders.lock_roles(connection)
            await work.drop_retired(connection, now.kept)
            ended = await switch_jobs.end(connection, candidate, JobState.CANCELLED)
            await audit.add(connection, user_id, "roll_back_encoder", Subject.ENCODER, candidate)
        logger.info("encoder_switch_given_up", extra={"encoder_id": candidate, "serving": now.serving})
        self._ring(ended)
        self._begun.ring()  # the encoder before has to catch up
        return now, candidate

    def _ring(self, ended: list[JobId]) -> None:
        for job_id in ended:
            self._bells.ring(job_id)

    async def _set_candidate(self, encoder: Encoder, user_id: UserId, action: str) -> None:
        async with self._database.transaction() as connection:
            await encoders.note_seen(connection, encoder)
            _check(await encoders.lock_roles(connection), encoder.encoder_id)
            await encoders.set_candidate(connection, encoder.encoder_id)
            await switch_jobs.begin(connection, encoder.encoder_id, user_id, request_id())
            roles = await encoders.lock_roles(connection)
            await work.drop_retired(connection, roles.kept)
            await audit.add(connection, user_id, action, Subject.ENCODER, encoder.encoder_id)
        logger.info("encoder_switch_begun", extra={"encoder_id": encoder.encoder_id, "serving": roles.serving})
        self._begun.ring()

    async def _serve(self, candidate: EncoderId) -> bool:
        async with self._database.transaction() as connection:
            roles = await encoders.lock_roles(connection)
            if roles.candidate != candidate or not await encoders.is_covered(connection, candidate):
                return False
            await encoders.serve_candidate(connection, candidate)
            ended = await switch_jobs.end(connection, candidate, JobState.SUCCEEDED)
        self._ring(ended)
        logger.info("encoder_switched", extra={"encoder_id": candidate, "previous": roles.serving})
        return True


def _check(roles: Roles | None, encoder_id: EncoderId) -> None:
    if roles is None:
        return
    if roles.candidate is not None:
        raise SwitchUnderWay(encoder_id, roles.candidate)
    if encoder_id == roles.serving:
        raise AlreadyServing(encoder_id)
