"""What a recipe would make, shown before anything is made of it."""

from collections.abc import Sequence
from typing import Annotated, Self

import strawberry
from strawberry import field

from museed.social.v1 import sound_pb2
from services.gateway.context import Info
from services.gateway.schema.fields import resolver
from services.gateway.schema.paging import After, Connection, First, connection_from_part, list_window, page_request
from services.gateway.schema.recipe_input import RecipeInput
from services.gateway.schema.scalars import UInt64
from services.gateway.schema.track import Track, load_track, track_by
from services.gateway.schema.values import round_single


@strawberry.type(description="A track that would be chosen, and why.")
class PreviewTrack:
    """A place of the list."""

    position: int = field(description="From 0.")
    track_id: strawberry.ID = field(description="UUID of the track.")
    is_seed: bool = field(description="True for a seed.")
    similarity: float = field(description="Cosine to what all seeds are together, −1 to 1.")
    quantile: float | None = field(
        description="Share of random pairs of tracks that are less alike than this one and what is nearest to it, "
        "0 to 1; null in a library of less than 100 tracks."
    )
    shared_tags: list[str] = field(description="Tags shared with a seed, best first.")
    nearest_place: int | None = field(
        description="Place among the seeds of the positive one that is nearest, from 0; null where not known."
    )
    seed_similarities: list[float] = field(description="Cosine to each seed, in their order.")

    @resolver("The track; null when it was deleted.", track_by("track_id"))
    async def track(self, info: Info) -> Track | None:
        """Load it together with all others of the document."""
        return await load_track(info.context, self.track_id)

    @classmethod
    def from_message(cls, message: sound_pb2.PreviewTrack, position: int) -> Self:
        """Translate social's message."""
        return cls(
            position=position,
            track_id=strawberry.ID(message.track_id),
            is_seed=message.is_seed,
            similarity=round_single(message.similarity),
            quantile=round_single(message.quantile) if message.HasField("quantile") else None,
            shared_tags=list(message.shared_tags),
            nearest_place=message.nearest_seed if message.HasField("nearest_seed") else None,
            seed_similarities=[round_single(each) for each in message.seed_similarities],
        )


@strawberry.type(description="Tracks that a rule passed over.")
class RuleCount:
    """A rule and how much it cost."""

    rule: str = field(description='For example "max_per_artist".')
    count: int = field(description="Candidates that it passed over.")


@strawberry.type(description="What a recipe would make. Nothing of it is kept.")
class PlaylistPreview:
    """The whole list, of which a page is shown."""

    track_count: int = field(description="Tracks that the playlist would have.")
    encoder_id: str = field(description="Model whose ear chose.")
    random_seed: UInt64 | None = field(
        description="What was drawn, or given; null where the recipe leaves nothing to chance. Give it as `randomSeed` "
        "to see further pages, and to generate this very list."
    )
    removed: list[RuleCount] = field(description="Why there are not more: what each rule passed over.")
    found: strawberry.Private[Sequence[sound_pb2.PreviewTrack]]

    @resolver("In playing order, seeds included.")
    def tracks(self, first: First = 25, after: After = None) -> Connection[PreviewTrack] | None:
        """Page through the list that came along."""
        start, end = list_window(page_request(first, after))
        nodes = [
            PreviewTrack.from_message(one, number) for number, one in enumerate(self.found[start:end], start=start)
        ]
        return connection_from_part(start, nodes, has_next_page=end < len(self.found))


@strawberry.type
class PreviewQuery:
    """The query of previews."""

    @resolver(
        "What `generatePlaylist` would make of a recipe, at once and without making it: for clients that show tracks "
        "while somebody turns the knobs. What a job would wait for is refused: hear uploads first (`hearUpload`). Two "
        "at a time for each person; wait for the one before."
    )
    async def playlist_preview(
        self,
        info: Info,
        recipe: Annotated[RecipeInput, strawberry.argument(description="What to make it from, and how.")],
    ) -> PlaylistPreview | None:
        """Ask social."""
        request = sound_pb2.GetPlaylistPreviewRequest(recipe=recipe.to_message())
        answer = await info.context.call(info.context.parts.upstream.sound.GetPlaylistPreview, request)
        return PlaylistPreview(
            track_count=len(answer.tracks),
            encoder_id=answer.encoder_id,
            random_seed=UInt64(answer.recipe.random_seed) if answer.recipe.HasField("random_seed") else None,
            removed=[RuleCount(rule=each.rule, count=each.count) for each in answer.removed],
            found=answer.tracks,
        )
