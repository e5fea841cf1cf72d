"""Generates the playlist of a job, stage by stage; an attempt that is no longer the newest writes nothing."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.social import events
from services.social.background import Bells
from services.social.catalog import EmbeddingState, ReadPoint
from services.social.clients import Embedders, RetrieverClient, SeedSound
from services.social.errors import NoCandidates, NotIndexedYet, TrackFailed, TrackNotFound, UploadNotFound
from services.social.ids import EncoderId, PlaylistId, TrackId, UploadId, new_id
from services.social.jobs import PROGRESS, Job, JobState
from services.social.playlists import ChosenTrack
from services.social.store import catalog, embeddings, encoders, jobs, outbox, playlists, uploads, vector_log
from services.social.store.database import Database
from services.social.tokens import TokenIssuer

_INDEX_PATIENCE_S = 5.0
_INDEX_POLL_INTERVAL_S = 0.1
# Progress is stored as float32: what was read back is a little less or more than what was written.
_LEAST_STEP = 0.001


class AttemptLost(Exception):
    """The job has ended, or another worker has it: stop, and leave it alone."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the calls of a generation may take, in seconds."""

    embed_s: float
    search_s: float


class Generator:
    """Takes a claimed job to its playlist.

    Args:
        database: Where jobs and playlists are.
        embedders: Hear uploads.
        retriever: Chooses and orders tracks.
        issuer: Signs the token under which both are called.
        bells: Rung with the job's id when it has ended.
        patience: Deadlines of the calls.
        clock: Time of day.
    """

    def __init__(
        self,
        database: Database,
        embedders: Embedders,
        retriever: RetrieverClient,
        issuer: TokenIssuer,
        bells: Bells,
        patience: Patience,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._embedders = embedders
        self._retriever = retriever
        self._issuer = issuer
        self._bells = bells
        self._patience = patience
        self._clock = clock

    async def generate(self, job: Job) -> None:
        """Make the playlist. What an attempt before this one has heard already is not heard again.

        An attempt keeps to the encoder with which it began, whatever is served meanwhile: no vector of one is ever
        compared with those of another.

        Raises:
            AttemptLost: The job is not this worker's any more.
            DomainError: It did not work; `jobs.is_transient` says whether trying again can help.
        """
        recipe = job.request.recipe
        async with self._database.connection() as connection:
            encoder_id = await encoders.serving(connection)
        heard = await self._hear_uploads(job, encoder_id)
        job = await self._enter(job, JobState.SEARCHING, PROGRESS[JobState.SEARCHING])
        read_point = await self._until_indexed(recipe.track_ids, encoder_id)
        tracks = await self._retriever.build_playlist(
            recipe,
            [
                heard[seed.upload_id] if seed.upload_id else SeedSound(seed.track_id, b"", seed.weight, b"")
                for seed in recipe.seeds
            ],
            encoder_id,
            read_point,
            self._token(job, self._patience.search_s),
            self._patience.search_s,
        )
        if all(track.is_seed for track in tracks):
            raise NoCandidates
        job = await self._enter(job, JobState.ARRANGING, PROGRESS[JobState.ARRANGING])
        await self._finish(job, encoder_id, tracks)

    async def _hear_uploads(self, job: Job, encoder_id: EncoderId) -> dict[UploadId, SeedSound]:
        """Return the sound of every upload among the seeds, letting the embedder hear those that it has not heard."""
        upload_ids = job.request.recipe.upload_ids
        if not upload_ids:
            return {}
        async with self._database.connection() as connection:
            lent = await uploads.find_uploads(connection, upload_ids, job.user_id, self._clock())
            vectors = await uploads.vectors_of(connection, encoder_id, upload_ids)
        missing = [upload_id for upload_id in upload_ids if upload_id not in vectors]
        for index, upload_id in enumerate(missing):
            if upload_id not in lent:
                raise UploadNotFound(upload_id)
            start, end = PROGRESS[JobState.EMBEDDING], PROGRESS[JobState.SEARCHING]
            job = await self._enter(job, JobState.EMBEDDING, start + (end - start) * index / len(missing))
            embedding = await self._embedders.embed_blob(
                lent[upload_id].digest, encoder_id, self._token(job, self._patience.embed_s), self._patience.embed_s
            )
            async with self._database.connection() as connection:
                await uploads.insert_embedding(connection, upload_id, encoder_id, embedding)
            vectors[upload_id] = embedding.vector
        recordings: dict[UploadId, bytes] = {}
        async with self._database.connection() as connection:
            for upload_id, upload in lent.items():
                # The very file may stand in the library, and must not be found as its own neighbour.
                recordings[upload_id] = await catalog.audio_hash_of_file(connection, upload.digest) or b""
        return {
            seed.upload_id: SeedSound(None, vectors[seed.upload_id], seed.weight, recordings.get(seed.upload_id, b""))
            for seed in job.request.recipe.seeds
            if seed.upload_id is not None
        }

    async def _until_indexed(self, track_ids: list[TrackId], encoder_id: EncoderId) -> ReadPoint | None:
        """Wait until the encoder's log holds these tracks and is whole; return the point up to which it must be read.

        Raises:
            TrackNotFound, TrackFailed: A seed can never be found.
            NotIndexedYet: It takes longer than this worker waits.
        """
        deadline = time.monotonic() + _INDEX_PATIENCE_S
        while True:
            async with self._database.connection() as connection:
                there = {track.track_id for track in await catalog.find_tracks(connection, track_ids)}
                seeds = await embeddings.progress_of(connection, encoder_id, track_ids)
                is_rebuilding = await vector_log.is_rebuilding(connection)
                read_point = await vector_log.read_point(connection, encoder_id)
            for track_id in track_ids:
                if track_id not in there:
                    raise TrackNotFound(track_id)
                if track_id in seeds and seeds[track_id].state is EmbeddingState.FAILED:
                    raise TrackFailed(track_id, "track_id", seeds[track_id].failure_message)
            indexed = {track_id for track_id, seed in seeds.items() if seed.state is EmbeddingState.INDEXED}
            if not is_rebuilding and indexed.issuperset(track_ids):
                return read_point
            if time.monotonic() > deadline:
                raise NotIndexedYet
            await asyncio.sleep(_INDEX_POLL_INTERVAL_S)

    async def _enter(self, job: Job, state: JobState, progress: float) -> Job:
        """Move a job to a stage, unless it was there in an attempt before."""
        if not state.is_after(job.state) and progress < job.progress + _LEAST_STEP:
            return job
        async with self._database.transaction() as connection:
            moved = await jobs.advance(connection, job, state, progress)
            if moved is None:
                raise AttemptLost
            await outbox.add(connection, events.job_progressed(moved))
        return moved

    async def _finish(self, job: Job, encoder_id: EncoderId, tracks: list[ChosenTrack]) -> None:
        now = self._clock()
        playlist_id = PlaylistId(new_id())
        async with self._database.transaction() as connection:
            if not await jobs.lock_attempt(connection, job):
                raise AttemptLost
            await playlists.insert_playlist(
                connection,
                playlist_id,
                job.user_id,
                job.request.title,
                job.request.visibility,
                job.request.recipe,
                encoder_id,
                tracks,
                now,
            )
            ended = await jobs.succeed(connection, job, playlist_id, now)
            await outbox.add(
                connection, events.playlist_created(playlist_id, job.user_id, now), events.job_progressed(ended)
            )
        self._bells.ring(job.job_id)

    def _token(self, job: Job, life_s: float) -> str:
        return self._issuer.job_token(job.user_id, job.job_id, self._clock(), timedelta(seconds=life_s + 60))
