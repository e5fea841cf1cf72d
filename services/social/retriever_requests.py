"""Writes what social asks of the retriever, and reads the tracks that it chooses."""

from collections.abc import Sequence
from dataclasses import dataclass

from museed.retriever.v1 import retriever_pb2
from services.social.domain.catalog import ReadPoint
from services.social.domain.ids import EncoderId, TrackId, UserId
from services.social.domain.playlists import ChosenTrack
from services.social.domain.recipe import Recipe
from services.social.domain.rules import MOST_BLOCKED, NumberRange, TrackFilter
from services.social.errors import OutOfRange
from services.social.wire import timestamp


@dataclass(frozen=True, slots=True)
class SeedSound:
    """A seed as the retriever takes it: a track of the index, or an upload's vector and what tells its recording.

    Attributes:
        audio_hash: Of a track whose file is the upload's; else empty.
        duration_seconds: Length of an upload, by which the retriever knows its copies in other formats.
    """

    track_id: TrackId | None
    vector: bytes
    weight: float
    audio_hash: bytes
    duration_seconds: float


@dataclass(frozen=True, slots=True)
class Blocks:
    """What a person is not to be given: tracks, and artists by every spelling of their names."""

    track_ids: tuple[TrackId, ...] = ()
    artists: tuple[str, ...] = ()


def playlist_request(
    recipe: Recipe,
    seeds: Sequence[SeedSound],
    blocks: Blocks,
    person: UserId,
    encoder_id: EncoderId,
    read_point: ReadPoint | None,
) -> retriever_pb2.BuildPlaylistRequest:
    """Write what a recipe without a path asks for.

    Raises:
        OutOfRange: It blocks more artists, with those of the person, than the retriever takes.
    """
    rules = recipe.rules
    return retriever_pb2.BuildPlaylistRequest(
        seeds=[_seed(seed) for seed in seeds],
        encoder_id=encoder_id,
        length=recipe.length,
        max_per_artist=recipe.max_per_artist,
        include_seed=recipe.include_seed,
        min_similarity=recipe.min_similarity,
        exclude_track_ids=recipe.exclude_track_ids,
        min_read_point=read_point_message(read_point),
        filter=filter_message(rules.filter, blocks),
        negative_penalty=rules.negative_penalty,
        weigh_agreement=rules.weigh_agreement,
        artist_window=rules.artist_window or 0,
        diversity=rules.diversity,
        temperature=rules.temperature,
        random_seed=rules.random_seed or 0,
        arrangement=retriever_pb2.Arrangement.Value(f"ARRANGEMENT_{rules.arrangement}"),
        energy_arc=rules.energy_arc,
        require_length=rules.require_length,
        profile_id=person if rules.use_my_taste else "",
        profile_weight=rules.profile_weight or 0,
        hub_damping=rules.hub_damping,
        allow_near_duplicates=rules.allow_near_duplicates,
    )


def path_request(
    recipe: Recipe, blocks: Blocks, encoder_id: EncoderId, read_point: ReadPoint | None
) -> retriever_pb2.BuildPathRequest:
    """Write what a recipe with a path asks for.

    Raises:
        OutOfRange: As `playlist_request`.
    """
    return retriever_pb2.BuildPathRequest(
        from_track_id=recipe.seeds[0].track_id or "",
        to_track_id=recipe.rules.path_to or "",
        length=recipe.length,
        encoder_id=encoder_id,
        filter=filter_message(recipe.rules.filter, blocks),
        max_per_artist=recipe.max_per_artist,
        min_read_point=read_point_message(read_point),
    )


def filter_message(wanted: TrackFilter, blocks: Blocks) -> retriever_pb2.Filter:
    """Write which tracks may be chosen, less what a person blocks.

    Raises:
        OutOfRange: More artists are blocked than the retriever takes.
    """
    blocked_artists = list(dict.fromkeys([*wanted.blocked_artists, *blocks.artists]))
    if len(blocked_artists) > MOST_BLOCKED:
        raise OutOfRange(
            "recipe.filter.blocked_artists", len(blocked_artists), MOST_BLOCKED, "with your blocked artists"
        )
    return retriever_pb2.Filter(
        genres=wanted.genres,
        artists=wanted.artists,
        blocked_artists=blocked_artists,
        blocked_track_ids=blocks.track_ids,
        track_ids=wanted.track_ids,
        tags=wanted.tags,
        blocked_tags=wanted.blocked_tags,
        duration_seconds=_range(wanted.duration_seconds),
        year=_range(wanted.year),
        tempo_bpm=_range(wanted.tempo_bpm),
        energy=_range(wanted.energy),
        loudness_lufs=_range(wanted.loudness_lufs),
        keys=wanted.keys,
    )


def read_point_message(point: ReadPoint | None) -> retriever_pb2.ReadPoint | None:
    """Write up to where the log must be read, None where nothing of it was ever published."""
    if point is None:
        return None
    return retriever_pb2.ReadPoint(sequence=point.sequence, stream_created_at=timestamp(point.stream_created_at))


def chosen(track: retriever_pb2.PlaylistTrack) -> ChosenTrack:
    """Read a track that was chosen."""
    return ChosenTrack(
        TrackId(track.track_id),
        track.similarity,
        track.is_seed,
        list(track.seed_similarities),
        list(track.shared_tags),
        track.nearest_seed,
        track.quantile if track.HasField("quantile") else None,
    )


def _range(wanted: NumberRange | None) -> retriever_pb2.Range | None:
    return None if wanted is None else retriever_pb2.Range(min=wanted.min, max=wanted.max)


def _seed(seed: SeedSound) -> retriever_pb2.Seed:
    if seed.track_id is not None:
        return retriever_pb2.Seed(track_id=seed.track_id, weight=seed.weight)
    return retriever_pb2.Seed(
        vector=seed.vector,
        weight=seed.weight,
        audio_hash=seed.audio_hash,
        duration_seconds=seed.duration_seconds,
    )
