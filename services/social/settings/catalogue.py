"""Settings of the catalogue."""

from services.chassis.settings import Settings


class CatalogueSettings(Settings):
    """Nothing can be set yet."""
