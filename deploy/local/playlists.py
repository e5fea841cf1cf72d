"""Asks the gateway for playlists: seeds are tracks of the library or files that are uploaded first."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from clients.python import operations
from clients.python.client import Client
from clients.python.operations import GeneratePlaylistInput, JobStatus, PlayableTrack, SeedInput, TrackRow
from deploy.local.client import ClientError, accepted
from deploy.local.patience import Patience
from deploy.local.tables import command


@dataclass(frozen=True, slots=True)
class Entry:
    """A place of a playlist whose track is there."""

    track: PlayableTrack
    is_seed: bool
    similarity: float | None
    shared_tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WholePlaylist:
    """A playlist with all its entries."""

    playlist_id: str
    title: str
    entries: tuple[Entry, ...]


def seed_input(client: Client, seed: str) -> SeedInput:
    """Turn what a person typed into a seed: a file is uploaded, anything else must be the id of a track.

    Raises:
        ClientError: Neither a readable file nor an id.
    """
    path = Path(seed).expanduser()
    if path.is_file():
        return SeedInput(upload_id=client.upload(path).upload_id)
    try:
        return SeedInput(track_id=str(UUID(seed)))
    except ValueError:
        raise ClientError(
            f"{seed!r} is neither a file nor a track id; find ids with: {command('search TEXT')}", "BAD_SEED"
        ) from None


def make_playlist(
    client: Client,
    seeds: Sequence[SeedInput],
    on_progress: Callable[[JobStatus], None],
    **options: Any,
) -> WholePlaylist:
    """Ask for a playlist and wait until it is there.

    Args:
        client: Logged in.
        seeds: From `seed_input`.
        on_progress: Told of the job at first, at every change, and at its end.
        options: More fields of GeneratePlaylistInput, for example length.

    Raises:
        ClientError: Refused, failed (with the job's reason) or cancelled.
    """
    request = GeneratePlaylistInput(seeds=seeds, idempotency_key=str(uuid7()), **options)
    job = accepted(operations.generate_playlist(client, request)).job
    on_progress(job)
    if not job.is_finished:
        for latest in followed(client, job.job_id):
            job = latest
            on_progress(job)
    if job.state != "SUCCEEDED" or job.playlist_id is None:
        reason = job.failure_reason or job.state
        raise ClientError(job.failure_message or "the playlist was cancelled", reason)
    return fetch_playlist(client, job.playlist_id)


def followed(client: Client, job_id: str) -> Iterator[JobStatus]:
    """Yield a job as it stands and at every change, until it has ended; while the gateway is away it is waited for.

    Raises:
        ClientError: It is not the caller's, or the gateway stays away.
    """
    patience = Patience()
    while True:
        try:
            for job in operations.job_progress(client, job_id):
                patience = Patience()
                yield job
                if job.is_finished:
                    return
        except ClientError as error:
            patience.wait(error)


def fetch_playlist(client: Client, playlist_id: str) -> WholePlaylist:
    """Return a playlist with all its entries; an entry whose track was deleted is left out."""
    entries: list[Entry] = []
    after = None
    while True:
        page = operations.playlist_page(client, playlist_id=playlist_id, after=after)
        entries += [
            Entry(row.track, row.is_seed, row.similarity, row.shared_tags)
            for row in page.entries.nodes
            if row.track is not None
        ]
        if not page.entries.page_info.has_next_page:
            return WholePlaylist(page.playlist_id, page.title, tuple(entries))
        after = page.entries.page_info.end_cursor


def search_tracks(client: Client, text: str, limit: int) -> tuple[TrackRow, ...]:
    """Return tracks whose title, artist or album is like a text, best first."""
    return operations.search_tracks(client, query=text, first=limit).nodes
