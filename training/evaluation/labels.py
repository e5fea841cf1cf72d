"""Reads a catalogue that somebody else may have written, and tells what is wrong with it in one line."""

import csv
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from training.catalogue import FAMILIES, Track, read_catalogue
from training.errors import TrainingError


class LabelsInvalid(TrainingError):
    """A file of labels that is missing, or is none."""


def read_labels(path: Path) -> list[Track]:
    """Read every piece of a catalogue in the order of the file.

    Raises:
        LabelsInvalid: It cannot be read, or a row is no piece; the message names file and fault.
    """
    try:
        tracks = read_catalogue(path)
    except FileNotFoundError as error:
        raise LabelsInvalid(f"{path} is missing") from error
    except UnicodeDecodeError as error:
        raise LabelsInvalid(f"{path} is no table of labels: it is not UTF-8, from byte {error.start}") from error
    except KeyError as error:
        raise LabelsInvalid(f"{path} has no column {error}") from error
    except TypeError as error:  # a missing cell is None
        raise LabelsInvalid(f"{path} has a row that ends before its last column") from error
    except (OSError, ValueError, csv.Error) as error:
        raise LabelsInvalid(f"{path} is no table of labels: {error}") from error
    for number, track in enumerate(tracks, 1):
        cells: tuple[str | None, ...] = (track.path, track.group, track.family, track.evidence, track.title,
                                         track.artist, track.album)  # fmt: skip
        if None in cells:
            raise LabelsInvalid(f"{path}, piece {number} ends before its last column")
        if not (math.isfinite(track.duration_seconds) and track.duration_seconds > 0):
            raise LabelsInvalid(f"{path}, piece {number}: seconds is {track.duration_seconds}, it must be above 0")
    return tracks


def count_unjudged(tracks: Iterable[Track]) -> str:
    """Say in a sentence how many pieces have a family that nothing is judged by; nothing where all are judged."""
    counts = Counter(track.family for track in tracks if track.family and track.family not in FAMILIES)
    if not counts:
        return ""
    listed = ", ".join(f"{count} {family}" for family, count in sorted(counts.items()))
    return f"Pieces whose family is none of {', '.join(FAMILIES)}, and not judged: {counts.total()} ({listed})."
