"""Makes a playlist of a recipe."""

from collections.abc import Callable
from datetime import datetime

from services.social import events
from services.social.domain.ids import PlaylistId, new_id
from services.social.domain.jobs import GenerationRequest, Job
from services.social.store import accounts, outbox, playlists
from services.social.store.database import Database
from services.social.workers.kinds.composing import Composer
from services.social.workers.kinds.progress import Progress


class Generation:
    """Takes a job to its playlist.

    Args:
        database: Where playlists are.
        composer: Chooses tracks.
        playlists_per_user: How many playlists a person may have.
        clock: Time of day.
    """

    def __init__(
        self, database: Database, composer: Composer, playlists_per_user: int, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._composer = composer
        self._playlists_per_user = playlists_per_user
        self._clock = clock

    async def run(self, job: Job, progress: Progress) -> None:
        """Make the playlist."""
        wanted = GenerationRequest.from_json(job.request)
        async with self._database.connection() as connection:
            # Before anything is heard for it; who else makes one meanwhile is seen at the end.
            await playlists.must_have_room(connection, job.user_id, self._playlists_per_user)
        made = await self._composer.compose(job, wanted.recipe, progress)
        playlist_id, now = PlaylistId(new_id()), self._clock()
        async with self._database.transaction() as connection:
            await accounts.lock_person(connection, job.user_id)
            await playlists.must_have_room(connection, job.user_id, self._playlists_per_user)
            await playlists.insert_playlist(
                connection,
                playlist_id,
                job.user_id,
                wanted.title,
                wanted.visibility,
                made.recipe,
                made.encoder_id,
                made.tracks,
                now,
            )
            await outbox.add(connection, events.playlist_created(playlist_id, job.user_id, now))
            await progress.succeed(connection, playlist_id)
