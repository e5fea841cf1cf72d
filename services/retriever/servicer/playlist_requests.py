"""Checks requests for playlists, paths and suggestions, and turns them into recipes and seeds."""

from collections.abc import Iterable, Sequence

from museed.retriever.v1 import retriever_pb2
from services.retriever.index.index import TrackIndex
from services.retriever.playlist.extension import ExtensionRecipe
from services.retriever.playlist.path import PathRecipe
from services.retriever.playlist.recipe import DEFAULT_ENERGY_ARC, Arrangement, Recipe, Seed
from services.retriever.request_errors import MissingInput, NoPositiveSeed, SameEnds, SizeMismatch
from services.retriever.servicer.limits import an_id, counted, ids, text, within
from services.retriever.servicer.requests import excluded, own_profile, unit_vector, vector_of_track

DEFAULT_LENGTH, MAX_LENGTH = 25, 500
DEFAULT_PER_ARTIST, MAX_PER_ARTIST = 3, 500
DEFAULT_ARTIST_WINDOW, MAX_ARTIST_WINDOW = 2, 50
DEFAULT_NEGATIVE_PENALTY, MAX_NEGATIVE_PENALTY = 0.5, 2
DEFAULT_PROFILE_WEIGHT = 0.2
MAX_SEEDS = 20
MAX_WEIGHT = 1_000_000
MIN_ARC_POINTS, MAX_ARC_POINTS = 2, 20
DEFAULT_PATH_LENGTH, MIN_PATH_LENGTH, MAX_PATH_LENGTH = 10, 3, 100
DEFAULT_PER_ARTIST_OF_PATH, MAX_PER_ARTIST_OF_PATH = 3, 100
DEFAULT_SUGGESTIONS, MAX_SUGGESTIONS = 10, 100
DEFAULT_PER_ARTIST_OF_SUGGESTIONS, MAX_PER_ARTIST_OF_SUGGESTIONS = 2, 100
MAX_PLAYLIST_TRACKS = 500
MAX_JUDGED = 500
MAX_TEXT = 1000
# Of an upload.
MAX_DURATION_S = 1_000_000
_AUDIO_HASH_BYTES = 32

_ARRANGEMENTS = {
    retriever_pb2.ARRANGEMENT_UNSPECIFIED: Arrangement.FLOW,
    retriever_pb2.ARRANGEMENT_FLOW: Arrangement.FLOW,
    retriever_pb2.ARRANGEMENT_SIMILARITY: Arrangement.SIMILARITY,
    retriever_pb2.ARRANGEMENT_ENERGY_ARC: Arrangement.ENERGY_ARC,
}


def recipe(request: retriever_pb2.BuildPlaylistRequest) -> Recipe:
    """Return how to choose and in which order to play.

    Raises:
        OutOfRange, CountOutOfRange: A number, or the number of excluded tracks or of points of the arc, is beyond its
            limits.
        MissingInput, TextTooLong: An excluded track's id is blank or too long.
    """
    min_similarity, negative_penalty = None, DEFAULT_NEGATIVE_PENALTY
    if request.HasField("min_similarity"):
        min_similarity = within("min_similarity", request.min_similarity, -1, 1)
    if request.HasField("negative_penalty"):
        negative_penalty = within("negative_penalty", request.negative_penalty, 0, MAX_NEGATIVE_PENALTY)
    within("arrangement", int(request.arrangement), 0, max(_ARRANGEMENTS))
    return Recipe(
        length=within("length", request.length or DEFAULT_LENGTH, 1, MAX_LENGTH),
        max_per_artist=within("max_per_artist", request.max_per_artist or DEFAULT_PER_ARTIST, 1, MAX_PER_ARTIST),
        include_seed=request.include_seed,
        min_similarity=min_similarity,
        excluded=excluded(request.exclude_track_ids),
        negative_penalty=negative_penalty,
        weigh_agreement=request.weigh_agreement,
        artist_window=within("artist_window", request.artist_window or DEFAULT_ARTIST_WINDOW, 1, MAX_ARTIST_WINDOW),
        diversity=within("diversity", request.diversity, 0, 1),
        temperature=within("temperature", request.temperature, 0, 1),
        random_seed=request.random_seed,
        arrangement=_ARRANGEMENTS[request.arrangement],
        energy_arc=_energy_arc(request.energy_arc),
        hub_damping=within("hub_damping", request.hub_damping, 0, 1),
        require_length=request.require_length,
        allow_near_duplicates=request.allow_near_duplicates,
    )


def profile_weight(request: retriever_pb2.BuildPlaylistRequest) -> float:
    """Return how far the target is tilted towards the profile, 0 without one.

    Raises:
        OutOfRange: profile_weight is beyond 0 to 1.
        MissingInput, TextTooLong, ProfileOfAnother: See `requests.own_profile`.
    """
    weight = within("profile_weight", request.profile_weight, 0, 1)
    if not request.profile_id:
        return 0.0
    own_profile(request.profile_id)
    return weight or DEFAULT_PROFILE_WEIGHT


