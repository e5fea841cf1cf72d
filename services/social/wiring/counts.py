"""Counts of what people do."""

from services.social.store import trends
from services.social.wiring.parts import Tools, Wired
from services.social.workers.tallier import STANDARD_FOLDS, Tallier


def wire(tools: Tools) -> Wired:
    """Count signals, in whichever process gets to it; a part that makes more of them adds its fold here."""
    return Wired(loops=[Tallier(tools.background, [*STANDARD_FOLDS, trends.fold]).run])
