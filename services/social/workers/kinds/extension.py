"""Suggests tracks for a playlist; what was accepted and refused before moves what is suggested next."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from services.social.domain.catalog import EmbeddingState
from services.social.domain.ids import PlaylistId
from services.social.domain.jobs import PROGRESS, Job, JobState
from services.social.domain.rules import TrackFilter
from services.social.domain.suggestions import MOST_JUDGED, MOST_TRACKS, SuggestionState
from services.social.errors import NoCandidates, PlaylistNotFound
from services.social.errors.playlist_jobs import PlaylistEmpty
from services.social.store import accounts, blocks, embeddings, encoders, remaking, suggestions
from services.social.store.database import Database
from services.social.workers.kinds.composing import Composer
from services.social.workers.kinds.progress import Progress


def extension_request(playlist_id: PlaylistId, count: int, wanted: TrackFilter) -> dict[str, Any]:  # any JSON
    """Return what a job is asked for: so many suggestions, by a filter that is checked."""
    return {"target": playlist_id, "count": count, "filter": wanted.to_json()}


class Extension:
    """Asks the retriever what goes with a playlist.

    Args:
        database: Where playlists are.
        composer: Knows the retriever.
        clock: Time of day.
    """

    def __init__(self, database: Database, composer: Composer, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._composer = composer
        self._clock = clock

    async def run(self, job: Job, progress: Progress) -> None:
        """Put suggestions in the place of those that nobody judged."""
        playlist_id, composer = PlaylistId(job.request["target"]), self._composer
        await progress.enter(JobState.SEARCHING, PROGRESS[JobState.SEARCHING])
        async with self._database.connection() as connection:
            if await remaking.find_source(connection, playlist_id, job.user_id) is None:
                raise PlaylistNotFound(playlist_id)
            encoder_id = await encoders.serving(connection)
            track_ids = list(dict.fromkeys(await remaking.tracks_of(connection, playlist_id, MOST_TRACKS)))
            known = await embeddings.progress_of(connection, encoder_id, track_ids)
            accepted = await suggestions.judged(connection, playlist_id, SuggestionState.ACCEPTED, MOST_JUDGED)
            rejected = await suggestions.judged(connection, playlist_id, SuggestionState.REJECTED, MOST_JUDGED)
            blocked = await blocks.blocks_of(connection, job.user_id)
        # What cannot be embedded says nothing of what goes with it; the rest is waited for where nothing is heard yet.
        wanted = [one for one in track_ids if one in known and known[one].state is not EmbeddingState.FAILED]
        heard = [one for one in wanted if known[one].state.is_usable] or wanted
        if not heard:
            raise PlaylistEmpty(playlist_id)
        read_point = await composer.until_indexed(heard, encoder_id)
        found = await composer.retriever.extend_playlist(
            heard,
            accepted,
            rejected,
            int(job.request["count"]),
            TrackFilter.from_json(job.request["filter"]),
            blocked,
            encoder_id,
            read_point,
            composer.token(job, composer.patience.search_s),
            composer.patience.search_s,
        )
        if not found:
            raise NoCandidates
        await progress.enter(JobState.ARRANGING, PROGRESS[JobState.ARRANGING])
        async with self._database.transaction() as connection:
            await accounts.lock_person(connection, job.user_id)
            if await remaking.lock_version(connection, playlist_id, job.user_id) is None:
                raise PlaylistNotFound(playlist_id)
            await suggestions.propose(connection, playlist_id, job.job_id, found, self._clock())
            await progress.succeed(connection)
