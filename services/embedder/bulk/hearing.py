"""Hears the rows of a part with the parts of the service: its decoders, windows, encoder and pooling. Knows no Ray."""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from services.chassis.errors import NotFound, Unavailable
from services.embedder.bulk.files import Files
from services.embedder.bulk.output import MOST_DEATHS, Heard, LeftOut, Notes, PartReport, RunFolder
from services.embedder.bulk.rows import ROW_INVALID, Part, Row
from services.embedder.decoder import DecoderPool
from services.embedder.embedding import TrackEmbedder
from services.embedder.errors import AudioError, DecoderKilled, DecoderLost, DecoderNotStarted, EncodingFailed
from services.embedder.lanes import Lane
from services.embedder.model import ServedEncoder
from services.embedder.preparing import make_batcher
from services.embedder.settings import EncodingSettings

logger = logging.getLogger(__name__)

WORKER_LOST = "WORKER_LOST"
_TRIES = 3
_PAUSE_S = 1.0
_Outcome = Heard | LeftOut


class Hearing:
    """Hears parts, one at a time, several of its files at a time: so many hold sound in memory, and no more.

    Args:
        chosen: Settings of the encoder and of decoding.
        encoder: Warm.
        root: Below which relative paths are meant.
        folder: Where parts are written.
    """

    def __init__(self, chosen: EncodingSettings, encoder: ServedEncoder, root: Path, folder: RunFolder) -> None:
        self._encoder = encoder
        self._folder = folder
        self._files_at_a_time = chosen.bulk_files
        self._limits = chosen.library_limits
        self._executor = ThreadPoolExecutor(4, "files")
        self._files = Files(root, self._limits, self._executor)
        self._batcher = make_batcher(chosen, encoder)
        self._decoders = DecoderPool(chosen.bulk_processes, chosen.bulk_decode_limits, chosen.bulk_files)
        self._tracks = TrackEmbedder(encoder, self._batcher, {Lane.BULK: self._decoders}, chosen.seconds_in_flight)

    async def start(self) -> None:
        """Start the decoding processes."""
        await self._decoders.start()

    async def close(self) -> None:
        """End processes and threads."""
        self._batcher.close()
        self._tracks.close()
        await self._decoders.close()
        self._executor.shutdown()

    async def hear(self, part: Part) -> PartReport:
        """Hear the rows of a part and write it; one that is there already is not heard again.

        Rows at which a worker died before come first, one after the other, so that what dies with them tells nothing
        of others; where three workers died at one, it is left out.

        Raises:
            ExceptionGroup: Something else than a file is the matter; nothing of the part is written.
        """
        if self._folder.is_done(part.number):
            return self._folder.report(part.number)
        with self._folder.notes(part.number) as notes:
            outcomes = await self._all(part.rows, notes)
        found = [outcomes[row.number] for row in part.rows]
        heard = [one for one in found if isinstance(one, Heard)]
        left_out = [one for one in found if isinstance(one, LeftOut)]
        manifest = self._encoder.manifest
        await asyncio.to_thread(self._folder.write, part.number, manifest.encoder_id, manifest.dim, heard, left_out)
        return self._folder.report(part.number)

    async def _all(self, rows: Sequence[Row], notes: Notes) -> dict[int, _Outcome]:
        deaths = notes.deaths()
        outcomes: dict[int, _Outcome] = {}
        suspects = [row for row in rows if deaths[row.number]]
        for row in suspects:
            if deaths[row.number] >= MOST_DEATHS:
                text = f"{deaths[row.number]} workers died while they heard this file"
                outcomes[row.number] = LeftOut(row, WORKER_LOST, text)
        async with asyncio.TaskGroup() as tasks:
            batcher = tasks.create_task(self._batcher.run(), name="batcher")
            for some, at_a_time in ((suspects, 1), (rows, self._files_at_a_time)):
                await self._side_by_side(
                    [row for row in some if row.number not in outcomes], at_a_time, notes, outcomes
                )
            batcher.cancel()
        return outcomes

    async def _side_by_side(
        self, rows: Sequence[Row], at_a_time: int, notes: Notes, outcomes: dict[int, _Outcome]
    ) -> None:
        left = iter(rows)

        async def one_after_another() -> None:
            for row in left:
                notes.begin(row)
                outcomes[row.number] = await self._outcome(row)
                notes.end(row)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(at_a_time):
                tasks.create_task(one_after_another())

    async def _outcome(self, row: Row) -> _Outcome:
        if row.fault:
            return LeftOut(row, ROW_INVALID, row.fault)
        for attempt in range(1, _TRIES + 1):
            try:
                return await self._heard(row)
            except (AudioError, EncodingFailed, NotFound) as error:
                return LeftOut(row, error.reason, error.message)
            except DecoderNotStarted:
                raise
            except DecoderLost as error:
                if attempt == _TRIES:
                    killed = DecoderKilled.of(attempt)
                    return LeftOut(row, killed.reason, killed.message)
                logger.warning("decoder_lost", extra={"path": row.path, "reason": error.reason})
            except Unavailable as error:
                if attempt == _TRIES:
                    return LeftOut(row, error.reason, error.message)
                await asyncio.sleep(_PAUSE_S * attempt)
        raise AssertionError("the last try returns or raises")

    async def _heard(self, row: Row) -> Heard:
        async with self._files.open(row.path) as descriptor:
            found = row.audio_hash or await self._files.hash(descriptor)
            return Heard(row, found, await self._tracks.embed(descriptor, self._limits, Lane.BULK))
