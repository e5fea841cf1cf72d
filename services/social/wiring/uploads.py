"""Uploads, and their end."""

from services.social.domain.uploads import Lent
from services.social.servicer.uploads import UploadServicer
from services.social.settings.uploads import UploadSettings
from services.social.wiring.parts import Tools, Wired
from services.social.workers.upload_sweeps import upload_sweeps


def quota_of(settings: UploadSettings) -> Lent:
    """Return what a person may lend in 24 hours."""
    return Lent(settings.uploads_per_user_and_day, settings.upload_bytes_per_user_and_day)


def wire(tools: Tools) -> Wired:
    """Serve UploadService, and forget uploads."""
    servicer = UploadServicer(tools.database, tools.blobs, quota_of(tools.settings), tools.clock)
    return Wired([servicer], sweeps=upload_sweeps(tools.blobs))
