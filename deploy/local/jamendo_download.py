"""Downloads music from Jamendo: what its API says of tracks, then their audio, laid out as the MTG set is.

Safe to stop and to repeat: whole files are kept, half ones go on where they were.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.local.client import ClientError
from deploy.local.jamendo_client import JamendoClient
from services.social.sources.jamendo import path_of

METADATA = "jamendo_metadata.jsonl"
MOST_TRACKS = 10_000
_WRITE_EVERY = 20


@dataclass(slots=True)
class DownloadReport:
    """What a download did; left out is (place, reason, message)."""

    found: int = 0
    downloaded: int = 0
    kept: int = 0
    left_out: list[tuple[str, str, str]] = field(default_factory=list)


def download_tracks(
    client: JamendoClient, folder: Path, count: int, tags: str, told: Callable[[int, int], None]
) -> DownloadReport:
    """Download tracks with what Jamendo says of them into `jamendo_metadata.jsonl`, one result a line.

    Args:
        client: Of the API.
        folder: Gets NN/ID.mp3; what is there already is kept.
        count: At most this many tracks.
        tags: As in `search`.
        told: Is told how many of how many are done.

    Raises:
        ClientError: The API refuses or is away; single files that cannot be had are left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results = list(client.search(count, tags))
    report = DownloadReport(found=len(results))
    lines = _known_lines(folder / METADATA)
    for done, result in enumerate(results, start=1):
        _download(client, folder, result, report, lines)
        told(done, len(results))
        if done % _WRITE_EVERY == 0:
            _write_lines(folder / METADATA, lines)
    _write_lines(folder / METADATA, lines)
    return report


def _download(
    client: JamendoClient, folder: Path, result: dict[str, Any], report: DownloadReport, lines: dict[str, str]
) -> None:
    track_id, url = str(result.get("id", ""))[:20], result.get("audiodownload")
    place = f"track {track_id}"
    if not track_id.isascii() or not track_id.isdigit() or len(track_id) > 12:
        report.left_out.append((place, "JAMENDO_ANSWER", "its id is no number"))
        return
    if result.get("audiodownload_allowed") is False or not isinstance(url, str) or not url:
        report.left_out.append((place, "DOWNLOAD_NOT_ALLOWED", "its artist does not allow downloads"))
        return
    path = folder / path_of(int(track_id))
    if path.exists():
        report.kept += 1
    else:
        try:
            client.download(url, path)
        except ClientError as error:
            if error.code == "UNAVAILABLE":
                raise
            report.left_out.append((place, error.code, str(error)))
            return
        report.downloaded += 1
    # Addresses of downloads hold the client's id, and run out.
    lines[track_id] = json.dumps({name: value for name, value in result.items() if not name.startswith("audio")})


def _known_lines(path: Path) -> dict[str, str]:
    """Read what was written before, by id; what cannot be read goes."""
    found: dict[str, str] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                result = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(result, dict) and "id" in result:
                found[str(result["id"])] = line
    return found


def _write_lines(path: Path, lines: dict[str, str]) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text("".join(f"{line}\n" for line in lines.values()), encoding="utf-8")
    os.replace(part, path)
