"""What brings tracks into the library."""

from services.social.servicer.ingest import IngestServicer
from services.social.wiring.parts import Tools, Wired


def wire(tools: Tools) -> Wired:
    """Serve IngestService."""
    return Wired([IngestServicer(tools.database, tools.clock)])
