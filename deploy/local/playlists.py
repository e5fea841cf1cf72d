"""Asks the gateway for playlists: seeds are tracks of the library or files that are uploaded first."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from deploy.local.client import ERROR_FIELDS, ClientError, GatewayClient
from deploy.local.tables import command

_POLL_INTERVAL_S = 0.2
_FINAL_STATES = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
_JOB_FIELDS = "jobId state progress failureReason failureMessage playlistId"

_GENERATE = f"""mutation GeneratePlaylist($input: GeneratePlaylistInput!) {{
  generatePlaylist(input: $input) {{
    __typename
    ... on GeneratePlaylistSuccess {{ job {{ {_JOB_FIELDS} }} }}
    {ERROR_FIELDS}
  }}
}}"""

_JOB = f"query Job($id: ID!) {{ job(id: $id) {{ {_JOB_FIELDS} }} }}"

_PLAYLIST = """query Playlist($id: ID!, $after: String) {
  playlist(id: $id) {
    playlistId
    title
    entries(first: 100, after: $after) {
      nodes {
        isSeed
        similarity
        sharedTags
        track { trackId title artist album genre durationSeconds streamUrl tags { name score } }
      }
      pageInfo { hasNextPage endCursor }
    }
  }
}"""

_SEARCH = """query SearchTracks($query: String!, $first: Int!) {
  searchTracks(query: $query, first: $first) {
    nodes { trackId title artist album genre durationSeconds }
  }
}"""


def seed_input(client: GatewayClient, seed: str) -> dict[str, Any]:
    """Turn what a person typed into a seed: a file is uploaded, anything else must be the id of a track.

    Raises:
        ClientError: Neither a readable file nor an id.
    """
    path = Path(seed).expanduser()
    if path.is_file():
        return {"uploadId": client.upload(path)["uploadId"]}
    try:
        return {"trackId": str(UUID(seed))}
    except ValueError:
        raise ClientError(
            f"{seed!r} is neither a file nor a track id; find ids with: {command('search TEXT')}", "BAD_SEED"
        ) from None


def make_playlist(
    client: GatewayClient,
    seeds: Sequence[dict[str, Any]],
    on_progress: Callable[[str, float], None],
    **options: Any,
) -> dict[str, Any]:
    """Ask for a playlist and wait until it is there.

    Args:
        client: Logged in.
        seeds: From `seed_input`.
        on_progress: Told state and progress, 0 to 1.
        options: More fields of GeneratePlaylistInput, for example length.

    Returns:
        The playlist with its entries and tracks.

    Raises:
        ClientError: Refused, failed (with the job's reason) or cancelled.
    """
    request = {"seeds": list(seeds), "idempotencyKey": str(uuid7()), **options}
    job = client.mutate(_GENERATE, request)["job"]
    while job["state"] not in _FINAL_STATES:
        on_progress(job["state"], job["progress"])
        time.sleep(_POLL_INTERVAL_S)
        job = client.query(_JOB, id=job["jobId"])["job"]
    on_progress(job["state"], job["progress"])
    if job["state"] != "SUCCEEDED":
        reason = job["failureReason"] or job["state"]
        raise ClientError(job["failureMessage"] or "the playlist was cancelled", reason)
    return fetch_playlist(client, job["playlistId"])


def fetch_playlist(client: GatewayClient, playlist_id: str) -> dict[str, Any]:
    """Return a playlist with all its entries as one list; an entry whose track was deleted is left out."""
    entries: list[dict[str, Any]] = []
    after = None
    while True:
        playlist: dict[str, Any] = client.query(_PLAYLIST, id=playlist_id, after=after)["playlist"]
        page = playlist["entries"]
        entries += [entry for entry in page["nodes"] if entry["track"] is not None]
        if not page["pageInfo"]["hasNextPage"]:
            return {**playlist, "entries": entries}
        after = page["pageInfo"]["endCursor"]


def search_tracks(client: GatewayClient, text: str, limit: int) -> list[dict[str, Any]]:
    """Return tracks whose title, artist or album is like a text, best first."""
    data = client.query(_SEARCH, query=text, first=limit)
    found: list[dict[str, Any]] = data["searchTracks"]["nodes"]
    return found
