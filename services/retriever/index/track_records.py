"""Writes what is known of a track as a line of JSON, and reads it back. Nothing is ever executed from it.

A line has the fields of `Track` in their order: whoever adds one raises the format of the files that hold lines.
"""

import json
from dataclasses import fields
from typing import Any

from services.retriever.tracks import Track

_NAMES = [each.name for each in fields(Track) if each.init]
_AUDIO_HASH, _TAGS, _WINDOWS_DIGEST = map(_NAMES.index, ("audio_hash", "tags", "windows_digest"))


def encode(track: Track) -> bytes:
    """Return one line, its end included."""
    told = [getattr(track, name) for name in _NAMES]
    told[_AUDIO_HASH], told[_WINDOWS_DIGEST] = track.audio_hash.hex(), track.windows_digest.hex()
    return json.dumps(told).encode() + b"\n"  # one a track: a single dumps would hold the interpreter's lock for long


def decode(line: bytes) -> Track:
    """Read a line of `encode`."""
    return Track(*values(line))


def values(line: bytes) -> list[Any]:
    """Read a line of `encode`; return what a track is made of, in the order of its fields."""
    found: list[Any] = json.loads(line)
    found[_AUDIO_HASH], found[_WINDOWS_DIGEST] = map(bytes.fromhex, (found[_AUDIO_HASH], found[_WINDOWS_DIGEST]))
    found[_TAGS] = tuple(found[_TAGS])
    return found
