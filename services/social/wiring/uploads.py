"""Uploads, and their end."""

from services.social.servicer.uploads import UploadServicer
from services.social.wiring.parts import Tools, Wired
from services.social.workers.upload_sweeps import upload_sweeps


def wire(tools: Tools) -> Wired:
    """Serve UploadService, and forget uploads."""
    servicer = UploadServicer(tools.database, tools.blobs, tools.clock)
    return Wired([servicer], sweeps=upload_sweeps(tools.blobs))
