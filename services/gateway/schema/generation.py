"""Playlists made from sound: asked for with all its rules, and made once more from the recipe that is kept."""

from typing import Annotated

import strawberry
from strawberry import field

from museed.social.v1 import jobs_pb2, jobwork_pb2, playlists_pb2
from services.chassis.errors import InvalidArgument
from services.gateway.context import Info
from services.gateway.ids import decode_id, decode_ids
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import key_or_new, mutation, resolver
from services.gateway.schema.job import Job
from services.gateway.schema.playlist import Playlist, Visibility, load_playlist
from services.gateway.schema.rules import Arrangement, TrackFilterInput
from services.gateway.schema.scalars import UInt64

KEY = "1 to 200 characters; repeating the request with it returns the same job for 24 hours."


@strawberry.input(description="A sound that the playlist starts from: a track or an upload.")
class SeedInput:
    """One seed of `generatePlaylist`."""

    track_id: strawberry.ID | None = field(default=None, description="A track, by `id` or `trackId`.")
    upload_id: strawberry.ID | None = field(default=None, description="An upload of the caller's own.")
    weight: float | None = field(
        default=None,
        description="How much it counts, −10 to 10 and not 0; else 1. What is near to a seed below 0 is put lower; "
        "one seed at least must be above 0.",
    )


@strawberry.input(description="Where a path ends.")
class PathInput:
    """A path of `generatePlaylist`."""

    to_track_id: strawberry.ID = field(description="Last track, another one than the seed.")


@strawberry.input(description="What to make a playlist from, and how.")
class GeneratePlaylistInput:
    """For `generatePlaylist`."""

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
    title: str | None = field(default=None, description="At most 200 characters; else it is named after the seeds.")
    visibility: Visibility | None = field(default=None, description="Who may open it; else PRIVATE.")
    idempotency_key: str | None = field(default=None, description=KEY)


@strawberry.input(description="Which playlist to make once more.")
class RegeneratePlaylistInput:
    """For `regeneratePlaylist`."""

    playlist_id: strawberry.ID = field(description="A playlist of the caller's own with a recipe.")
    replace: bool = field(
        description="Replace what was generated in it, and keep what a person added, at its end; "
        "false makes another playlist."
    )
    idempotency_key: str | None = field(default=None, description=KEY)


@strawberry.type(description="The job was accepted; a quick one is done already.")
class GeneratePlaylistSuccess:
    """Of `generatePlaylist`."""

    job: Job = field(description="The job.")

    @resolver("What came out; null while the job is under way. Watch it with `jobProgress`.")
    async def playlist(self, info: Info) -> Playlist | None:
        """Load it with its entries."""
        return await load_playlist(info.context, self.job.playlist_id) if self.job.playlist_id else None


@strawberry.type(description="The job was accepted; a quick one is done already.")
class RegeneratePlaylistSuccess:
    """Of `regeneratePlaylist`."""

    job: Job = field(description="The job.")

    @resolver("What came out; null while the job is under way. Watch it with `jobProgress`.")
    async def playlist(self, info: Info) -> Playlist | None:
        """Load it with its entries."""
        return await load_playlist(info.context, self.job.playlist_id) if self.job.playlist_id else None


GeneratePlaylistResult = Annotated[GeneratePlaylistSuccess | Refusal, strawberry.union("GeneratePlaylistResult")]
RegeneratePlaylistResult = Annotated[RegeneratePlaylistSuccess | Refusal, strawberry.union("RegeneratePlaylistResult")]


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
    if seed.track_id is not None and seed.upload_id is None:
        return jobs_pb2.GenerationSeed(track_id=decode_id(seed.track_id, "Track", f"{path}.trackId"), weight=weight)
    if seed.upload_id is not None and seed.track_id is None:
        return jobs_pb2.GenerationSeed(upload_id=decode_id(seed.upload_id, "Upload", f"{path}.uploadId"), weight=weight)
    raise InvalidArgument("a seed is either a trackId or an uploadId", reason="SEED_AMBIGUOUS", field=path)


def _path(path: PathInput | None) -> jobs_pb2.PathEnd | None:
    if path is None:
        return None
    return jobs_pb2.PathEnd(to_track_id=decode_id(path.to_track_id, "Track", "path.toTrackId"))


def _recipe(input: GeneratePlaylistInput) -> jobs_pb2.Recipe:
    return jobs_pb2.Recipe(
        seeds=[_seed(seed, f"seeds[{number}]") for number, seed in enumerate(input.seeds)],
        length=input.length,
        max_per_artist=input.max_per_artist,
        include_seed=input.include_seed,
        min_similarity=input.min_similarity,
        exclude_track_ids=decode_ids(input.exclude_track_ids or (), "Track", "excludeTrackIds"),
        filter=input.filter.to_message() if input.filter else None,
        negative_penalty=input.negative_penalty,
        weigh_agreement=bool(input.weigh_agreement),
        artist_window=input.artist_window,
        diversity=input.diversity or 0,
        temperature=input.temperature or 0,
        random_seed=input.random_seed,
        arrangement=input.arrangement.value if input.arrangement else jobs_pb2.ARRANGEMENT_UNSPECIFIED,
        energy_arc=input.energy_arc or (),
        require_length=bool(input.require_length),
        use_my_taste=bool(input.use_my_taste),
        profile_weight=input.profile_weight,
        hub_damping=input.hub_damping or 0,
        allow_near_duplicates=bool(input.allow_near_duplicates),
        path=_path(input.path),
    )


@strawberry.type
class GenerationMutation:
    """Mutations that make playlists from sound."""

    @mutation(
        "Asks for a playlist. The answer waits briefly, so that a job whose seeds are all in the library "
        "comes back done; follow a longer one with `jobProgress` or `job`."
    )
    async def generate_playlist(self, info: Info, input: GeneratePlaylistInput) -> GeneratePlaylistResult:
        """Make the job and wait a little."""
        context = info.context
        wait_ms = context.parts.settings.generation_wait_ms
        request = jobs_pb2.CreateGenerationJobRequest(
            idempotency_key=key_or_new(input.idempotency_key),
            recipe=_recipe(input),
            title=input.title or "",
            visibility=input.visibility.value if input.visibility else playlists_pb2.VISIBILITY_UNSPECIFIED,
            wait_ms=wait_ms,
        )
        method = context.parts.upstream.jobs.CreateGenerationJob
        answer = await context.call(method, request, extra_time_s=wait_ms / 1000)
        return GeneratePlaylistSuccess(job=Job.from_message(answer.job))

    @mutation(
        "Makes a playlist of the caller's own once more from its recipe, with what the library has now. "
        "The answer waits briefly, as that of `generatePlaylist` does."
    )
    async def regenerate_playlist(self, info: Info, input: RegeneratePlaylistInput) -> RegeneratePlaylistResult:
        """Make the job and wait a little."""
        context = info.context
        wait_ms = context.parts.settings.generation_wait_ms
        request = jobwork_pb2.CreateRegenerationJobRequest(
            idempotency_key=key_or_new(input.idempotency_key),
            playlist_id=decode_id(input.playlist_id, "Playlist", "playlistId"),
            replace=input.replace,
            wait_ms=wait_ms,
        )
        method = context.parts.upstream.playlist_jobs.CreateRegenerationJob
        answer = await context.call(method, request, extra_time_s=wait_ms / 1000)
        return RegeneratePlaylistSuccess(job=Job.from_message(answer.job))
