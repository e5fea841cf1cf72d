"""Which encoder is for what."""

from services.social.servicer.encoders import EncoderServicer
from services.social.wiring.parts import Tools, Wired
from services.social.workers.encoder_keeper import EncoderKeeper


def wire(tools: Tools) -> Wired:
    """Serve EncoderService, and keep encoders."""
    keeper = EncoderKeeper(tools.background, tools.embedders, tools.switch, tools.nudges.begun)
    return Wired([EncoderServicer(tools.database, tools.embedders, tools.switch)], [keeper.run])
