"""What a playlist was made from, told to its owner: everything that can be asked for, read back."""

from typing import Self

import strawberry
from strawberry import field

from museed.social.v1 import jobs_pb2, jobwork_pb2
from services.chassis import auth
from services.gateway.context import Info, RequestContext
from services.gateway.schema.fields import resolver
from services.gateway.schema.rules import Arrangement, TrackFilter
from services.gateway.schema.scalars import UInt64
from services.gateway.schema.track import Track, load_track
from services.gateway.schema.values import round_single


@strawberry.type(description="What a playlist started from: a track, an upload or words.")
class RecipeSeed:
    """A seed that is kept."""

    place: int = field(description="Place among the seeds, from 0.")
    track_id: strawberry.ID | None = field(description="UUID of the track; null for anything else.")
    upload_id: strawberry.ID | None = field(description="UUID of the upload; null for anything else.")
    words: str | None = field(description="How it was to sound; null for anything else.")
    weight: float = field(description="How much it counts; what is near to one below 0 is put lower.")

    @resolver("The track; null for anything else, and when it was deleted.")
    async def track(self, info: Info) -> Track | None:
        """Load it together with all others of the document."""
        return await load_track(info.context, self.track_id) if self.track_id else None


@strawberry.type(description="Where a path ends.")
class RecipePath:
    """The end of a path that is kept."""

    to_track_id: strawberry.ID = field(description="UUID of the last track.")

    @resolver("The last track; null when it was deleted.")
    async def to_track(self, info: Info) -> Track | None:
        """Load it together with all others of the document."""
        return await load_track(info.context, self.to_track_id)


@strawberry.type(
    description="What a playlist was made from, as it was followed: what was left open is filled in. "
    "Its fields are those of `GeneratePlaylistInput`, so that it can be asked for again, changed."
)
class Recipe:
    """A recipe that is kept."""

    encoder_id: str = field(description="Model whose ear chose the tracks.")
    seeds: list[RecipeSeed] = field(description="In the order in which `EntryReason` counts them.")
    length: int = field(description="Tracks wanted beside the seeds; of a path, with both ends.")
    max_per_artist: int = field(description="Most tracks of one artist.")
    include_seed: bool = field(description="Whether library seeds stand first.")
    min_similarity: float | None = field(description="Lowest similarity; null takes all.")
    exclude_track_ids: list[strawberry.ID] = field(description="UUIDs of tracks that were not to be chosen.")
    filter: TrackFilter | None = field(description="Which tracks were allowed; null is all.")
    negative_penalty: float | None = field(
        description="What a track loses for its nearness to a negative seed; null is the usual 0.5."
    )
    weigh_agreement: bool = field(description="Whether what positive seeds agree on weighs more.")
    artist_window: int | None = field(description="Places within which no artist comes twice; null is the usual 2.")
    diversity: float = field(description="Share of dissimilarity in the choice, 0 to 1.")
    temperature: float = field(description="Randomness of the choice, 0 to 1.")
    random_seed: UInt64 | None = field(
        description="What fixed the random choice, drawn or given; null where nothing was left to chance."
    )
    arrangement: Arrangement = field(description="Playing order.")
    energy_arc: list[float] = field(description="Energy of the places from first to last; empty is the usual arc.")
    require_length: bool = field(description="Whether fewer tracks than wanted were to be a failure.")
    use_my_taste: bool = field(description="Whether the choice was tilted towards what the owner listens to.")
    profile_weight: float | None = field(description="How far; null is the usual 0.2.")
    hub_damping: float = field(description="How much lower tracks were put that are near to everything, 0 to 1.")
    allow_near_duplicates: bool = field(description="Whether near-duplicates were let in.")
    path: RecipePath | None = field(description="Where the path from the seed ends; null where there is none.")

    @classmethod
    def from_message(cls, kept: jobwork_pb2.KeptRecipe) -> Self:
        """Translate social's message."""
        message = kept.recipe
        return cls(
            encoder_id=kept.encoder_id,
            seeds=[_seed(place, each) for place, each in enumerate(message.seeds)],
            length=message.length,
            max_per_artist=message.max_per_artist,
            include_seed=message.include_seed,
            min_similarity=round_single(message.min_similarity) if message.HasField("min_similarity") else None,
            exclude_track_ids=[strawberry.ID(each) for each in message.exclude_track_ids],
            filter=TrackFilter.from_message(message.filter) if message.HasField("filter") else None,
            negative_penalty=round_single(message.negative_penalty) if message.HasField("negative_penalty") else None,
            weigh_agreement=message.weigh_agreement,
            artist_window=message.artist_window if message.HasField("artist_window") else None,
            diversity=round_single(message.diversity),
            temperature=round_single(message.temperature),
            random_seed=UInt64(message.random_seed) if message.HasField("random_seed") else None,
            arrangement=Arrangement(message.arrangement),
            energy_arc=[round_single(each) for each in message.energy_arc],
            require_length=message.require_length,
            use_my_taste=message.use_my_taste,
            profile_weight=round_single(message.profile_weight) if message.HasField("profile_weight") else None,
            hub_damping=round_single(message.hub_damping),
            allow_near_duplicates=message.allow_near_duplicates,
            path=RecipePath(to_track_id=strawberry.ID(message.path.to_track_id)) if message.HasField("path") else None,
        )


async def load_recipe(context: RequestContext, playlist_id: str) -> Recipe | None:
    """Return the recipe of a playlist of the caller's, through the loader; None where social tells none."""
    if auth.viewer() is None:
        return None
    kept = await context.loaders.recipes.load(playlist_id)
    return None if kept is None else Recipe.from_message(kept)


def _seed(place: int, message: jobs_pb2.GenerationSeed) -> RecipeSeed:
    return RecipeSeed(
        place=place,
        track_id=strawberry.ID(message.track_id) if message.track_id else None,
        upload_id=strawberry.ID(message.upload_id) if message.upload_id else None,
        words=message.words or None,
        weight=round_single(message.weight),
    )
