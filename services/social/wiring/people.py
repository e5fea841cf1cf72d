"""Following, feeds, trends, notifications, and who may see what."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from services.social.domain.activities import first_id_of
from services.social.servicer.feed import FeedServicer
from services.social.servicer.notifications import NotificationServicer
from services.social.servicer.people import PeopleServicer
from services.social.servicer.views import ViewServicer
from services.social.store import activities, notifications
from services.social.store.database import Connection, Database
from services.social.wiring.parts import Tools, Wired
from services.social.workers.sweeping import Sweep
from services.social.workers.trending import TrendMaker

_SWEEP_EVERY_S = 600.0
_BATCH_SIZE = 1_000


def wire(tools: Tools) -> Wired:
    """Serve people, feeds, notifications and views; make rankings; forget what is old."""
    settings = tools.settings
    trends = TrendMaker(tools.background, tools.clock, timedelta(seconds=settings.trending_interval_s))
    return Wired(
        [
            PeopleServicer(tools.database, tools.clock),
            FeedServicer(tools.database),
            NotificationServicer(tools.database, tools.clock),
            ViewServicer(tools.database),
        ],
        [trends.run],
        [
            Sweep("activities", forgetting(activities.delete_old, settings.activity_life_days), _SWEEP_EVERY_S),
            Sweep(
                "notifications", forgetting(notifications.delete_old, settings.notification_life_days), _SWEEP_EVERY_S
            ),
            Sweep("heat", trends.sweep, _SWEEP_EVERY_S),
        ],
    )


def forgetting(
    delete_old: Callable[[Connection, str, int], Awaitable[int]], days: int
) -> Callable[[Database, datetime], Awaitable[None]]:
    """Return a sweep of what is older than so many days, told by its ids, in batches."""

    async def sweep(database: Database, now: datetime) -> None:
        first_kept = first_id_of(now - timedelta(days=days))
        async with database.connection() as connection:
            while await delete_old(connection, first_kept, _BATCH_SIZE) == _BATCH_SIZE:
                pass

    return sweep
