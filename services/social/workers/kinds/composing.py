"""Makes tracks of a recipe: hears its uploads, waits for the index, lets the retriever choose."""

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.social.actions.seeding import sounds_of_uploads, words_of
from services.social.clients import Choice, RetrieverClient
from services.social.domain.catalog import EmbeddingState, ReadPoint
from services.social.domain.ids import EncoderId, TrackId, UserId
from services.social.domain.jobs import PROGRESS, Counted, Job, JobState
from services.social.domain.playlists import ChosenTrack
from services.social.domain.recipe import Recipe, Seed
from services.social.domain.tokens import TokenIssuer
from services.social.embedders import Embedders
from services.social.errors import NoCandidates, NotIndexedYet, TrackFailed, TrackNotFound, UploadNotFound
from services.social.retriever_requests import SeedSound
from services.social.store import blocks, catalog, embeddings, encoders, uploads, vector_log
from services.social.store.database import Database
from services.social.store.embeddings import Embedding
from services.social.workers.kinds.progress import Progress

_INDEX_PATIENCE_S = 5.0
_INDEX_POLL_INTERVAL_S = 0.1


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the calls of a job may take, in seconds."""

    embed_s: float
    search_s: float


@dataclass(frozen=True, slots=True)
class Composition:
    """What came of a recipe.

    Attributes:
        recipe: As it was followed, with the random seed that was drawn.
        encoder_id: Whose ear chose.
        tracks: In playing order.
    """

    recipe: Recipe
    encoder_id: EncoderId
    tracks: list[ChosenTrack]


class Composer:
    """Turns recipes into tracks, for every kind that does.

    Args:
        database: The truth.
        embedders: Hear uploads.
        retriever: Chooses and orders tracks.
        issuer: Signs the token under which both are called.
        patience: Deadlines of the calls.
        clock: Time of day.
    """

    def __init__(
        self,
        database: Database,
        embedders: Embedders,
        retriever: RetrieverClient,
        issuer: TokenIssuer,
        patience: Patience,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._embedders = embedders
        self.retriever = retriever
        self._issuer = issuer
        self.patience = patience
        self._clock = clock

    async def compose(
        self, job: Job, recipe: Recipe, progress: Progress, without: Sequence[TrackId] = ()
    ) -> Composition:
        """Choose tracks. What an attempt before this one has heard already is not heard again.

        An attempt keeps to the encoder with which it began, whatever is served meanwhile: no vector of one is ever
        compared with those of another.

        Args:
            job: In whose name.
            recipe: What to choose by.
            progress: Tells how far this attempt is.
            without: Tracks that are not chosen, beside those that the recipe and the person block.

        Raises:
            AttemptLost: The job is not this worker's any more.
            DomainError: It did not work; `jobs.is_transient` says whether trying again can help.
        """
        followed = recipe.drawn(secrets.randbits(64))
        async with self._database.connection() as connection:
            encoder_id = await encoders.serving(connection)
        heard = await self._hear_uploads(job, recipe, encoder_id, progress)
        token = self.token(job, self.patience.search_s)
        for place, seed in words_of(recipe):
            await progress.enter(JobState.EMBEDDING, PROGRESS[JobState.EMBEDDING])
            heard[place] = await self.hear_words(seed, place, encoder_id, token)
        await progress.enter(JobState.SEARCHING, PROGRESS[JobState.SEARCHING])
        found = await self.choose(job.user_id, followed, encoder_id, heard, token, without)
        await progress.enter(JobState.ARRANGING, PROGRESS[JobState.ARRANGING])
        return Composition(followed, encoder_id, found.tracks)

    async def choose(
        self,
        user_id: UserId,
        recipe: Recipe,
        encoder_id: EncoderId,
        heard: Mapping[int, SeedSound],
        token: str,
        without: Sequence[TrackId] = (),
        index_patience_s: float = _INDEX_PATIENCE_S,
    ) -> Choice:
        """Wait for the index, and let the retriever choose.

        Args:
            user_id: Whose blocklist, and whose taste where the recipe wants that.
            recipe: What to choose by.
            encoder_id: Whose ear.
            heard: What is no track of the library, by its place among the seeds.
            token: Under which the retriever is called.
            without: Tracks that are not chosen, beside those that the recipe and the person block.
            index_patience_s: How long the index may take.

        Raises:
            NoCandidates: The rules leave nothing.
            DomainError: As `until_indexed`, and what the retriever refuses.
        """
        ends = [] if recipe.rules.path_to is None else [recipe.rules.path_to]
        read_point = await self.until_indexed([*recipe.track_ids, *ends], encoder_id, index_patience_s)
        async with self._database.connection() as connection:
            blocked = await blocks.blocks_of(connection, user_id, without)
        found = await self.retriever.build_playlist(
            recipe,
            [
                heard.get(place) or SeedSound(seed.track_id, b"", seed.weight, b"", 0.0)
                for place, seed in enumerate(recipe.seeds)
            ],
            blocked,
            user_id,
            encoder_id,
            read_point,
            token,
            self.patience.search_s,
        )
        if all(track.is_seed for track in found.tracks):
            raise NoCandidates
        return found

    async def hear_words(self, seed: Seed, place: int, encoder_id: EncoderId, token: str) -> SeedSound:
        """Let this encoder's embedder put the words of a seed among its sounds.

        Raises:
            WordsNotHeard: It knows sounds alone.
            EncoderAway: No embedder serves this encoder now.
            DomainError: What the embedder refuses, by the seed's place.
        """
        field = f"recipe.seeds[{place}].words"
        found = await self._embedders.embed_words(seed.words or "", encoder_id, token, self.patience.search_s, field)
        return SeedSound(None, found.vector, seed.weight, b"", 0.0)

    async def until_indexed(
        self, track_ids: Sequence[TrackId], encoder_id: EncoderId, patience_s: float = _INDEX_PATIENCE_S
    ) -> ReadPoint | None:
        """Wait until the encoder's log holds these tracks and is whole; return the point up to which it must be read.

        Raises:
            TrackNotFound, TrackFailed: One of them can never be found.
            NotIndexedYet: It takes longer than this worker waits.
        """
        deadline = time.monotonic() + patience_s
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

    def token(self, job: Job, life_s: float) -> str:
        """Sign the token under which another service is called for a job."""
        return self._issuer.job_token(job.user_id, job.job_id, self._clock(), timedelta(seconds=life_s + 60))

    async def hear(self, job: Job, digest: bytes, encoder_id: EncoderId) -> Embedding:
        """Let this encoder's embedder hear a file of the blob store for a job.

        Raises:
            EncoderAway: No embedder serves this encoder now.
            DomainError: What the embedder refuses.
        """
        patience_s = self.patience.embed_s
        return await self._embedders.embed_blob(digest, encoder_id, self.token(job, patience_s), patience_s)

    async def _hear_uploads(
        self, job: Job, recipe: Recipe, encoder_id: EncoderId, progress: Progress
    ) -> dict[int, SeedSound]:
        """Return the sound of every upload by its place among the seeds, letting the embedder hear the new ones."""
        upload_ids = list(dict.fromkeys(recipe.upload_ids))
        if not upload_ids:
            return {}
        async with self._database.connection() as connection:
            lent = await uploads.find_uploads(connection, upload_ids, job.user_id, self._clock())
            heard = await uploads.sounds_of(connection, encoder_id, upload_ids)
        missing = [upload_id for upload_id in upload_ids if upload_id not in heard]
        start, end = PROGRESS[JobState.EMBEDDING], PROGRESS[JobState.SEARCHING]
        for index, upload_id in enumerate(missing):
            if upload_id not in lent:
                raise UploadNotFound(upload_id)
            share = start + (end - start) * index / len(missing)
            await progress.enter(JobState.EMBEDDING, share, Counted("seeds", index, len(missing)))
            embedding = await self.hear(job, lent[upload_id].digest, encoder_id)
            async with self._database.connection() as connection:
                await uploads.insert_embedding(connection, upload_id, encoder_id, embedding)
            heard[upload_id] = (embedding.vector, embedding.duration_seconds)
        # Nobody reads an upload's tags.
        async with self._database.connection() as connection:
            return await sounds_of_uploads(connection, recipe, heard, lent)
