"""Embeds prompts, one at a time, in the one thread that runs the text model; what waits is bounded. Knows no RPCs."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import Protocol

import numpy as np

from services.chassis.errors import DeadlineExceeded, DomainError
from services.embedder import moods
from services.embedder.artifact import Manifest
from services.embedder.errors import EmbedderBusy, EncoderMismatch, EncodingFailed
from services.embedder.model import Float32Array

logger = logging.getLogger(__name__)

_FIRST_PROMPT_S = 0.1
_MIN_RETRY_AFTER_MS = 100


class TextModel(Protocol):
    """Turns words into vectors of the space that it shares with an encoder of sound."""

    @property
    def manifest(self) -> Manifest:
        """What the encoder is."""
        ...

    def embed_text(self, prompt: str) -> Float32Array:
        """Embed one prompt; blocks, and must come from one thread at a time.

        Returns:
            Shape (dim,), float32, unit L2 norm.

        Raises:
            TextInvalid: The prompt has more tokens than the model reads.
        """
        ...


@dataclass(frozen=True, slots=True)
class EmbeddedText:
    """A prompt and its unit vector, shape (dim,), float32."""

    prompt: str
    vector: Float32Array


class TextEmbedder:
    """Embeds what people type.

    Args:
        model: Called from one thread of this object's own: a prompt's vector depends on those it is batched with.
        max_waiting: Prompts that may wait or be at work; further ones are refused.
        cached: Vectors that are kept, those asked for last.
        clock: Monotonic seconds.
    """

    def __init__(
        self, model: TextModel, *, max_waiting: int, cached: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._model = model
        self._max_waiting = max_waiting
        self._clock = clock
        self._waiting = 0
        self._prompt_s = _FIRST_PROMPT_S
        self._known = VectorCache(cached)
        self._executor = ThreadPoolExecutor(1, "text")

    @property
    def encoder_id(self) -> str:
        """Encoder whose vectors these can be compared with."""
        return self._model.manifest.encoder_id

    @property
    def waiting(self) -> int:
        """Prompts that wait or are at work."""
        return self._waiting

    async def embed(self, text: str, encoder_id: str = "", time_left_s: float | None = None) -> EmbeddedText:
        """Embed a text; when this is cancelled, or its time is over, a prompt that still waits is never run.

        Args:
            text: English or Chinese, or Korean of the table of moods.
            encoder_id: Encoder that the caller expects; empty for any.
            time_left_s: How long somebody waits for the answer; None without end.

        Raises:
            EncoderMismatch: Another encoder is loaded.
            TextInvalid: It is empty, too long, or has control characters.
            WordsUnknown: It has Korean that the table does not know.
            EmbedderBusy: Too many wait already.
            DeadlineExceeded: Its turn came too late.
            EncodingFailed: The model failed on it.
        """
        if encoder_id not in ("", self.encoder_id):
            raise EncoderMismatch.of(encoder_id, self.encoder_id)
        prompt = moods.to_prompt(moods.fold(text))
        vector = self._known.get(prompt)
        if vector is None:
            expires_at = None if time_left_s is None else self._clock() + time_left_s
            vector = await self._run(prompt, expires_at)
        return EmbeddedText(prompt, vector)

    def close(self) -> None:
        """Drop what waits and end the thread; blocks until the prompt at hand is done."""
        self._executor.shutdown(cancel_futures=True)

    async def _run(self, prompt: str, expires_at: float | None) -> Float32Array:
        if self._waiting >= self._max_waiting:
            raise EmbedderBusy(
                f"{self._waiting} prompts wait for the text model, limit is {self._max_waiting}",
                value=self._waiting,
                limit=self._max_waiting,
                retry_after_ms=max(_MIN_RETRY_AFTER_MS, int(1000 * self._prompt_s * self._waiting)),
            )
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._executor, self._call, prompt, expires_at)
        finally:
            self._waiting -= 1

    def _call(self, prompt: str, expires_at: float | None) -> Float32Array:
        began = self._clock()
        if expires_at is not None and began >= expires_at:
            raise DeadlineExceeded("the deadline passed while the prompt waited for the text model")
        known = self._known.get(prompt)  # another caller may have asked for it meanwhile
        if known is not None:
            return known
        try:
            vector = self._model.embed_text(prompt)
        except DomainError:
            raise
        except Exception as error:  # whatever a model raises belongs to a prompt, not to the service
            logger.exception("prompt_failed", extra={"characters": len(prompt)})
            raise EncodingFailed("the model failed on this text") from error
        if not np.isfinite(vector).all():
            raise EncodingFailed("the text has no finite vector")
        self._prompt_s = self._clock() - began
        self._known.put(prompt, vector)
        return vector


class VectorCache:
    """Keeps the vectors that were asked for last; safe to use from several threads.

    Args:
        size: Vectors at most.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._vectors: OrderedDict[str, Float32Array] = OrderedDict()
        self._lock = Lock()

    def get(self, prompt: str) -> Float32Array | None:
        """Return a vector and count it as used, None where there is none."""
        with self._lock:
            vector = self._vectors.get(prompt)
            if vector is not None:
                self._vectors.move_to_end(prompt)
            return vector

    def put(self, prompt: str, vector: Float32Array) -> None:
        """Keep a vector; the one that was used longest ago makes room."""
        with self._lock:
            self._vectors[prompt] = vector
            self._vectors.move_to_end(prompt)
            while len(self._vectors) > self._size:
                self._vectors.popitem(last=False)
