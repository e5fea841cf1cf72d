"""Playlists, what people do with them, and their exchange."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from services.social.servicer.editing import EditingServicer
from services.social.servicer.engagement import EngagementServicer
from services.social.servicer.exchange import ExchangeServicer
from services.social.servicer.playlists import PlaylistServicer
from services.social.store import stream_tokens
from services.social.store.database import Database
from services.social.wiring.parts import Tools, Wired
from services.social.workers.sweeping import Sweep

_SWEEP_BATCH_SIZE = 1_000


def wire(tools: Tools) -> Wired:
    """Serve PlaylistService, EditingService, EngagementService and ExchangeService."""
    settings, clock = tools.settings, tools.clock
    # One at a time: a file of 5 MB keeps a core busy for a while.
    readers = ThreadPoolExecutor(1, thread_name_prefix="playlist-files")
    return Wired(
        [
            PlaylistServicer(tools.database, clock),
            EditingServicer(tools.database, settings.playlists_per_user, clock),
            EngagementServicer(tools.database, settings.comments_per_user_and_hour, clock),
            ExchangeServicer(tools.database, readers, settings.public_url, settings.playlists_per_user, clock),
        ],
        sweeps=[Sweep("stream_tokens", _sweep_tokens)],
    )


async def _sweep_tokens(database: Database, now: datetime) -> None:
    async with database.connection() as connection:
        await stream_tokens.delete_expired(connection, now, _SWEEP_BATCH_SIZE)
