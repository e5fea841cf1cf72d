"""Counts of what people do."""

from datetime import timedelta

from services.social.store import trends
from services.social.wiring.parts import Tools, Wired
from services.social.workers.tallier import Tallier, standard_folds


def wire(tools: Tools) -> Wired:
    """Count signals, in whichever process gets to it; a part that makes more of them adds its fold here."""
    folds = [*standard_folds(timedelta(hours=tools.settings.trending_half_life_hours)), trends.fold]
    return Wired(loops=[Tallier(tools.background, folds).run])
