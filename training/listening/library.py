"""Lists the music of a folder for a listening test: catalogued pieces as the catalogue says, others by their tags."""

from pathlib import Path

import mutagen

from training.catalogue import NOT_MUSIC, Track
from training.evaluation.tunes import find_tunes, kept_tracks

MIN_SECONDS = 30.0

_SUFFIXES = frozenset({".aac", ".aif", ".aiff", ".flac", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".wav"})


def list_library(music: Path, catalogue: list[Track]) -> list[Track]:
    """List pieces of at least 30 s below a folder, one a tune, by path; what is no audio is passed over.

    Args:
        music: The folder; symbolic links in it are not followed.
        catalogue: Pieces that are known, whose words are taken; what it calls no music is left out.
    """
    known = {track.path: track for track in catalogue}
    paths = sorted(path for path in music.rglob("*") if path.suffix.casefold() in _SUFFIXES and path.is_file())
    found = []
    for path in paths:
        relative = path.relative_to(music).as_posix()
        track = known.get(relative) or _read(path, relative)
        if track is not None and track.duration_seconds >= MIN_SECONDS and track.family != NOT_MUSIC:
            found.append(track)
    return kept_tracks(find_tunes(found))


def _read(path: Path, relative: str) -> Track | None:
    """Describe a file that no catalogue knows by its tags; its folder is its soundtrack."""
    try:
        file = mutagen.File(path, easy=True)
    except (mutagen.MutagenError, OSError):
        return None
    if file is None:
        return None
    title, artist, album = (str((file.get(name) or [""])[0]) for name in ("title", "artist", "album"))
    folder = Path(relative).parent.as_posix()
    return Track(relative, folder, "", "none", title, artist, album, float(getattr(file.info, "length", 0.0)))
