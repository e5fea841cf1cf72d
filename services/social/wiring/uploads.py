"""Uploads, and their end."""

from services.social.servicer.uploads import UploadServicer
from services.social.upload_sweeps import upload_sweeps
from services.social.wiring.parts import Tools, Wired


def wire(tools: Tools) -> Wired:
    """Serve UploadService, and forget uploads."""
    servicer = UploadServicer(tools.database, tools.blobs, tools.clock)
    return Wired([servicer], sweeps=upload_sweeps(tools.blobs))
