"""What a recipe starts from: whether its seeds can be used, what they are called, and how its uploads sound."""

import os
from collections.abc import Mapping
from datetime import datetime

from services.social.domain.catalog import EmbeddingState, Track, title_of
from services.social.domain.ids import TrackId, UploadId, UserId
from services.social.domain.recipe import Recipe, Seed
from services.social.domain.uploads import Upload
from services.social.errors import TrackFailed, TrackNotFound, TrackNotReady, UploadNotFound
from services.social.retriever_requests import SeedSound
from services.social.store import catalog, uploads
from services.social.store.database import Connection


async def seed_names(connection: Connection, recipe: Recipe, user_id: UserId, now: datetime) -> list[tuple[str, str]]:
    """Return title and artist of every seed.

    Raises:
        TrackNotFound, TrackNotReady, TrackFailed, UploadNotFound: A seed cannot be used; names which.
    """
    path_to = recipe.rules.path_to
    track_ids = [*recipe.track_ids, *([] if path_to is None else [path_to])]
    tracks = {track.track_id: track for track in await catalog.find_tracks(connection, track_ids)}
    lent = await uploads.find_uploads(connection, recipe.upload_ids, user_id, now)
    names = []
    for place, seed in enumerate(recipe.seeds):
        if seed.words is not None:
            names.append((seed.words, ""))
        elif seed.upload_id is not None:
            if seed.upload_id not in lent:
                raise UploadNotFound(seed.upload_id, field_of(place, "upload_id"))
            names.append((title_of(os.fsencode(lent[seed.upload_id].file_name or "an upload")), ""))
        elif seed.track_id is not None:
            track = _usable(tracks, seed.track_id, field_of(place, "track_id"))
            names.append((track.title, track.artist))
    if path_to is not None:
        _usable(tracks, path_to, "recipe.path.to_track_id")
    return names


def field_of(place: int, name: str) -> str:
    """Return the path of what a seed is, for example "recipe.seeds[0].words"."""
    return f"recipe.seeds[{place}].{name}"


def words_of(recipe: Recipe) -> list[tuple[int, Seed]]:
    """Return the seeds that are words, each with its place."""
    return [(place, seed) for place, seed in enumerate(recipe.seeds) if seed.words is not None]


async def sounds_of_uploads(
    connection: Connection,
    recipe: Recipe,
    heard: Mapping[UploadId, tuple[bytes, float]],
    lent: Mapping[UploadId, Upload],
) -> dict[int, SeedSound]:
    """Return the sound of every upload by its place among the seeds.

    Args:
        connection: To the truth.
        recipe: All of its uploads were heard.
        heard: Their vectors and lengths: a copy in another format is known by both.
        lent: Those whose audio is still there.
    """
    recordings: dict[UploadId, bytes] = {}
    for upload_id, upload in lent.items():
        # The very file may stand in the library, and must not be found as its own neighbour.
        recordings[upload_id] = await catalog.audio_hash_of_file(connection, upload.digest) or b""
    sounds: dict[int, SeedSound] = {}
    for place, seed in enumerate(recipe.seeds):
        if seed.upload_id is not None:
            vector, seconds = heard[seed.upload_id]
            recording = recordings.get(seed.upload_id, b"")
            sounds[place] = SeedSound(None, vector, seed.weight, recording, seconds)
    return sounds


def _usable(tracks: Mapping[TrackId, Track], track_id: TrackId, field: str) -> Track:
    track = tracks.get(track_id)
    if track is None:
        raise TrackNotFound(track_id, field)
    if track.state is EmbeddingState.FAILED:
        raise TrackFailed(track_id, field, track.failure_message)
    if not track.state.is_usable:
        raise TrackNotReady(track_id, field)
    return track
