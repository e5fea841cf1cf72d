"""Gives parts to actors of Ray, one at a time to each, and again to another where one died."""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayTaskError

from services.chassis import telemetry
from services.embedder.bulk.hearing import Hearing
from services.embedder.bulk.output import PartReport, RunFolder
from services.embedder.bulk.rows import Part
from services.embedder.preparing import prepare_encoder
from services.embedder.settings import EncodingSettings

logger = logging.getLogger(__name__)

# Of one worker: a machine that is taken away is no fault, one that dies for ever is.
_MOST_RESTARTS = 1_000
_MOST_FAILURES = 3
_MOST_STARTS = 5
_OBJECT_STORE_BYTES = 128 << 20


class RunFailed(RuntimeError):
    """No worker can go on; what is written stays, and the same command goes on from there."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one worker has of its machine: cores, and GPUs or parts of one."""

    cpus: float
    gpus: float


class Worker:
    """Runs in a process of Ray: one encoder, and the decoding processes before it."""

    def __init__(self, chosen: EncodingSettings, root: Path, out: Path) -> None:
        telemetry.configure_logging("embedder", "INFO")
        self._loop = asyncio.new_event_loop()
        try:
            encoder = prepare_encoder(chosen)
        except SystemExit as error:  # Ray would tell nobody why
            raise RuntimeError(str(error)) from error
        self._encoder_id = encoder.manifest.encoder_id
        self._hearing = Hearing(chosen, encoder, root, RunFolder(out))
        self._loop.run_until_complete(self._hearing.start())

    def encoder_id(self) -> str:
        """Return who hears."""
        return self._encoder_id

    def hear(self, part: Part) -> PartReport:
        """Hear a part and write it; safe to repeat."""
        try:
            return self._loop.run_until_complete(self._hearing.hear(part))
        except BaseExceptionGroup as group:
            # Its parts may not survive the way to the driver, their texts do.
            logger.exception("part_failed", extra={"part": part.number})
            raise RuntimeError("; ".join(f"{type(one).__name__}: {one}" for one in group.exceptions)) from None


def join(address: str | None) -> None:
    """Join the cluster at an address or at RAY_ADDRESS; without either start a Ray on this machine alone.

    Raises:
        RunFailed: There is none, or none starts.
    """
    is_own = not (address or os.environ.get("RAY_ADDRESS"))
    # Parts and reports pass through the object store, and no sound.
    own = {"object_store_memory": _OBJECT_STORE_BYTES, "include_dashboard": False} if is_own else {}
    tries = _MOST_STARTS if is_own else 1
    for attempt in range(1, tries + 1):
        try:
            ray.init(address=address, log_to_driver=False, ignore_reinit_error=True, **own)
            return
        except Exception as error:  # a bare one where the machine was busy for 30 s: Ray's own patience, and fixed
            ray.shutdown()
            if attempt == tries:
                raise RunFailed(f"Ray cannot be joined: {str(error).strip()[:500]}") from error
            logger.warning("ray_not_started", extra={"reason": str(error).strip()[:200]})


def fitted(chosen: EncodingSettings, share: Share) -> EncodingSettings:
    """Return settings for a worker that shares its machine: threads and decoders by its own cores."""
    cores = max(1, int(share.cpus))
    return chosen.model_copy(
        update={"model_threads": chosen.model_threads or cores, "bulk_decoders": chosen.bulk_decoders or cores}
    )


def places(share: Share) -> int:
    """Return how many workers the cluster holds now, at least one."""
    there = ray.cluster_resources()
    counts = [int(there.get("CPU", 0) / share.cpus)]
    if share.gpus:
        counts.append(int(there.get("GPU", 0) / share.gpus))
    return max(1, min(counts))


class Workers:
    """A number of actors that are alike; those that die are started anew by Ray, with the part they had.

    Args:
        count: How many.
        share: Of a machine, for each.
        chosen: Settings of the encoder and of decoding.
        root: Below which relative paths are meant, the same on every machine.
        out: The run's folder, likewise.
    """

    def __init__(self, count: int, share: Share, chosen: EncodingSettings, root: Path, out: Path) -> None:
        kind: Any = ray.remote(Worker)
        options = {"num_cpus": share.cpus, "num_gpus": share.gpus}
        self._actors = [
            kind.options(max_restarts=_MOST_RESTARTS, max_task_retries=-1, **options).remote(
                fitted(chosen, share), root, out
            )
            for _ in range(count)
        ]

    def encoder_id(self) -> str:
        """Return who hears; waits until one worker is ready.

        Raises:
            RunFailed: It cannot start; the text says why.
        """
        try:
            return str(ray.get(self._actors[0].encoder_id.remote()))
        except RayActorError as error:
            raise RunFailed(f"no worker starts: {str(error).strip().splitlines()[-1]}") from error

    def hear(self, parts: Iterator[Part], told: Callable[[PartReport], None]) -> None:
        """Have all parts heard; no more are read of the manifest than are at work.

        Raises:
            RunFailed: A part cannot be heard for a reason that is no file's, or all workers are gone.
        """
        idle, again = list(self._actors), list[Part]()
        flying: dict[Any, tuple[Any, Part]] = {}
        failures = Counter[int]()
        while True:
            while idle and (part := again.pop() if again else next(parts, None)) is not None:
                actor = idle.pop()
                flying[actor.hear.remote(part)] = (actor, part)
            if not flying:
                if not idle:
                    raise RunFailed("every worker is gone: run the same command again, it goes on")
                return
            (ref, *_), _ = ray.wait(list(flying), num_returns=1)
            actor, part = flying.pop(ref)
            try:
                told(ray.get(ref))
                idle.append(actor)
            except RayTaskError as error:
                failures[part.number] += 1
                logger.warning("part_failed", extra={"part": part.number, "reason": str(error.cause)})
                if failures[part.number] == _MOST_FAILURES:
                    raise RunFailed(f"part {part.number}: {error.cause}") from error
                # A model that fails on everything needs another process, and perhaps another machine.
                ray.kill(actor, no_restart=False)
                idle.insert(0, actor)
                again.append(part)
            except RayActorError:
                logger.warning("worker_gone", extra={"part": part.number})
                again.append(part)
