"""Finds the picture that lies beside an audio file. `open_below` keeps it below the same root. Blocks."""

import os
from itertools import islice

from services.chassis.errors import NotFound
from services.chassis.media import open_below
from services.gateway.covers.images import image_type

_NAMES = ("cover", "folder", "front", "album", "albumart")
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif")
# In this order, whatever the case of the name.
_RANKS = {os.fsencode(name + suffix): rank for rank, (name, suffix) in enumerate(
    (name, suffix) for name in _NAMES for suffix in _SUFFIXES
)}  # fmt: skip
_MOST_ENTRIES = 4096
_HEAD_BYTES = 16


def open_folder_image(root: str, relative_path: bytes) -> int | None:
    """Open the picture beside a file.

    Args:
        root: Folder of the media root.
        relative_path: Of the audio file.

    Returns:
        A descriptor that the caller closes; None where there is no such picture.
    """
    folder = os.path.dirname(relative_path)
    try:
        where = os.path.join(os.fsencode(root), folder)
        with os.scandir(where) as entries:
            names = [entry.name for entry in islice(entries, _MOST_ENTRIES) if entry.name.lower() in _RANKS]
    except (OSError, ValueError):
        return None
    for name in sorted(names, key=lambda name: (_RANKS[name.lower()], name)):
        try:
            return open_below(root, os.path.join(folder, name))
        except NotFound:
            continue
    return None


def has_folder_image(root: str, relative_path: bytes) -> bool:
    """Say whether a picture that browsers show lies beside a file."""
    descriptor = open_folder_image(root, relative_path)
    if descriptor is None:
        return False
    try:
        return image_type(os.pread(descriptor, _HEAD_BYTES, 0)) is not None
    except OSError:
        return False
    finally:
        os.close(descriptor)
