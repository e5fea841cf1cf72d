"""Says what a recipe would make, at once: what a job would wait for is refused."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.chassis.errors import DomainError
from services.social.actions.seeding import field_of, seed_names, sounds_of_uploads, words_of
from services.social.actions.turns import Turns
from services.social.clients import Choice
from services.social.domain.ids import EncoderId, JobId, UserId, new_id
from services.social.domain.jobs import is_transient
from services.social.domain.recipe import Recipe
from services.social.domain.tokens import TokenIssuer
from services.social.errors import NoEncoder
from services.social.errors.references import UploadNotHeard
from services.social.errors.sounds import TooManyPreviews
from services.social.retriever_requests import SeedSound
from services.social.store import encoders, uploads
from services.social.store.database import Database
from services.social.workers.kinds.composing import Composer

MOST_AT_A_TIME = 2
_INDEX_PATIENCE_S = 0.5
_TOKEN_LIFE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be made: the recipe as it was followed, whose ear chose, and what."""

    recipe: Recipe
    encoder_id: EncoderId
    choice: Choice


class Previewer:
    """Follows recipes without keeping anything.

    Args:
        database: The truth, for requests.
        composer: Chooses tracks.
        issuer: Signs the token under which other services are called.
        clock: Time of day.
    """

    def __init__(
        self, database: Database, composer: Composer, issuer: TokenIssuer, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._composer = composer
        self._issuer = issuer
        self._clock = clock
        self._turns = Turns(MOST_AT_A_TIME, TooManyPreviews)

    async def preview(self, user_id: UserId, recipe: Recipe) -> Preview:
        """Choose tracks.

        Raises:
            UploadNotHeard: An upload among the seeds was not heard by the encoder that is served.
            TooManyPreviews: This person has as many under way as one may.
            DomainError: As of a job, and NotIndexedYet soon.
        """
        with self._turns.of(user_id):
            followed = recipe.drawn(secrets.randbits(64))
            async with self._database.connection() as connection:
                encoder_id = await encoders.serving(connection)
                await seed_names(connection, recipe, user_id, self._clock())
                lent = await uploads.find_uploads(connection, recipe.upload_ids, user_id, self._clock())
                known = await uploads.sounds_of(connection, encoder_id, recipe.upload_ids)
                for place, seed in enumerate(recipe.seeds):
                    if seed.upload_id is not None and seed.upload_id not in known:
                        raise UploadNotHeard(seed.upload_id, field_of(place, "upload_id"))
                heard = await sounds_of_uploads(connection, recipe, known, lent)
            token = self._token(user_id)
            heard |= await self._hear_words(recipe, encoder_id, token)
            choice = await self._composer.choose(
                user_id, followed, encoder_id, heard, token, index_patience_s=_INDEX_PATIENCE_S
            )
        return Preview(followed, encoder_id, choice)

    async def check_words(self, user_id: UserId, recipe: Recipe) -> None:
        """Refuse words that can never be heard, before a job is made of them; what is busy or away is left to the job.

        Raises:
            WordsNotHeard: The encoder that is served knows sounds alone.
            InvalidArgument: The words are none that it understands.
        """
        if not recipe.has_words:
            return
        try:
            async with self._database.connection() as connection:
                encoder_id = await encoders.serving(connection)
            await self._hear_words(recipe, encoder_id, self._token(user_id))
        except NoEncoder:
            return
        except DomainError as error:
            if not is_transient(error):
                raise

    async def _hear_words(self, recipe: Recipe, encoder_id: EncoderId, token: str) -> dict[int, SeedSound]:
        return {
            place: await self._composer.hear_words(seed, place, encoder_id, token) for place, seed in words_of(recipe)
        }

    def _token(self, user_id: UserId) -> str:
        return self._issuer.job_token(user_id, JobId(new_id()), self._clock(), _TOKEN_LIFE)
