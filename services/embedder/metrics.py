"""What the embedder tells of its work, in words of the work. Counts nothing: `prometheus.py` does, where it is asked.

Lanes are told by name, "interactive" and "bulk", reasons as errors state them. No label holds an id of a track, a file
or a caller; that of the encoder, which a process never changes, stands in one series alone.
"""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from services.chassis.errors import DomainError
from services.embedder.errors import AudioError

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


class EmbedderMetrics:
    """Takes notice of everything and does nothing with it: the default, and what tests get."""

    def queued(self, lane: str, items: int, audio_seconds: float) -> None:
        """Say how much of a lane waits for the model now."""

    def waited(self, lane: str, seconds: float) -> None:
        """Say how long one item waited for the model."""

    def dropped(self, lane: str, cause: str) -> None:
        """Say that an item left the queue unheard: "expired" or "cancelled"."""

    def batched(self, items: int, audio_seconds: float, gather_seconds: float) -> None:
        """Say what a batch holds, and how long its first item waited for others."""

    def model_ran(self, seconds: float) -> None:
        """Say how long the model worked on a batch."""

    def model_failed(self) -> None:
        """Say that the model failed on one item alone."""

    def aggregated(self, seconds: float) -> None:
        """Say how long it took to make a track's vector of its windows, and what else is done after the model."""

    def decoded(self, seconds: float) -> None:
        """Say how long a file's decoding was waited for, all waits together."""

    def decoder_started(self) -> None:
        """Say that a decoding process was started."""

    def decoder_lost(self, reason: str) -> None:
        """Say that a decoding process died at its work, under the reason that its file was told."""

    def file_ended(self, lane: str, outcome: str, audio_seconds: float) -> None:
        """Say what became of a file: "embedded", "refused", "failed" or "cancelled"; seconds where it was embedded."""

    def refused(self, lane: str, reason: str) -> None:
        """Say why a file was not embedded."""

    def unwanted(self) -> None:
        """Say that nobody waits for a piece of work any more: nothing was embedded for it."""

    def model_loaded(self, encoder_id: str, name: str, device: str, precision: str, dimension: int) -> None:
        """Say what is served."""

    @contextlib.contextmanager
    def file(self, lane: str) -> Iterator["FileNotes"]:
        """Count the end of the file that is embedded inside, by what it raises.

        Yields:
            Takes the seconds of audio, where it comes to that.
        """
        notes = FileNotes()
        outcome, reason = "embedded", ""
        try:
            yield notes
        except (asyncio.CancelledError, GeneratorExit):
            outcome = "cancelled"
            raise
        except DomainError as error:
            outcome, reason = "refused" if isinstance(error, AudioError) else "failed", error.reason
            raise
        except Exception:
            outcome, reason = "failed", "INTERNAL"
            raise
        finally:
            self.file_ended(lane, outcome, notes.audio_seconds)
            if reason:
                self.refused(lane, reason)


class FileNotes:
    """What is found out of a file on the way.

    Attributes:
        audio_seconds: Length of its audio; 0 while unknown.
    """

    def __init__(self) -> None:
        self.audio_seconds = 0.0


def embedder_metrics(registry: "CollectorRegistry | None") -> EmbedderMetrics:
    """Return what counts into a registry; without one, what counts nothing."""
    if registry is None:
        return EmbedderMetrics()
    from services.embedder.prometheus import CountedEmbedder  # nobody else needs the library

    return CountedEmbedder(registry)
