"""Follows the PROFILES log and applies it to the profiles; no other input changes them."""

import asyncio
import contextlib
import logging

import numpy as np
from google.protobuf.message import DecodeError

from museed.social.v1 import events_pb2
from services.chassis.bus import PROFILES, Bus, LogBatch, LogEntry, profile_subject, read_log
from services.chassis.errors import DomainError, InvalidArgument
from services.retriever.profiles.profiles import MAX_TRACKS, Profile, Profiles
from services.retriever.servicer.limits import MAX_ID, counted, within

logger = logging.getLogger(__name__)

_MAX_WEIGHT = float(np.finfo(np.float32).max)
# Taken at a time on the event loop: with 1,000 tracks each some 5 ms.
_CHUNK = 16


class ProfileConsumer:
    """Applies the PROFILES log from its beginning on: there is no snapshot of it.

    A message that is malformed is named in the log, counted, and passed over: what was known of that profile stays,
    but it is recommended to nobody, because that may be what the message said.

    Args:
        profiles: What is changed.
    """

    def __init__(self, profiles: Profiles) -> None:
        self._profiles = profiles
        self.refused_count = 0

    async def run(self, bus: Bus) -> None:
        """Follow the log for ever; survives a server that goes away, and a stream that does not exist yet."""
        async with contextlib.aclosing(read_log(bus, PROFILES, profile_subject("*"), None)) as batches:
            async for batch in batches:
                await self.take(batch)

    async def take(self, batch: LogBatch) -> None:
        """Apply a batch, on the event loop, which is let go of now and then."""
        was_caught_up = self._profiles.is_caught_up and not batch.is_reset
        if batch.is_reset:
            self._profiles.is_caught_up = False
            self._profiles.clear()
        for start in range(0, len(batch.entries), _CHUNK):
            for entry in batch.entries[start : start + _CHUNK]:
                self._take_one(entry)
            await asyncio.sleep(0)
        # A burst that is not read to its end yet does not make them incomplete; a log begun anew does.
        self._profiles.is_caught_up = batch.is_caught_up or was_caught_up
        if self._profiles.is_caught_up and not was_caught_up:
            logger.info("profiles_caught_up", extra={"profile_count": len(self._profiles)})

    def _take_one(self, entry: LogEntry) -> None:
        try:
            apply_entry(self._profiles, entry)
        except DomainError as error:
            self.refused_count += 1
            self._profiles.unlist(_profile_of(entry))
            logger.warning(
                "profile_refused", extra={"subject": entry.subject, "sequence": entry.sequence, "error": error.message}
            )


def apply_entry(profiles: Profiles, entry: LogEntry) -> bool:
    """Apply one message of the log; safe to repeat.

    Returns:
        Whether anything changed: a version lower than the known one and a tombstone for nothing change nothing.

    Raises:
        InvalidArgument: The message is malformed.
    """
    profile_id = _profile_of(entry)
    if not entry.payload:
        return profiles.remove(profile_id)
    return profiles.upsert(parse_profile(entry.payload, profile_id))


def parse_profile(payload: bytes, profile_id: str) -> Profile:
    """Read a ProfileWeights message.

    Args:
        payload: The serialised message.
        profile_id: The profile that it must be about.

    Raises:
        InvalidArgument: It is something else, has too many tracks, the same one twice, or a weight that is none.
    """
    try:
        message = events_pb2.ProfileWeights.FromString(payload)
    except DecodeError as error:
        raise InvalidArgument("it is no ProfileWeights") from error
    if message.profile_id != profile_id:
        raise InvalidArgument(
            f"profile_id is {message.profile_id!r}, {profile_id!r} is expected",
            field="profile_id",
            value=message.profile_id,
        )
    counted("tracks", len(message.tracks), MAX_TRACKS)
    for number, track in enumerate(message.tracks):
        # Asked first without a name, of which making takes longer than all the rest.
        if not (0 <= track.weight <= _MAX_WEIGHT and 1 <= len(track.track_id) <= MAX_ID):
            within(f"tracks[{number}].weight", track.weight, 0, _MAX_WEIGHT)  # neither NaN nor infinite
            within(f"length of tracks[{number}].track_id", len(track.track_id), 1, MAX_ID)
    track_ids = tuple(track.track_id for track in message.tracks)
    if len(set(track_ids)) < len(track_ids):
        raise InvalidArgument("a track has two weights", field="tracks")
    weights = np.array([track.weight for track in message.tracks], dtype=np.float32)
    return Profile(profile_id, message.version, track_ids, weights, message.is_listed)


def _profile_of(entry: LogEntry) -> str:
    return entry.subject.rsplit(".", 1)[-1]
