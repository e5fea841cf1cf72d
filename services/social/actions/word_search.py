"""Finds tracks that sound as words say."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.social.actions.turns import Turns
from services.social.clients import RetrieverClient
from services.social.domain.encoders import Encoder
from services.social.domain.ids import EncoderId, JobId, TrackId, UserId, new_id
from services.social.domain.rules import TrackFilter
from services.social.domain.tokens import TokenIssuer
from services.social.embedders import Embedders
from services.social.errors.references import TooManySearches
from services.social.store import blocks, encoders
from services.social.store.database import Database

MOST_MATCHES, DEFAULT_MATCHES = 200, 20
MOST_AT_A_TIME = 2
_TIMEOUT_S = 5.0
_TOKEN_LIFE = timedelta(minutes=1)
# What is served changes by a switch alone, and everybody may ask.
_KNOWN_FOR_S = 10.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody searches for, checked."""

    words: str
    count: int
    filter: TrackFilter
    leaves_out_blocked: bool


@dataclass(frozen=True, slots=True)
class Found:
    """Tracks with cosines, nearest first, whose ear compared, and what the words were compared as."""

    tracks: list[tuple[TrackId, float]]
    encoder_id: EncoderId
    prompt: str


class WordSearch:
    """Searches by words, where the encoder that is served hears them.

    Args:
        database: The truth.
        embedders: Hear words.
        retriever: Finds.
        issuer: Signs the token under which an embedder is called.
        clock: Time of day.
        monotonic: Seconds that only rise.
    """

    def __init__(
        self,
        database: Database,
        embedders: Embedders,
        retriever: RetrieverClient,
        issuer: TokenIssuer,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._database = database
        self._embedders = embedders
        self._retriever = retriever
        self._issuer = issuer
        self._clock = clock
        self._monotonic = monotonic
        self._turns = Turns(MOST_AT_A_TIME, TooManySearches)
        self._seen: list[Encoder] = []
        self._seen_at: float | None = None

    async def find(self, user_id: UserId, wanted: Wanted) -> Found:
        """Find tracks.

        Raises:
            WordsNotHeard: The encoder that is served knows sounds alone.
            TooManySearches: This person has as many under way as one may.
            DomainError: What embedder and retriever refuse.
        """
        with self._turns.of(user_id):
            async with self._database.connection() as connection:
                encoder_id = await encoders.serving(connection)
                blocked = await blocks.blocks_of(connection, user_id if wanted.leaves_out_blocked else None)
            token = self._issuer.job_token(user_id, JobId(new_id()), self._clock(), _TOKEN_LIFE)
            heard = await self._embedders.embed_words(wanted.words, encoder_id, token, _TIMEOUT_S, "words")
            tracks = await self._retriever.find_near(
                heard.vector, wanted.count, wanted.filter, blocked, encoder_id, _TIMEOUT_S
            )
        return Found(tracks, encoder_id, heard.prompt)

    async def hears_words(self) -> tuple[EncoderId, bool]:
        """Say which encoder is served, and whether it hears words; an embedder is asked once in a while.

        Raises:
            NoEncoder: None was ever seen.
            DomainError: No embedder answers.
        """
        async with self._database.connection() as connection:
            encoder_id = await encoders.serving(connection)
        now = self._monotonic()
        if self._seen_at is None or now - self._seen_at > _KNOWN_FOR_S:
            self._seen = await self._embedders.describe()
            self._seen_at = now
        return encoder_id, any(one.encoder_id == encoder_id and one.hears_words for one in self._seen)
