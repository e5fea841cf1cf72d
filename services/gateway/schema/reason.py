"""Why a track stands in a generated playlist."""

from typing import Self

import strawberry
from strawberry import field

from museed.social.v1 import playlists_pb2
from services.gateway.context import Info, RequestContext
from services.gateway.schema.fields import resolver
from services.gateway.schema.recipe import RecipeSeed, load_recipe
from services.gateway.schema.values import round_single


@strawberry.type(description="How near a track is to one of the seeds.")
class SeedSimilarity:
    """A seed by its place."""

    place: int = field(description="Place among the seeds of the recipe, from 0.")
    similarity: float = field(description="Cosine of the two sounds, −1 to 1.")
    playlist_id: strawberry.Private[str]

    @resolver("The seed; null to others than the playlist's owner.")
    async def seed(self, info: Info) -> RecipeSeed | None:
        """Take it from the recipe, which is loaded once."""
        return await _seed_at(info.context, self.playlist_id, self.place)


@strawberry.type(description="Why a track stands in a generated playlist.")
class EntryReason:
    """What was measured when it was chosen."""

    similarity: float | None = field(
        description="Cosine to what all seeds are together, as rules moved it, −1 to 1; as it is, never scaled."
    )
    quantile: float | None = field(
        description="Share of random pairs of tracks that are less alike than this one and what is nearest to it: "
        "0.992 is closer than 99.2 % of pairs; null in a library of less than 100 tracks."
    )
    shared_tags: list[str] = field(description="Tags shared with a seed, best first.")
    nearest_place: int | None = field(
        description="Place among the seeds of the recipe of the positive one that is nearest; null where not known."
    )
    seed_similarities: list[SeedSimilarity] = field(description="How near it is to each seed, in the recipe's order.")
    playlist_id: strawberry.Private[str]

    @resolver("The positive seed that is nearest; null where it is not known, and to others than the owner.")
    async def nearest_seed(self, info: Info) -> RecipeSeed | None:
        """Take it from the recipe, which is loaded once."""
        return (
            None if self.nearest_place is None else await _seed_at(info.context, self.playlist_id, self.nearest_place)
        )

    @classmethod
    def from_message(cls, message: playlists_pb2.PlaylistEntry, playlist_id: str) -> Self | None:
        """Translate what social's entry tells of it; None where nothing was measured, since a person put it there."""
        if not message.HasField("similarity") and not message.seed_similarities:
            return None
        return cls(
            similarity=round_single(message.similarity) if message.HasField("similarity") else None,
            quantile=round_single(message.quantile) if message.HasField("quantile") else None,
            shared_tags=list(message.shared_tags),
            nearest_place=message.nearest_seed if message.HasField("nearest_seed") else None,
            seed_similarities=[
                SeedSimilarity(place=place, similarity=round_single(each), playlist_id=playlist_id)
                for place, each in enumerate(message.seed_similarities)
            ],
            playlist_id=playlist_id,
        )


async def _seed_at(context: RequestContext, playlist_id: str, place: int) -> RecipeSeed | None:
    recipe = await load_recipe(context, playlist_id)
    return recipe.seeds[place] if recipe is not None and place < len(recipe.seeds) else None
