"""Makes a playlist of a file's rows whose recordings the library has."""

from dataclasses import dataclass
from datetime import datetime

from services.social import events
from services.social.domain.ids import PlaylistId, TrackId, new_id
from services.social.domain.playlists import LONGEST_TITLE, Visibility
from services.social.errors.exchange import NoRowMatched
from services.social.exchange.matching import Unmatched, chosen
from services.social.exchange.rows import FileRow, PlaylistFile
from services.social.store import accounts, editing, exchange, outbox, playlists
from services.social.store.claims import Claim
from services.social.store.database import Connection, Database

_UNTITLED = "Imported playlist"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row without a track; `place` counts from 1."""

    place: int
    row: FileRow
    reason: Unmatched


@dataclass(frozen=True, slots=True)
class Matched:
    """What of a file the library has, in the file's order."""

    track_ids: list[TrackId]
    left_out: list[LeftOut]


async def match(connection: Connection, file: PlaylistFile) -> Matched:
    """Find the tracks that a file's rows mean."""
    candidates = await exchange.candidates(connection, file.rows)
    track_ids: list[TrackId] = []
    left_out: list[LeftOut] = []
    for number, row in enumerate(file.rows):
        found = chosen(row, candidates.get(number, []))
        if isinstance(found, Unmatched):
            left_out.append(LeftOut(number + 1, row, found))
        else:
            track_ids.append(found)
    return Matched(track_ids, left_out)


async def import_playlist(
    database: Database,
    claim: Claim,
    file: PlaylistFile,
    title: str,
    visibility: Visibility,
    most: int,
    now: datetime,
) -> tuple[PlaylistId, Matched]:
    """Make a playlist of a file, once by its key.

    Args:
        database: The truth.
        claim: Of the request.
        file: As read.
        title: Empty takes the file's own.
        visibility: Who may open it.
        most: How many playlists a person may have.
        now: Time of day.

    Returns:
        The playlist, and which rows of the file the library has now. Where the key had made the playlist before, that
        may be more than is in it.

    Raises:
        NoRowMatched: The library has none of the recordings.
        TooManyPlaylists: They have as many as they may.
        IdempotencyKeyReused: The key came with another request.
    """
    async with database.connection() as connection:
        matched = await match(connection, file)
    made = PlaylistId(new_id())
    async with database.transaction() as connection:
        await accounts.lock_person(connection, claim.user_id)
        playlist_id = PlaylistId(await claim.bind(connection, made, now))
        if playlist_id != made:
            return playlist_id, matched
        if not matched.track_ids:
            raise NoRowMatched(len(file.rows))
        await playlists.must_have_room(connection, claim.user_id, most)
        named = title or file.title[:LONGEST_TITLE].strip() or _UNTITLED
        await editing.insert_playlist(connection, made, claim.user_id, named, "", visibility, "IMPORT", now)
        await editing.add_tracks(connection, made, claim.user_id, new_id(), matched.track_ids, 0, now)
        await outbox.add(connection, events.playlist_created(made, claim.user_id, now))
    return made, matched
