"""Figures for those who look after a mesh."""

from services.social.wiring.parts import Tools, Wired
from services.social.workers.figures import FiguresKeeper


def wire(tools: Tools) -> Wired:
    """Look what waits, where somebody reads the metrics of this process."""
    if tools.metrics.registry is None:
        return Wired()
    return Wired(loops=[FiguresKeeper(tools.background, tools.door, tools.counts).run])