def check_seeds(seeds: Sequence[retriever_pb2.Seed]) -> None:
    """Check all of the seeds that can be checked without an index.

    Raises:
        MissingInput: There is no seed, or one without a source.
        NoPositiveSeed: None has a weight above 0.
        OutOfRange, CountOutOfRange, TextTooLong: Something is beyond its limits.
        SizeMismatch: An audio_hash is neither empty nor 32 bytes long.
    """
    if not seeds:
        raise MissingInput("seeds", f"give 1 to {MAX_SEEDS}")
    counted("seeds", len(seeds), MAX_SEEDS)
    for number, seed in enumerate(seeds):
        field = f"seeds[{number}]"
        if seed.WhichOneof("source") is None:
            raise MissingInput(f"{field}.source", "give a vector or a track_id")
        if seed.WhichOneof("source") == "track_id":
            an_id(f"{field}.track_id", seed.track_id)
        within(f"{field}.weight", seed.weight, -MAX_WEIGHT, MAX_WEIGHT)
        if len(seed.audio_hash) not in (0, _AUDIO_HASH_BYTES):
            raise SizeMismatch(f"{field}.audio_hash", len(seed.audio_hash), _AUDIO_HASH_BYTES)
        within(f"{field}.duration_seconds", seed.duration_seconds, 0, MAX_DURATION_S)
        for name in ("title", "artist"):
            if value := getattr(seed, name):
                text(f"{field}.{name}", value, MAX_TEXT)
    if all(seed.weight < 0 for seed in seeds):
        raise NoPositiveSeed(len(seeds), max(seed.weight for seed in seeds))


def resolve_seeds(index: TrackIndex, seeds: Iterable[retriever_pb2.Seed]) -> list[Seed]:
    """Look the seeds up in the index; on the index's thread.

    Raises:
        UnknownTrack: A seed's track is not indexed.
        InvalidArgument: A seed's vector has another length or norm.
    """
    resolved = []
    for number, seed in enumerate(seeds):
        weight = seed.weight or 1.0
        if seed.WhichOneof("source") == "track_id":
            field = f"seeds[{number}].track_id"
            vector, track = vector_of_track(index, seed.track_id, field), index.track(seed.track_id)
        else:
            vector, track = unit_vector(index, seed.vector, f"seeds[{number}].vector"), None
        resolved.append(Seed(vector, weight, track, seed.audio_hash, seed.duration_seconds, seed.title, seed.artist))
    return resolved


def path_recipe(request: retriever_pb2.BuildPathRequest) -> PathRecipe:
    """Return how to lead from one track to the other.

    Raises:
        MissingInput, TextTooLong: An end is not given, or no id.
        SameEnds: Both ends are the same track.
        OutOfRange: length or max_per_artist is beyond its limits.
    """
    for field in ("from_track_id", "to_track_id"):
        an_id(field, getattr(request, field))
    if request.from_track_id == request.to_track_id:
        raise SameEnds("to_track_id", request.to_track_id)
    per_artist = request.max_per_artist or DEFAULT_PER_ARTIST_OF_PATH
    return PathRecipe(
        length=within("length", request.length or DEFAULT_PATH_LENGTH, MIN_PATH_LENGTH, MAX_PATH_LENGTH),
        max_per_artist=within("max_per_artist", per_artist, 1, MAX_PER_ARTIST_OF_PATH),
    )


def extension_recipe(request: retriever_pb2.ExtendPlaylistRequest) -> ExtensionRecipe:
    """Return what to suggest.

    Raises:
        MissingInput, TextTooLong: The playlist has no track, or an id is blank or too long.
        OutOfRange, CountOutOfRange: A list, count, max_per_artist or diversity is beyond its limits.
    """
    if not request.track_ids:
        raise MissingInput("track_ids", f"give 1 to {MAX_PLAYLIST_TRACKS}")
    ids("track_ids", request.track_ids, MAX_PLAYLIST_TRACKS)
    ids("accepted_track_ids", request.accepted_track_ids, MAX_JUDGED)
    ids("rejected_track_ids", request.rejected_track_ids, MAX_JUDGED)
    per_artist = request.max_per_artist or DEFAULT_PER_ARTIST_OF_SUGGESTIONS
    return ExtensionRecipe(
        count=within("count", request.count or DEFAULT_SUGGESTIONS, 1, MAX_SUGGESTIONS),
        max_per_artist=within("max_per_artist", per_artist, 1, MAX_PER_ARTIST_OF_SUGGESTIONS),
        diversity=within("diversity", request.diversity, 0, 1),
    )


def track_seed(index: TrackIndex, track_id: str, field: str) -> Seed:
    """Return a track of the index as a seed.

    Raises:
        UnknownTrack: It is not indexed.
    """
    return Seed(vector_of_track(index, track_id, field), track=index.track(track_id))


def known_seeds(index: TrackIndex, track_ids: Iterable[str]) -> list[Seed]:
    """Return the tracks that are indexed as seeds, each once; unknown ones do not matter."""
    found = [index.track(track_id) for track_id in dict.fromkeys(track_ids)]
    return [Seed(index.vector(track.track_id), track=track) for track in found if track is not None]


def _energy_arc(points: Sequence[float]) -> tuple[float, ...]:
    if not points:
        return DEFAULT_ENERGY_ARC
    counted("energy_arc", len(points), MAX_ARC_POINTS, MIN_ARC_POINTS)
    return tuple(within(f"energy_arc[{number}]", point, 0, 1) for number, point in enumerate(points))
