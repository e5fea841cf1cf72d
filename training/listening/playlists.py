"""Makes the playlists that people compare: the nearest tracks of a seed by cosine. Reads no audio."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from training.catalogue import Track
from training.errors import TrainingError

Float32Array = NDArray[np.float32]


class ListeningTestImpossible(TrainingError):
    """The music or the choices allow no comparison."""


@dataclass(frozen=True, slots=True)
class PlaylistRules:
    """What every playlist keeps to.

    Attributes:
        length: Tracks of a playlist, the seed not counted.
        per_soundtrack: Most tracks of one soundtrack, the seed's own soundtrack included.
    """

    length: int = 10
    per_soundtrack: int = 2


def choose_seeds(tracks: Sequence[Track], count: int, seed: int, named: Sequence[str] = ()) -> list[int]:
    """Choose seed tracks of as many different soundtracks as there are.

    Args:
        tracks: All that may be chosen.
        count: How many.
        seed: The same one chooses the same tracks of the same library.
        named: Paths that are taken instead, in this order.

    Returns:
        Positions in `tracks`.

    Raises:
        ListeningTestImpossible: A named path is not among the tracks, or there are too few tracks.
    """
    if named:
        positions = {track.path: position for position, track in enumerate(tracks)}
        if missing := [path for path in named if path not in positions]:
            raise ListeningTestImpossible(f"not among the {len(tracks)} tracks: {', '.join(missing)}")
        return [positions[path] for path in dict.fromkeys(named)]
    if count > len(tracks):
        raise ListeningTestImpossible(f"{count} seeds are wanted, the library has {len(tracks)} tracks")
    by_group: dict[str, list[int]] = {}
    for position in sorted(range(len(tracks)), key=lambda at: tracks[at].path):
        by_group.setdefault(tracks[position].group, []).append(position)
    dice = Random(seed)
    groups = [by_group[group] for group in sorted(by_group)]
    dice.shuffle(groups)
    for members in groups:
        dice.shuffle(members)
    # One of each soundtrack in turn, until there are enough.
    rounds = max(len(members) for members in groups)
    return [members[turn] for turn in range(rounds) for members in groups if turn < len(members)][:count]


def make_playlist(tracks: Sequence[Track], vectors: Float32Array, seed: int, rules: PlaylistRules) -> list[int]:
    """List the tracks nearest to a seed, best first.

    Args:
        tracks: All that may be played.
        vectors: Of the tracks, shape (tracks, dim), float32, unit norm.
        seed: Position of the seed, which is left out.
        rules: Length and limit per soundtrack.

    Returns:
        Positions in `tracks`; equals are ordered by path.

    Raises:
        ListeningTestImpossible: The rules leave fewer tracks than a playlist is long.
    """
    likeness = vectors @ vectors[seed]
    taken: Counter[str] = Counter()
    playlist: list[int] = []
    for position in sorted(range(len(tracks)), key=lambda at: (-float(likeness[at]), tracks[at].path)):
        group = tracks[position].group
        if position == seed or taken[group] >= rules.per_soundtrack:
            continue
        taken[group] += 1
        playlist.append(position)
        if len(playlist) == rules.length:
            return playlist
    raise ListeningTestImpossible(
        f"a playlist needs {rules.length} tracks, {len(playlist)} are left of {len(tracks)}"
        f" with at most {rules.per_soundtrack} per soundtrack: allow more with --per-soundtrack"
    )
