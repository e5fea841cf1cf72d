"""Makes a playlist once more from its recipe."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from services.social import events
from services.social.domain.editing import MOST_ENTRIES
from services.social.domain.ids import PlaylistId, TrackId, UserId, new_id
from services.social.domain.jobs import Job
from services.social.domain.playlists import Visibility
from services.social.errors import PlaylistNotFound, UploadNotFound
from services.social.errors.playlist_jobs import NoRecipe, PlaylistChanged, UploadGone
from services.social.events.playlists import playlist_changed
from services.social.store import accounts, outbox, playlists, remaking
from services.social.store.database import Database
from services.social.workers.kinds.composing import Composer, Composition
from services.social.workers.kinds.progress import Progress

_MOST_TRIES = 3


def regeneration_request(
    playlist_id: PlaylistId, *, replace: bool, is_scheduled: bool = False
) -> dict[str, Any]:  # any JSON
    """Return what a job is asked for: to replace what was generated in a playlist, or to make another one."""
    return {"target": playlist_id, "replace": replace} | ({"is_scheduled": True} if is_scheduled else {})


class Regeneration:
    """Follows the recipe of a playlist again.

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
        """Replace what was generated, unless somebody edits meanwhile three times; or make another playlist."""
        playlist_id, is_replacing = PlaylistId(job.request["target"]), bool(job.request["replace"])
        for _ in range(_MOST_TRIES):
            async with self._database.connection() as connection:
                source = await remaking.find_source(connection, playlist_id, job.user_id)
                kept = await remaking.added_tracks(connection, playlist_id) if is_replacing else []
            if source is None:
                raise PlaylistNotFound(playlist_id)
            if source.recipe is None:
                raise NoRecipe(playlist_id)
            try:
                made = await self._composer.compose(job, source.recipe, progress, without=kept)
            except UploadNotFound as error:
                raise UploadGone(error.value or "") from error
            if not is_replacing:
                await self._make_another(job, source, made, progress)
                return
            if await self._replace(job, playlist_id, source.version, kept, made, progress):
                return
        raise PlaylistChanged(playlist_id, _MOST_TRIES)

    async def _replace(
        self,
        job: Job,
        playlist_id: PlaylistId,
        version: int,
        kept: list[TrackId],
        made: Composition,
        progress: Progress,
    ) -> bool:
        """Replace what was generated; say whether the playlist was still the one that this began with."""
        now = self._clock()
        # A seed may be what somebody added by hand, too.
        fresh = [track for track in made.tracks if track.track_id not in set(kept)]
        async with self._database.transaction() as connection:
            await accounts.lock_person(connection, job.user_id)
            found = await remaking.lock_version(connection, playlist_id, job.user_id)
            if found is None:
                raise PlaylistNotFound(playlist_id)
            if found != version:
                return False
            changed = await remaking.replace_generated(
                connection, playlist_id, made.recipe, made.encoder_id, fresh[: MOST_ENTRIES - len(kept)], now
            )
            await outbox.add(connection, playlist_changed(playlist_id, job.user_id, changed, now))
            await progress.succeed(connection, playlist_id)
        return True

    async def _make_another(self, job: Job, source: remaking.Source, made: Composition, progress: Progress) -> None:
        now, playlist_id = self._clock(), PlaylistId(new_id())
        async with self._database.transaction() as connection:
            await accounts.lock_person(connection, job.user_id)
            await playlists.must_have_room(connection, job.user_id, self._playlists_per_user)
            await playlists.insert_playlist(
                connection,
                playlist_id,
                UserId(job.user_id),
                source.title,
                Visibility.PRIVATE,
                made.recipe,
                made.encoder_id,
                made.tracks,
                now,
                source.description,
            )
            await outbox.add(connection, events.playlist_created(playlist_id, job.user_id, now))
            await progress.succeed(connection, playlist_id)
