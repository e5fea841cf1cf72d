"""What to make a playlist from, as people ask for it."""

import strawberry
from strawberry import field

from museed.social.v1 import jobs_pb2
from services.chassis.errors import InvalidArgument
from services.gateway.ids import decode_id, decode_ids
from services.gateway.schema.rules import Arrangement, TrackFilterInput
from services.gateway.schema.scalars import UInt64


@strawberry.input(description="What the playlist starts from: one of a track, an upload and words.")
class SeedInput:
    """One seed."""

    track_id: strawberry.ID | None = field(default=None, description="A track, by `id` or `trackId`.")
    upload_id: strawberry.ID | None = field(default=None, description="An upload of the caller's own.")
    words: str | None = field(
        default=None,
        description="How it should sound, for example “calm piano on a rainy day”: English or Chinese, or Korean "
        "moods; 1 to 500 characters. Where `searchAbilities.hearsWords` is false this is WORDS_NOT_HEARD.",
    )
    weight: float | None = field(
        default=None,
        description="How much it counts, −10 to 10 and not 0; else 1. What is near to a seed below 0 is put lower; "
        "one seed at least must be above 0.",
    )


@strawberry.input(description="Where a path ends.")
class PathInput:
    """A path."""

    to_track_id: strawberry.ID = field(description="Last track, another one than the seed.")


@strawberry.input(description="What to make a playlist from, and how.")
class RecipeInput:
    """For whatever follows a recipe."""

    seeds: list[SeedInput] = field(description="1 to 20.")
    length: int | None = field(default=None, description="Tracks wanted beside the seeds, 1 to 500; else 25.")
    max_per_artist: int | None = field(default=None, description="Most tracks of one artist, 1 to 500; else 3.")
    include_seed: bool | None = field(default=None, description="Put library seeds first; they do not count. Else yes.")
    min_similarity: float | None = field(default=None, description="Lowest similarity, −1 to 1; else any.")
    exclude_track_ids: list[strawberry.ID] | None = field(
        default=None, description="Tracks that must not be chosen, at most 1,000."
    )
    filter: TrackFilterInput | None = field(
        default=None, description="Which tracks may be chosen; else all. What the caller blocks is never chosen."
    )
    negative_penalty: float | None = field(
        default=None, description="What a track loses for its nearness to the nearest negative seed, 0 to 2; else 0.5."
    )
    weigh_agreement: bool | None = field(
        default=None, description="With two positive seeds or more: what they agree on weighs more. Else no."
    )
    artist_window: int | None = field(
        default=None, description="Places within which no artist comes twice, 1 to 50; else 2: none follows itself."
    )
    diversity: float | None = field(
        default=None, description="Share of dissimilarity to what is chosen already in the next choice, 0 to 1; else 0."
    )
    temperature: float | None = field(
        default=None, description="Randomness of the choice, 0 to 1; else 0, which always chooses the same."
    )
    random_seed: UInt64 | None = field(
        default=None, description="Fixes the random choice; else another one is drawn each time, and kept."
    )
    arrangement: Arrangement | None = field(default=None, description="Playing order; else FLOW.")
    energy_arc: list[float] | None = field(
        default=None,
        description="For ENERGY_ARC: energy of the places from first to last, 2 to 20 numbers of 0 to 1; "
        "else 0.3, 0.8, 0.5.",
    )
    require_length: bool | None = field(
        default=None, description="Fail with CONSTRAINTS_UNREACHABLE rather than bring fewer tracks. Else no."
    )
    use_my_taste: bool | None = field(
        default=None, description="Tilt the choice towards what the caller listens to. Else no."
    )
    profile_weight: float | None = field(
        default=None, description="How far, above 0 and at most 1; else 0.2. Only with `useMyTaste`."
    )
    hub_damping: float | None = field(
        default=None, description="Put tracks lower that are near to everything, 0 to 1; else 0."
    )
    allow_near_duplicates: bool | None = field(
        default=None, description="Let tracks of nearly the same sound and length in. Else no."
    )
    path: PathInput | None = field(
        default=None,
        description="Lead from the seed, one track of the library, to another track in small steps. `length`, 3 to "
        "100, then counts both ends; else 10. Of the rules only `maxPerArtist` and `filter` go with it.",
    )

    def to_message(self) -> jobs_pb2.Recipe:
        """Write it for social, which judges it.

        Raises:
            InvalidArgument: WEIGHT_OUT_OF_RANGE, SEED_AMBIGUOUS, ID_INVALID or ID_OF_ANOTHER_TYPE.
        """
        return jobs_pb2.Recipe(
            seeds=[_seed(seed, f"seeds[{number}]") for number, seed in enumerate(self.seeds)],
            length=self.length,
            max_per_artist=self.max_per_artist,
            include_seed=self.include_seed,
            min_similarity=self.min_similarity,
            exclude_track_ids=decode_ids(self.exclude_track_ids or (), "Track", "excludeTrackIds"),
            filter=self.filter.to_message() if self.filter else None,
            negative_penalty=self.negative_penalty,
            weigh_agreement=bool(self.weigh_agreement),
            artist_window=self.artist_window,
            diversity=self.diversity or 0,
            temperature=self.temperature or 0,
            random_seed=self.random_seed,
            arrangement=self.arrangement.value if self.arrangement else jobs_pb2.ARRANGEMENT_UNSPECIFIED,
            energy_arc=self.energy_arc or (),
            require_length=bool(self.require_length),
            use_my_taste=bool(self.use_my_taste),
            profile_weight=self.profile_weight,
            hub_damping=self.hub_damping or 0,
            allow_near_duplicates=bool(self.allow_near_duplicates),
            path=_path(self.path),
        )


def _seed(seed: SeedInput, path: str) -> jobs_pb2.GenerationSeed:
    weight = seed.weight if seed.weight is not None else 1.0
    if weight == 0:  # upstream's 0 is "left out"
        raise InvalidArgument(
            "weight is 0, it must be −10 to 10 and not 0",
            reason="WEIGHT_OUT_OF_RANGE",
            field=f"{path}.weight",
            value=0,
            limit=10,
        )
    match seed.track_id, seed.upload_id, seed.words:
        case str(track_id), None, None:
            return jobs_pb2.GenerationSeed(track_id=decode_id(track_id, "Track", f"{path}.trackId"), weight=weight)
        case None, str(upload_id), None:
            return jobs_pb2.GenerationSeed(upload_id=decode_id(upload_id, "Upload", f"{path}.uploadId"), weight=weight)
        case None, None, str(words):
            return jobs_pb2.GenerationSeed(words=words, weight=weight)
    raise InvalidArgument("a seed is one of trackId, uploadId and words", reason="SEED_AMBIGUOUS", field=path)


def _path(path: PathInput | None) -> jobs_pb2.PathEnd | None:
    if path is None:
        return None
    return jobs_pb2.PathEnd(to_track_id=decode_id(path.to_track_id, "Track", "path.toTrackId"))
