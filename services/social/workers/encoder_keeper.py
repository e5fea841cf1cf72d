"""Keeps who serves which encoder: the first that is seen, those that are kept, and the end of a switch."""

import logging
import time

from services.social.domain.encoders import Roles
from services.social.embedders import Embedders
from services.social.errors import NoEncoder
from services.social.store import encoders
from services.social.store.database import Database
from services.social.workers.background import Nudge, repeat
from services.social.workers.switching import EncoderSwitch

logger = logging.getLogger(__name__)

_ENCODER_STEP_S = 1.0
_ENCODER_INTERVAL_S = 60.0
_SWITCH_INTERVAL_S = 5.0


class EncoderKeeper:
    """Serves the first encoder that is seen, lets those that are kept hear what they missed, and ends switches.

    Args:
        database: The truth.
        embedders: Say which encoders they serve.
        switch: Takes a switch under way to its end.
        begun: Rung when there is something new to hear.
    """

    def __init__(self, database: Database, embedders: Embedders, switch: EncoderSwitch, begun: Nudge) -> None:
        self._database = database
        self._embedders = embedders
        self._switch = switch
        self._begun = begun
        self._missing = ""
        self._caught_up: Roles | None = None
        self._kept_at = float("-inf")

    async def run(self) -> None:
        """Look often while there is no encoder or a switch is under way, then now and then."""
        await repeat("encoders", self._keep_when_due, _ENCODER_STEP_S, self._begun)

    async def keep_encoders(self) -> None:
        """Serve the first that is seen where none is served yet; one that is merely seen is never switched to.

        Raises:
            DomainError: No embedder or the database does not answer; the next call goes on.
        """
        seen = await self._embedders.describe()
        if not seen:
            raise NoEncoder
        async with self._database.transaction() as connection:
            await encoders.serve_first(connection, seen[0])
            for encoder in seen[1:]:
                await encoders.note_seen(connection, encoder)
            serving = await encoders.serving(connection)
        missing = "" if serving in {encoder.encoder_id for encoder in seen} else serving
        if missing and missing != self._missing:
            extra = {"serving": serving, "embedders": [encoder.encoder_id for encoder in seen]}
            logger.warning("embedders_serve_other_encoders", extra=extra)
        self._missing = missing
        await self._switch.catch_up()

    async def _keep_when_due(self) -> None:
        async with self._database.connection() as connection:
            roles = await encoders.find_roles(connection)
        is_switching = roles is not None and roles.candidate is not None
        # Roles that are the same again may have been others in between: a switch is not left waiting for that.
        interval_s = _SWITCH_INTERVAL_S if is_switching else _ENCODER_INTERVAL_S
        if roles is None or roles != self._caught_up or time.monotonic() >= self._kept_at + interval_s:
            await self.keep_encoders()
            await self._switch.settle()
            self._caught_up = roles
            self._kept_at = time.monotonic()
        if is_switching:
            await self._switch.advance()
