"""Says in words how a track sounds: the served encoder's own tags, and the five axes of a text model beside it."""

from dataclasses import dataclass

import numpy as np

from services.chassis.errors import Unimplemented
from services.embedder.axes import AXES, Axis, score
from services.embedder.intake import Intake
from services.embedder.lanes import Lane
from services.embedder.model import Encoder, Float32Array
from services.embedder.text import TextModel

Scores = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class TrackTags:
    """How a track sounds.

    Attributes:
        encoder_id: Encoder that gave the tags; that of the axes where there are only those.
        tags: The encoder's own tags and scores in [0, 1], best first.
        axes: Words and scores by axis, best first; the scores of an axis sum to 1.
    """

    encoder_id: str
    tags: Scores
    axes: tuple[tuple[str, Scores], ...]


class AxisScorer:
    """Scores tracks on the five axes; embeds their prompts once, when it is made, which blocks for seconds.

    Args:
        model: Gives the vectors of words, in the space of the tracks' vectors.
    """

    def __init__(self, model: TextModel) -> None:
        self.encoder_id = model.manifest.encoder_id
        self._axes: list[tuple[Axis, Float32Array]] = [
            (axis, np.stack([model.embed_text(prompt) for prompt in axis.prompts.values()])) for axis in AXES
        ]

    def score(self, track: Float32Array) -> tuple[tuple[str, Scores], ...]:
        """Score a unit vector of shape (dim,) on each axis."""
        return tuple((axis.name, score(axis, track, words)) for axis, words in self._axes)


class Tagger:
    """Tags files of the blob store.

    Args:
        encoder: What is served.
        intake: Embeds with it.
        axes: Scores on the axes; None where no text model is loaded.
        axis_intake: Embeds into the space of `axes`; None where `intake` does.
    """

    def __init__(
        self, encoder: Encoder, intake: Intake, axes: AxisScorer | None = None, axis_intake: Intake | None = None
    ) -> None:
        self._manifest = encoder.manifest
        self._intake = intake
        self._axes = axes
        self._axis_intake = axis_intake

    def check(self) -> None:
        """Refuse where nothing here gives tags.

        Raises:
            Unimplemented: The encoder has none and no text model is loaded; the message names the setting.
        """
        if self._axes is None and not self._manifest.tags:
            raise Unimplemented(
                f"encoder {self._manifest.encoder_id} has no tags and no text model is loaded: set EMBEDDER_MULAN",
                field="EMBEDDER_MULAN",
            )

    async def tag(self, digest: bytes) -> TrackTags:
        """Tag a file for the request at hand; it is read and decoded once for each model that has something to say.

        Raises:
            Unimplemented: As `check` does.
            InvalidArgument: As `Intake.blob` does, and whatever else that raises.
        """
        self.check()
        limits = self._intake.limits_for("", 0)
        encoder_id, tags = self._manifest.encoder_id, Scores()
        vector: Float32Array | None = None
        if self._manifest.tags or self._axis_intake is None:
            found = await self._intake.blob(digest, limits, Lane.INTERACTIVE)
            tags, vector = found.tags, found.vector
        if self._axes is None:
            return TrackTags(encoder_id, tags, ())
        if self._axis_intake is not None:
            vector = (await self._axis_intake.blob(digest, limits, Lane.INTERACTIVE)).vector
        assert vector is not None  # of the one or of the other
        return TrackTags(encoder_id if tags else self._axes.encoder_id, tags, self._axes.score(vector))
