"""Which tracks may be chosen, and in which order: as people ask for it, and as a recipe tells it."""

from collections.abc import Sequence
from enum import Enum
from typing import Self

import strawberry
from strawberry import field

from museed.retriever.v1 import retriever_pb2
from museed.social.v1 import jobs_pb2
from services.chassis.errors import InvalidArgument
from services.gateway.ids import decode_ids
from services.gateway.schema.fields import member

# The product's, as social has them.
GENRES = (
    "Electronic",
    "Experimental",
    "Rock",
    "Pop",
    "Folk",
    "Instrumental",
    "Hip-Hop",
    "International",
    "Jazz",
    "Classical",
    "Blues",
    "Soul-RnB",
    "Spoken",
    "Country",
    "Old-Time / Historic",
    "Easy Listening",
)
KEYS = tuple(
    f"{tonic} {mode}"
    for mode in ("major", "minor")
    for tonic in ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
)


@strawberry.enum(description="Playing order of a generated playlist.")
class Arrangement(Enum):
    """Social's orders."""

    FLOW = member(jobs_pb2.ARRANGEMENT_FLOW, "Smooth: each track is followed by one that sounds near it.")
    SIMILARITY = member(jobs_pb2.ARRANGEMENT_SIMILARITY, "The most similar first.")
    ENERGY_ARC = member(jobs_pb2.ARRANGEMENT_ENERGY_ARC, "Energy rises and falls as `energyArc` says.")


@strawberry.input(description="A range of numbers, both ends included; one that is left out is open.")
class NumberRangeInput:
    """For the ranges of a filter."""

    min: float | None = field(default=None, description="Smallest.")
    max: float | None = field(default=None, description="Largest, not less than the smallest.")


@strawberry.type(description="A range of numbers, both ends included; null is open.")
class NumberRange:
    """A range of a filter that is kept."""

    min: float | None = field(description="Smallest.")
    max: float | None = field(description="Largest.")


@strawberry.input(
    description="Which tracks may be chosen. Everything that is given must be true of a track, of a list one of its "
    "items. Texts have 1 to 200 characters, case does not matter. What is not known of a track is true of nothing."
)
class TrackFilterInput:
    """For whatever chooses tracks."""

    genres: list[str] | None = field(default=None, description="Of the 16 top-level genres (`genres`).")
    artists: list[str] | None = field(default=None, description="Artists by name, at most 1,000.")
    blocked_artists: list[str] | None = field(
        default=None, description="Artists by name that must not be chosen, at most 1,000."
    )
    track_ids: list[strawberry.ID] | None = field(
        default=None, description="Tracks of which each must be one, at most 1,000."
    )
    tags: list[str] | None = field(default=None, description="Tags that a track must have, all of them; at most 20.")
    blocked_tags: list[str] | None = field(default=None, description="Tags that a track must not have, at most 20.")
    duration_seconds: NumberRangeInput | None = field(default=None, description="Length in seconds.")
    year: NumberRangeInput | None = field(default=None, description="Year of release.")
    tempo_bpm: NumberRangeInput | None = field(default=None, description="Beats in a minute.")
    energy: NumberRangeInput | None = field(default=None, description="From calm, 0, to intense, 1.")
    loudness_lufs: NumberRangeInput | None = field(default=None, description="Integrated loudness in LUFS.")
    keys: list[str] | None = field(
        default=None, description='Of the 24 keys, for example "C# minor"; sharps, no flats.'
    )

    def to_message(self) -> jobs_pb2.TrackFilter:
        """Write it for social, which judges it.

        Raises:
            InvalidArgument: An id of no track, with the path below `filter`.
        """
        return jobs_pb2.TrackFilter(
            genres=self.genres or (),
            artists=self.artists or (),
            blocked_artists=self.blocked_artists or (),
            track_ids=decode_ids(self.track_ids or (), "Track", "filter.trackIds"),
            tags=self.tags or (),
            blocked_tags=self.blocked_tags or (),
            duration_seconds=_range_message(self.duration_seconds),
            year=_range_message(self.year),
            tempo_bpm=_range_message(self.tempo_bpm),
            energy=_range_message(self.energy),
            loudness_lufs=_range_message(self.loudness_lufs),
            keys=self.keys or (),
        )


