"""The library: tracks, artists and albums, their search, and uploads beside them."""

from datetime import timedelta

from services.social.actions.library_stats import LibraryStats
from services.social.servicer.blocklists import BlocklistServicer
from services.social.servicer.catalog import CatalogServicer
from services.social.servicer.library import LibraryServicer
from services.social.wiring.parts import Tools, Wired
from services.social.wiring.uploads import quota_of
from services.social.workers.refining import Refiner


def wire(tools: Tools) -> Wired:
    """Serve CatalogService, LibraryService and BlocklistService, and refine tracks."""
    settings = tools.settings
    upload_life = timedelta(days=settings.upload_life_days)
    stats = LibraryStats(tools.database, tools.monotonic)
    servicers = [
        CatalogServicer(tools.database, quota_of(settings), upload_life, tools.clock, stats, blobs=tools.blobs),
        LibraryServicer(tools.database, stats),
        BlocklistServicer(tools.database, tools.clock),
    ]
    return Wired(servicers, [Refiner(tools.background).run])
