"""The parts of the service: each in a module of its own, which says what it serves and what it does on its own."""

from collections.abc import Callable

from services.social.wiring import (
    accounts,
    care,
    catalogue,
    counts,
    encoders,
    figures,
    ingest,
    jobs,
    people,
    playlists,
    taste,
    uploads,
    work,
)
from services.social.wiring.parts import Tools, Wired

__all__ = ["PARTS", "Tools", "Wired"]

PARTS: list[Callable[[Tools], Wired]] = [
    accounts.wire,
    care.wire,
    catalogue.wire,
    counts.wire,
    ingest.wire,
    playlists.wire,
    jobs.wire,
    uploads.wire,
    people.wire,
    taste.wire,
    work.wire,
    encoders.wire,
    figures.wire,
]
