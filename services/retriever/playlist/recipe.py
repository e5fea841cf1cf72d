"""What somebody asks for: seeds, and a recipe that says how to choose and in which order to play."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track

DEFAULT_ENERGY_ARC = (0.3, 0.8, 0.5)


@dataclass(frozen=True, slots=True)
class Seed:
    """A sound that the playlist starts from.

    Attributes:
        vector: Unit norm, shape (dim,), float32.
        weight: How much it counts, not 0. Above 0 it is part of the target; below, its neighbours are put lower.
        track: The track, for a seed of the library.
        audio_hash: Encoded audio of an upload; 32 bytes or empty. This and what follows tells which recording of the
            library an upload is a copy of; of a seed of the library its track tells more.
        duration_s: Length of an upload in seconds, 0 when unknown.
        title: Of an upload, empty when unknown; likewise its artist.
        artist: See there.
    """

    vector: Float32Array
    weight: float = 1.0
    track: Track | None = None
    audio_hash: bytes = b""
    duration_s: float = 0.0
    title: str = ""
    artist: str = ""

    @property
    def recording(self) -> Track:
        """What is known of the recording: the track, or what came with an upload, which has no id."""
        if self.track is not None:
            return self.track
        return Track("", title=self.title, artist=self.artist, duration_s=self.duration_s, audio_hash=self.audio_hash)


class Arrangement(StrEnum):
    """In which order a playlist is played; see `arrangement.py`."""

    FLOW = "flow"
    SIMILARITY = "similarity"
    ENERGY_ARC = "energy_arc"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to choose, and in which order to play.

    Attributes:
        length: Tracks wanted beside the seeds.
        max_per_artist: Most tracks of one `Track.artist_key`, seeds of the library included.
        include_seed: Puts the seeds of the library first.
        min_similarity: Lowest cosine to the target; None takes all.
        excluded: Ids that must not be chosen.
        negative_penalty: What a candidate loses for each unit of its cosine to the nearest negative seed, 0 to 2.
        weigh_agreement: Lets dimensions on which the seeds agree weigh more.
        artist_window: Places within which no artist comes twice; 2: none follows itself.
        diversity: Share of dissimilarity to the chosen in the choice of the next, 0 to 1.
        temperature: Randomness of the choice, 0 to 1.
        random_seed: Fixes the random choice, 0 to 2⁶⁴ − 1.
        arrangement: Playing order.
        energy_arc: Energy from the first place to the last, at least two numbers of 0 to 1, joined by straight lines.
        hub_damping: Share of a track's mean cosine to its own neighbours that its score loses, 0 to 1.
        require_length: Refuses to give fewer tracks than `length`.
        allow_near_duplicates: Lets tracks of nearly the same sound and length in.
    """

    length: int = 25
    max_per_artist: int = 3
    include_seed: bool = False
    min_similarity: float | None = None
    excluded: frozenset[str] = frozenset()
    negative_penalty: float = 0.5
    weigh_agreement: bool = False
    artist_window: int = 2
    diversity: float = 0.0
    temperature: float = 0.0
    random_seed: int = 0
    arrangement: Arrangement = Arrangement.FLOW
    energy_arc: tuple[float, ...] = DEFAULT_ENERGY_ARC
    hub_damping: float = 0.0
    require_length: bool = False
    allow_near_duplicates: bool = False


def positive(seeds: Sequence[Seed]) -> list[Seed]:
    """Return the seeds that the playlist should sound like."""
    return [seed for seed in seeds if seed.weight > 0]


def negative(seeds: Sequence[Seed]) -> list[Seed]:
    """Return the seeds that it should not sound like."""
    return [seed for seed in seeds if seed.weight < 0]


def library_seeds(seeds: Sequence[Seed]) -> list[Track]:
    """Return the tracks among the seeds, each once, in order."""
    return list({seed.track.track_id: seed.track for seed in seeds if seed.track is not None}.values())
