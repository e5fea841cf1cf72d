"""Reads recipes and filters as callers write them, and writes those that are kept."""

from google.protobuf.message import Message

from museed.social.v1 import jobs_pb2
from services.social.domain import fields
from services.social.domain.ids import TrackId
from services.social.domain.recipe import MOST_SEEDS, Recipe, Seed, check_recipe, check_seed
from services.social.domain.rules import Arrangement, NumberRange, Rules, TrackFilter
from services.social.errors import Malformed


def to_recipe(message: jobs_pb2.Recipe) -> Recipe:
    """Read and check a recipe.

    Raises:
        Missing, Malformed, OutOfRange: With the field.
    """
    fields.count(len(message.seeds), "recipe.seeds", MOST_SEEDS)
    return check_recipe(
        [
            check_seed(
                seed.track_id,
                seed.upload_id,
                seed.weight,
                f"recipe.seeds[{index}]",
                seed.words if seed.HasField("words") else None,
            )
            for index, seed in enumerate(message.seeds)
        ],
        message.length if message.HasField("length") else None,
        message.max_per_artist if message.HasField("max_per_artist") else None,
        message.include_seed if message.HasField("include_seed") else None,
        message.min_similarity if message.HasField("min_similarity") else None,
        list(message.exclude_track_ids),
        _rules(message),
    )


def to_filter(message: jobs_pb2.TrackFilter) -> TrackFilter:
    """Read which tracks may be chosen; it is not checked yet."""
    return TrackFilter(
        tuple(message.genres),
        tuple(message.artists),
        tuple(message.blocked_artists),
        tuple(TrackId(track_id) for track_id in message.track_ids),
        tuple(message.tags),
        tuple(message.blocked_tags),
        _range(message, "duration_seconds"),
        _range(message, "year"),
        _range(message, "tempo_bpm"),
        _range(message, "energy"),
        _range(message, "loudness_lufs"),
        tuple(message.keys),
    )


def recipe_message(kept: Recipe) -> jobs_pb2.Recipe:
    """Write a recipe: read again, it is the same, but that a random seed that was drawn counts as fixed."""
    rules = kept.rules
    return jobs_pb2.Recipe(
        seeds=[_seed_message(seed) for seed in kept.seeds],
        length=kept.length,
        max_per_artist=kept.max_per_artist,
        include_seed=kept.include_seed,
        min_similarity=kept.min_similarity,
        exclude_track_ids=kept.exclude_track_ids,
        filter=None if rules.filter == TrackFilter() else _filter_message(rules.filter),
        negative_penalty=rules.negative_penalty,
        weigh_agreement=rules.weigh_agreement,
        artist_window=rules.artist_window,
        diversity=rules.diversity,
        temperature=rules.temperature,
        random_seed=rules.random_seed,
        arrangement=jobs_pb2.Arrangement.Value(f"ARRANGEMENT_{rules.arrangement.value}"),
        energy_arc=rules.energy_arc,
        require_length=rules.require_length,
        use_my_taste=rules.use_my_taste,
        profile_weight=rules.profile_weight,
        hub_damping=rules.hub_damping,
        allow_near_duplicates=rules.allow_near_duplicates,
        path=None if rules.path_to is None else jobs_pb2.PathEnd(to_track_id=rules.path_to),
    )


def _seed_message(kept: Seed) -> jobs_pb2.GenerationSeed:
    if kept.track_id is not None:
        return jobs_pb2.GenerationSeed(track_id=kept.track_id, weight=kept.weight)
    if kept.words is not None:
        return jobs_pb2.GenerationSeed(words=kept.words, weight=kept.weight)
    return jobs_pb2.GenerationSeed(upload_id=kept.upload_id or "", weight=kept.weight)


def _filter_message(kept: TrackFilter) -> jobs_pb2.TrackFilter:
    return jobs_pb2.TrackFilter(
        genres=kept.genres,
        artists=kept.artists,
        blocked_artists=kept.blocked_artists,
        track_ids=kept.track_ids,
        tags=kept.tags,
        blocked_tags=kept.blocked_tags,
        duration_seconds=_range_message(kept.duration_seconds),
        year=_range_message(kept.year),
        tempo_bpm=_range_message(kept.tempo_bpm),
        energy=_range_message(kept.energy),
        loudness_lufs=_range_message(kept.loudness_lufs),
        keys=kept.keys,
    )


def _range_message(kept: NumberRange | None) -> jobs_pb2.NumberRange | None:
    return None if kept is None else jobs_pb2.NumberRange(min=kept.min, max=kept.max)


def _rules(message: jobs_pb2.Recipe) -> Rules:
    return Rules(
        filter=to_filter(message.filter),
        negative_penalty=message.negative_penalty if message.HasField("negative_penalty") else None,
        weigh_agreement=message.weigh_agreement,
        artist_window=message.artist_window if message.HasField("artist_window") else None,
        diversity=message.diversity,
        temperature=message.temperature,
        random_seed=message.random_seed if message.HasField("random_seed") else None,
        arrangement=_arrangement(message.arrangement),
        energy_arc=tuple(message.energy_arc),
        require_length=message.require_length,
        use_my_taste=message.use_my_taste,
        profile_weight=message.profile_weight if message.HasField("profile_weight") else None,
        hub_damping=message.hub_damping,
        allow_near_duplicates=message.allow_near_duplicates,
        path_to=TrackId(message.path.to_track_id) if message.HasField("path") else None,
    )


def _arrangement(value: jobs_pb2.Arrangement.ValueType) -> Arrangement:
    if value == jobs_pb2.ARRANGEMENT_UNSPECIFIED:
        return Arrangement.FLOW
    if value not in jobs_pb2.Arrangement.values():
        raise Malformed("recipe.arrangement", value, "FLOW, SIMILARITY or ENERGY_ARC")
    return Arrangement(jobs_pb2.Arrangement.Name(value).removeprefix("ARRANGEMENT_"))


def _range(message: Message, field: str) -> NumberRange | None:
    if not message.HasField(field):
        return None
    given: jobs_pb2.NumberRange = getattr(message, field)
    found = NumberRange(
        given.min if given.HasField("min") else None,
        given.max if given.HasField("max") else None,
    )
    return None if found == NumberRange() else found
