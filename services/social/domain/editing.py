"""The order of a playlist's entries, as people change it by hand."""

from collections import defaultdict, deque
from collections.abc import Sequence

from services.social.domain import fields
from services.social.domain.ids import EntryId, TrackId, is_id
from services.social.domain.playlists import Entry
from services.social.errors import Malformed, Missing
from services.social.errors.playlists import EntryNotFound, PlaylistFull

MOST_ENTRIES = 1_000
MOST_IN_A_CALL = 500
# Positions beyond the end are the end.
_LAST_POSITION = 2**31 - 1


def check_tracks(track_ids: Sequence[str], *, is_required: bool) -> list[TrackId]:
    """Check the tracks of one call, of which one may stand twice.

    Raises:
        Missing, Malformed, OutOfRange: With the field.
    """
    fields.count(len(track_ids), "track_ids", MOST_IN_A_CALL)
    if is_required and not track_ids:
        raise Missing("track_ids")
    return [TrackId(one) for one in _ids(track_ids, "track_ids")]


def check_track_order(track_ids: Sequence[str]) -> list[TrackId]:
    """Check the tracks of a whole playlist in a new order.

    Raises:
        Missing, Malformed, OutOfRange: With the field.
    """
    fields.count(len(track_ids), "track_ids", MOST_ENTRIES)
    if not track_ids:
        raise Missing("track_ids")
    return [TrackId(one) for one in _ids(track_ids, "track_ids")]


def check_entries(entry_ids: Sequence[str], most: int) -> list[EntryId]:
    """Check ids of entries.

    Raises:
        Missing, Malformed, OutOfRange: With the field.
    """
    fields.count(len(entry_ids), "entry_ids", most)
    if not entry_ids:
        raise Missing("entry_ids")
    return [EntryId(one) for one in _ids(entry_ids, "entry_ids")]


def check_position(position: int) -> int:
    """Check a place, from 0.

    Raises:
        OutOfRange: Before the first.
    """
    return fields.integer(position, "position", 0, _LAST_POSITION)


def check_room(count: int, field: str = "track_ids") -> None:
    """Check that a playlist may have so many entries; `field` is what would add them.

    Raises:
        PlaylistFull: More than 1,000.
    """
    if count > MOST_ENTRIES:
        raise PlaylistFull(count, MOST_ENTRIES, field)


def moved(entries: Sequence[Entry], entry_id: EntryId, position: int) -> list[EntryId]:
    """Return the order after one entry went to another place; beyond the end is the end.

    Raises:
        EntryNotFound: It is not there.
    """
    order = [entry.entry_id for entry in entries]
    if entry_id not in order:
        raise EntryNotFound(entry_id)
    order.remove(entry_id)
    order.insert(position, entry_id)
    return order


def inserted(entries: Sequence[Entry], added: Sequence[EntryId], position: int | None) -> list[EntryId]:
    """Return the order after new entries went in at a place; None and beyond the end are the end."""
    order = [entry.entry_id for entry in entries]
    place = len(order) if position is None else position
    order[place:place] = added
    return order


def reordered(entries: Sequence[Entry], entry_ids: Sequence[EntryId]) -> list[EntryId]:
    """Return an order that was given whole.

    Raises:
        Malformed: Not every entry once.
    """
    if len(entry_ids) != len(entries) or set(entry_ids) != {entry.entry_id for entry in entries}:
        raise Malformed("entry_ids", f"{len(entry_ids)} ids", f"each of the {len(entries)} entries once")
    return list(entry_ids)


def reordered_by_tracks(entries: Sequence[Entry], track_ids: Sequence[TrackId]) -> list[EntryId]:
    """Return the order in which the tracks come as given; entries of the same track keep theirs.

    Raises:
        Malformed: Not every track as often as it stands there.
    """
    waiting: defaultdict[TrackId, deque[EntryId]] = defaultdict(deque)
    for entry in entries:
        waiting[entry.track_id].append(entry.entry_id)
    order = [waiting[track_id].popleft() for track_id in track_ids if waiting[track_id]]
    if len(order) != len(entries) or len(track_ids) != len(entries):
        wanted = f"each track as often as it stands in the playlist, {len(entries)} in all"
        raise Malformed("track_ids", f"{len(track_ids)} ids", wanted)
    return order


def _ids(given: Sequence[str], field: str) -> Sequence[str]:
    for index, one in enumerate(given):
        if not is_id(one):
            raise Malformed(f"{field}[{index}]", one, "a UUID")
    return given
