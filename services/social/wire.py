"""Translates values that several messages carry from the domain to protobuf."""

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from museed.social.v1 import catalog_pb2
from services.social.domain.catalog import Descriptors
from services.social.errors import Malformed


def timestamp(moment: datetime) -> Timestamp:
    """Return a point in time as a message, to the microsecond."""
    message = Timestamp()
    message.FromDatetime(moment.astimezone(UTC))
    return message


def descriptors(found: Descriptors | None) -> catalog_pb2.Descriptors | None:
    """Return what was measured of a sound; what is not known stays unset."""
    if found is None:
        return None
    return catalog_pb2.Descriptors(
        loudness_lufs=found.loudness_lufs,
        peak_dbfs=found.peak_dbfs,
        tempo_bpm=found.tempo_bpm,
        key=found.key or "",
        key_confidence=found.key_confidence,
        energy=found.energy,
    )


def moment(message: Timestamp, field: str) -> datetime:
    """Return the point in time of a message, to the microsecond.

    Raises:
        Malformed: Not between the years 1 and 9999.
    """
    try:
        return message.ToDatetime(UTC)
    except (ValueError, OverflowError) as error:
        raise Malformed(field, f"{message.seconds} s", "a time between the years 1 and 9999") from error
