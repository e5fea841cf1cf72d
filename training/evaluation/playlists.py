"""Judges playlists on real music: what each rule of the retriever costs and gives. Embeds nothing.

Every labelled piece is the seed of one list. The rules are the retriever's own, so that what is judged is what is
served; its index is not: a brute-force comparison stands in for it.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from services.embedder.model import unit
from services.retriever.library import Nearest, Wanted
from services.retriever.playlist.arrangement import by_similarity, cosine_distances
from services.retriever.playlist.playlist import Playlist, build_playlist
from services.retriever.playlist.recipe import Arrangement, Recipe, Seed
from services.retriever.playlist.recordings import Recordings
from services.retriever.playlist.two_opt import length
from services.retriever.similarity import Float32Array, cosines
from services.retriever.tracks import Track
from training import catalogue
from training.evaluation.report import Cell, Table

STEM = "playlists"
TITLE = "What playlists are made of"

LENGTH = 25
_NEIGHBOURS = 10
_SHUFFLES = 50
_WITH_SEEDS = 3

_DEFAULT = Recipe(length=LENGTH)
RECIPES = {
    "the usual rules": _DEFAULT,
    "no cap of artists": replace(_DEFAULT, max_per_artist=LENGTH),
    "no artist window": replace(_DEFAULT, artist_window=1),
    "artist window 5": replace(_DEFAULT, artist_window=5),
    "near-duplicates allowed": replace(_DEFAULT, allow_near_duplicates=True),
    "by similarity": replace(_DEFAULT, arrangement=Arrangement.SIMILARITY),
    "diversity 0.3": replace(_DEFAULT, diversity=0.3),
    "temperature 0.3": replace(_DEFAULT, temperature=0.3),
    "hubs damped by 0.5": replace(_DEFAULT, hub_damping=0.5),
    "no rules": Recipe(
        length=LENGTH,
        max_per_artist=LENGTH,
        artist_window=1,
        allow_near_duplicates=True,
        arrangement=Arrangement.SIMILARITY,
    ),
}
# Recipes for a seed with two further ones of its family from other soundtracks, or a negative one of another family.
_SEVERAL = {
    "three seeds": _DEFAULT,
    "three seeds, agreement weighed": replace(_DEFAULT, weigh_agreement=True),
}
_NEGATIVE = {
    "negative seed, no penalty": replace(_DEFAULT, negative_penalty=0.0),
    "negative seed, penalty 0.5": _DEFAULT,
    "negative seed, penalty 1": replace(_DEFAULT, negative_penalty=1.0),
}


class ArrayLibrary:
    """A library in two arrays, compared by brute force.

    Args:
        tracks: In any order.
        vectors: Unit vectors, shape (len(tracks), dim), float32.
    """

    def __init__(self, tracks: Sequence[Track], vectors: Float32Array) -> None:
        self.tracks = tracks
        self.vectors = vectors
        self._rows = {track.track_id: row for row, track in enumerate(tracks)}
        own = cosines(vectors, vectors.T)
        np.fill_diagonal(own, -np.inf)
        count = min(_NEIGHBOURS, len(tracks) - 1)
        self._means: Float32Array = np.sort(own, axis=1)[:, -count:].mean(axis=1)

    def __len__(self) -> int:
        return len(self.tracks)

    def track(self, track_id: str) -> Track | None:
        """Return a track; see `Library`."""
        row = self._rows.get(track_id)
        return None if row is None else self.tracks[row]

    def vector(self, track_id: str) -> Float32Array:
        """Return a track's vector; see `Library`."""
        vector: Float32Array = self.vectors[self._rows[track_id]]
        return vector

    def nearest(self, query: Float32Array, count: int, wanted: Wanted | None = None) -> Nearest:
        """Find tracks near to a query; see `Library`."""
        near = cosines(self.vectors, query)
        rows = [row for row, track in enumerate(self.tracks) if wanted is None or wanted(track)]
        rows = sorted(rows, key=lambda row: (-near[row], self.tracks[row].track_id))[:count]
        return Nearest([self.tracks[row] for row in rows], self.vectors[rows], near[rows])

    def sample(self, count: int) -> Float32Array:
        """Return vectors of some tracks; see `Library`."""
        return self.vectors[:count]

    def neighbour_means(self, track_ids: Sequence[str]) -> Float32Array:
        """Return how near tracks are to their neighbours; see `Library`."""
        means: Float32Array = self._means[[self._rows[track_id] for track_id in track_ids]]
        return means


def library_of(pieces: Sequence[catalogue.Track], vectors: Float32Array) -> ArrayLibrary:
    """Return pieces as the retriever knows them; the folder of a piece is its soundtrack.

    Args:
        pieces: All that may be chosen.
        vectors: Of any norm, shape (len(pieces), dim).
    """
    tracks = [
        Track(
            track_id=piece.path,
            title=piece.title,
            artist=piece.artist,
            album=piece.album,
            folder=piece.package,
            duration_s=piece.duration_seconds,
        )
        for piece in pieces
    ]
    return ArrayLibrary(tracks, unit(vectors).astype(np.float32))


