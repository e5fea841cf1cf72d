"""Settings of what brings tracks into the library."""

from services.chassis.settings import Settings


class IngestSettings(Settings):
    """Nothing can be set yet."""
