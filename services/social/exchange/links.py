"""How a row of a file names its recording and says where it lies."""

from urllib.parse import quote

from services.social.exchange.rows import TrackRow


def location(row: TrackRow) -> str:
    """Return the address of a track, or its path below the root of the library as a relative reference (RFC 3986)."""
    return row.address or quote(row.path, safe="/")


def identifiers(row: TrackRow) -> list[str]:
    """Return the names of a recording that other programs know."""
    found = []
    if row.recording_id is not None:
        found.append(f"https://musicbrainz.org/recording/{row.recording_id}")
    if row.isrc is not None:
        found.append(f"urn:isrc:{row.isrc}")
    return found