def playlist_table(name: str, pieces: Sequence[catalogue.Track], vectors: Float32Array) -> Table:
    """Judge the playlists of one encoder.

    Args:
        name: Of the encoder.
        pieces: All that may be chosen; labelled ones are seeds.
        vectors: Of any norm, shape (len(pieces), dim).
    """
    library = library_of(pieces, vectors)
    families = {piece.path: piece.family for piece in pieces if piece.is_labelled}
    labelled = [piece for piece in pieces if piece.is_labelled]
    seeds = {piece.path: Seed(library.vector(piece.path), track=library.track(piece.path)) for piece in labelled}
    rows = {
        row: _judged(library, [[seeds[piece.path]] for piece in labelled], recipe, families)
        for row, recipe in RECIPES.items()
    }
    several = [[seeds[each.path] for each in [piece, *_friends(piece, labelled)]] for piece in labelled]
    rows |= {row: _judged(library, several, recipe, families) for row, recipe in _SEVERAL.items()}
    opposed = [[seeds[piece.path], *_foe(piece, labelled, seeds)] for piece in labelled]
    rows |= {row: _judged(library, opposed, recipe, families) for row, recipe in _NEGATIVE.items()}
    chance = np.mean([np.mean([families[other] == family for other in families]) for family in families.values()])
    return Table(
        title=f"{name}: playlists of {LENGTH} tracks",
        note=(
            f"{len(labelled)} seeds, {len(pieces)} pieces to choose from. Family is the share of a list's labelled"
            f" tracks that are of the seed's family, {chance:.3f} by chance; unwanted is that of the negative seed. A"
            " step is the mean cosine distance from track to track: as played, in order of similarity, and in random"
            " order. Drift is the rank correlation of a track's place and its similarity. Near-duplicates and places"
            " where an artist follows itself are numbers a list."
        ),
        rows=rows,
    )


def _friends(piece: catalogue.Track, labelled: Sequence[catalogue.Track]) -> list[catalogue.Track]:
    """Return two pieces of a piece's family, each of another soundtrack, that follow it in the catalogue."""
    start = labelled.index(piece)
    found = {piece.package: piece}
    for other in [*labelled[start + 1 :], *labelled[:start]]:
        if other.family == piece.family and len(found) < _WITH_SEEDS:
            found.setdefault(other.package, other)
    return list(found.values())[1:]


def _foe(piece: catalogue.Track, labelled: Sequence[catalogue.Track], seeds: dict[str, Seed]) -> list[Seed]:
    """Return the labelled piece of another family that sounds nearest to a piece, as a negative seed."""
    own = seeds[piece.path].vector
    others = [seeds[other.path] for other in labelled if other.family != piece.family]
    return [replace(max(others, key=lambda seed: float(seed.vector @ own)), weight=-1.0)] if others else []


def _judged(
    library: ArrayLibrary, requests: Sequence[Sequence[Seed]], recipe: Recipe, families: dict[str, str]
) -> dict[str, Cell]:
    """Return the mean figures of the lists of some requests, whose first seed asks."""
    figures: list[dict[str, float]] = []
    for seeds in requests:
        playlist = build_playlist(library, seeds, recipe)
        figures.append(_figures(library, seeds, playlist, families))
    columns = dict.fromkeys(column for each in figures for column in each)
    return {column: Cell(float(np.mean([each[column] for each in figures if column in each]))) for column in columns}


def _figures(
    library: ArrayLibrary, seeds: Sequence[Seed], playlist: Playlist, families: dict[str, str]
) -> dict[str, float]:
    tracks = [each.track for each in playlist.tracks]
    artists = [track.artist_key for track in tracks]
    vectors = np.stack([library.vector(track.track_id) for track in tracks])
    distances = cosine_distances(vectors)
    places = list(range(len(tracks)))
    best_first = sorted(places, key=lambda place: -playlist.tracks[place].similarity)
    similar = [best_first[position] for position in by_similarity([artists[place] for place in best_first])]
    rng = np.random.default_rng(0)
    of_family = [families[track.track_id] for track in tracks if track.track_id in families]
    asking = [families[seed.track.track_id] for seed in seeds if seed.track is not None]
    figures = {
        "tracks": float(len(tracks)),
        "artists": float(len(set(artists))),
        "most of one artist": float(max(Counter(artists).values())),
        "window breaks": float(sum(one == other for one, other in pairwise(artists))),
        "near-duplicates": float(_near_duplicates(tracks, vectors)),
        "similarity": float(np.mean([each.similarity for each in playlist.tracks])),
    }
    if of_family:
        figures["family"] = float(np.mean([family == asking[0] for family in of_family]))
        if seeds[-1].weight < 0:
            figures["unwanted family"] = float(np.mean([family == asking[-1] for family in of_family]))
    if len(tracks) > 1:
        steps = len(tracks) - 1
        figures["step"] = length(places, distances) / steps
        figures["drift"] = _rank_correlation([each.similarity for each in playlist.tracks])
        figures["step by similarity"] = length(similar, distances) / steps
        figures["step by chance"] = float(
            np.mean([length(_shuffled(rng, len(tracks)), distances) for _ in range(_SHUFFLES)]) / steps
        )
    return figures


def _rank_correlation(similarities: Sequence[float]) -> float:
    """Return Spearman's correlation of place and similarity; 0 where all are equally similar."""
    ranks = np.unique(np.array(similarities).round(6), return_inverse=True)[1]
    return float(np.corrcoef(np.arange(len(ranks)), ranks)[0, 1]) if len(set(ranks.tolist())) > 1 else 0.0


def _shuffled(rng: np.random.Generator, count: int) -> list[int]:
    return [int(place) for place in rng.permutation(count)]


def _near_duplicates(tracks: Sequence[Track], vectors: Float32Array) -> int:
    """Count the tracks that are the same recording as an earlier one, or a near-duplicate of it."""
    recordings = Recordings()
    count = 0
    for track, vector in zip(tracks, vectors, strict=True):
        count += recordings.find(track, vector) is not None
        recordings.add(track, vector)
    return count
