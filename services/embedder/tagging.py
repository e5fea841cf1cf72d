"""Says in words how a track sounds: the served encoder's own tags, and the five axes of a text model beside it."""

import time
from dataclasses import dataclass

import numpy as np

from services.chassis.errors import Unimplemented
from services.embedder.axes import AXES, Axis, score
from services.embedder.batcher import Lane
from services.embedder.embedding import AudioLimits, TrackEmbedder
from services.embedder.model import Encoder, Float32Array
from services.embedder.spool import SpooledFile
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
    """Tags files.

    Args:
        encoder: What is served.
        tracks: Embeds files with it.
        axes: Scores on the axes; None where no text model is loaded.
        axis_tracks: Embeds files into the space of `axes`; None where `tracks` does.
    """

    def __init__(
        self,
        encoder: Encoder,
        tracks: TrackEmbedder,
        axes: AxisScorer | None = None,
        axis_tracks: TrackEmbedder | None = None,
    ) -> None:
        self._manifest = encoder.manifest
        self._tracks = tracks
        self._axes = axes
        self._axis_tracks = axis_tracks

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

    async def tag(self, file: SpooledFile, limits: AudioLimits, time_left_s: float | None = None) -> TrackTags:
        """Tag a file, which is decoded once for each model that has something to say.

        Args:
            file: The whole file.
            limits: What is accepted.
            time_left_s: How long somebody waits for the answer; None without end.

        Raises:
            Unimplemented: As `check` does.
            AudioError: As `TrackEmbedder.embed` does, and whatever else that raises.
        """
        self.check()
        expires_at = None if time_left_s is None else time.monotonic() + time_left_s
        encoder_id = self._manifest.encoder_id
        tags: Scores = ()
        vector: Float32Array | None = None
        if self._manifest.tags or self._axis_tracks is None:
            embedding = await self._tracks.embed(file.rewind(), limits, Lane.INTERACTIVE, time_left_s)
            tags, vector = embedding.tags, embedding.vector
        if self._axes is None:
            return TrackTags(encoder_id, tags, ())
        if self._axis_tracks is not None:
            # One after the other: both decoders would read through the one position of the open file.
            left_s = None if expires_at is None else max(0.0, expires_at - time.monotonic())
            vector = (await self._axis_tracks.embed(file.rewind(), limits, Lane.INTERACTIVE, left_s)).vector
        assert vector is not None
        return TrackTags(encoder_id if tags else self._axes.encoder_id, tags, self._axes.score(vector))