def index_filter(wanted: TrackFilterInput | None) -> retriever_pb2.Filter | None:
    """Write a filter for the index, which judges it, but knows no list of genres and keys.

    Raises:
        InvalidArgument: An id of no track, an unknown genre or key; with the path below `filter`.
    """
    if wanted is None:
        return None
    said = wanted.to_message()
    _check_known(said.genres, GENRES, "genres")
    _check_known(said.keys, KEYS, "keys")
    return retriever_pb2.Filter(
        genres=said.genres,
        artists=said.artists,
        blocked_artists=said.blocked_artists,
        track_ids=said.track_ids,
        tags=said.tags,
        blocked_tags=said.blocked_tags,
        duration_seconds=_index_range(wanted.duration_seconds),
        year=_index_range(wanted.year),
        tempo_bpm=_index_range(wanted.tempo_bpm),
        energy=_index_range(wanted.energy),
        loudness_lufs=_index_range(wanted.loudness_lufs),
        keys=said.keys,
    )


@strawberry.type(description="Which tracks were allowed to be chosen; an empty list and null bound nothing.")
class TrackFilter:
    """The filter of a recipe."""

    genres: list[str] = field(description="Top-level genres.")
    artists: list[str] = field(description="Artists by name.")
    blocked_artists: list[str] = field(description="Artists by name that were not to be chosen.")
    track_ids: list[strawberry.ID] = field(description="UUIDs of the tracks of which each had to be one.")
    tags: list[str] = field(description="Tags that a track had to have.")
    blocked_tags: list[str] = field(description="Tags that a track was not to have.")
    duration_seconds: NumberRange | None = field(description="Length in seconds.")
    year: NumberRange | None = field(description="Year of release.")
    tempo_bpm: NumberRange | None = field(description="Beats in a minute.")
    energy: NumberRange | None = field(description="From calm, 0, to intense, 1.")
    loudness_lufs: NumberRange | None = field(description="Integrated loudness in LUFS.")
    keys: list[str] = field(description='Keys, for example "C major".')

    @classmethod
    def from_message(cls, message: jobs_pb2.TrackFilter) -> Self:
        """Translate social's message."""
        return cls(
            genres=list(message.genres),
            artists=list(message.artists),
            blocked_artists=list(message.blocked_artists),
            track_ids=[strawberry.ID(each) for each in message.track_ids],
            tags=list(message.tags),
            blocked_tags=list(message.blocked_tags),
            duration_seconds=_range(message.duration_seconds) if message.HasField("duration_seconds") else None,
            year=_range(message.year) if message.HasField("year") else None,
            tempo_bpm=_range(message.tempo_bpm) if message.HasField("tempo_bpm") else None,
            energy=_range(message.energy) if message.HasField("energy") else None,
            loudness_lufs=_range(message.loudness_lufs) if message.HasField("loudness_lufs") else None,
            keys=list(message.keys),
        )


def _check_known(texts: Sequence[str], known: Sequence[str], name: str) -> None:
    folded = {one.casefold() for one in known}
    for number, text in enumerate(texts):
        if text.strip().casefold() not in folded:
            wanted = f"one of {', '.join(known)}"
            raise InvalidArgument(
                f"filter.{name}[{number}] must be {wanted}",
                reason="MALFORMED",
                field=f"filter.{name}[{number}]",
                value=text,
                limit=wanted,
            )


def _range_message(wanted: NumberRangeInput | None) -> jobs_pb2.NumberRange | None:
    return None if wanted is None else jobs_pb2.NumberRange(min=wanted.min, max=wanted.max)


def _index_range(wanted: NumberRangeInput | None) -> retriever_pb2.Range | None:
    return None if wanted is None else retriever_pb2.Range(min=wanted.min, max=wanted.max)


def _range(message: jobs_pb2.NumberRange) -> NumberRange:
    return NumberRange(
        min=message.min if message.HasField("min") else None, max=message.max if message.HasField("max") else None
    )
