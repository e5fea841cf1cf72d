"""Encoders and what each is for: one is served, one may come next, one was before."""

from dataclasses import dataclass
from enum import StrEnum

from services.social.domain.ids import EncoderId


@dataclass(frozen=True, slots=True)
class Encoder:
    """A model that turns sound into vectors of `dimension` numbers.

    Attributes:
        window_seconds: 0 where not known.
        hears_words: Whether its embedder puts words among its sounds; False where only rows were asked.
    """

    encoder_id: EncoderId
    name: str
    dimension: int
    window_seconds: float = 0.0
    hears_words: bool = False


class Role(StrEnum):
    """What an encoder is for; declared in the order in which they are listed."""

    SERVING = "SERVING"
    CANDIDATE = "CANDIDATE"
    PREVIOUS = "PREVIOUS"
    RETIRED = "RETIRED"


@dataclass(frozen=True, slots=True)
class Roles:
    """Which encoder is for what.

    Attributes:
        serving: Its vectors are served.
        candidate: Is served as soon as it knows the whole library.
        previous: Was served before; None before the first switch.
    """

    serving: EncoderId
    candidate: EncoderId | None
    previous: EncoderId | None

    @property
    def kept(self) -> list[EncoderId]:
        """The encoders that hear every new track: at most two at a time, since each needs an embedder.

        While a candidate is on its way, the encoder before rests; it catches up if the candidate is given up.
        """
        second = self.candidate or self.previous
        return [self.serving] if second is None else [self.serving, second]

    def role_of(self, encoder_id: EncoderId) -> Role:
        """Return what an encoder is for; on its way back, the encoder before is the candidate."""
        if encoder_id == self.serving:
            return Role.SERVING
        if encoder_id == self.candidate:
            return Role.CANDIDATE
        return Role.PREVIOUS if encoder_id == self.previous else Role.RETIRED
