"""Listening, taste and what follows from it."""

from datetime import datetime, timedelta

from services.social.actions.recommending import Recommender
from services.social.domain.listening import LATEST_REPORT
from services.social.servicer.badges import BadgeServicer
from services.social.servicer.listening import ListeningServicer
from services.social.servicer.recommendations import RecommendationServicer
from services.social.servicer.trends import TrendServicer
from services.social.store import listening, tastes
from services.social.store.database import Database
from services.social.wiring.parts import Tools, Wired
from services.social.workers.pairing import PairMaker
from services.social.workers.sweeping import Sweep
from services.social.workers.taste_worker import TasteWorker

_SWEEP_INTERVAL_S = 3_600.0
_SWEEP_BATCH_SIZE = 5_000
_MIX_LIFE = timedelta(days=8)


def wire(tools: Tools) -> Wired:
    """Serve listening, badges, recommendations and trends; publish tastes, give badges, pair tracks."""
    recommender = Recommender(tools.database, tools.tastes, tools.clock)
    worker = TasteWorker(tools.background, tools.settings.taste_delay_s, tools.clock)
    return Wired(
        servicers=[
            ListeningServicer(tools.database, tools.clock),
            BadgeServicer(tools.database),
            RecommendationServicer(tools.database, recommender, tools.clock),
            TrendServicer(tools.database),
        ],
        loops=[worker.run, PairMaker(tools.background, tools.clock).run],
        sweeps=[
            Sweep("forgotten_plays", sweep_forgotten, _SWEEP_INTERVAL_S),
            Sweep("mixes", sweep_mixes, _SWEEP_INTERVAL_S),
        ],
    )


async def sweep_forgotten(database: Database, now: datetime) -> None:
    """Let go of ids of plays that are too old to be told again anyway."""
    async with database.connection() as connection:
        await listening.sweep_forgotten(connection, now - LATEST_REPORT)


async def sweep_mixes(database: Database, now: datetime) -> None:
    """Forget mixes of days that nobody can ask for any more."""
    while True:
        async with database.connection() as connection:
            if await tastes.sweep_mixes(connection, (now - _MIX_LIFE).date(), _SWEEP_BATCH_SIZE) < _SWEEP_BATCH_SIZE:
                return
