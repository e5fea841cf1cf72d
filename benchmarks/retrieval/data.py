"""Libraries to search: clustered unit vectors of any size, and the windows of real music. Measures nothing."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.retriever.tracks import Track

Float32Array = NDArray[np.float32]
Int64Array = NDArray[np.int64]

# Tracks by genre of the library that MUSEED was designed for, from table 1 (the Free Music Archive: 88,224) and
# table 3 (MTG-Jamendo: 199) of the first prototype's final report: 88,423 together.
GENRES = {
    "Electronic": 21_780 + 27,
    "Experimental": 19_671 + 2,
    "Rock": 17_011 + 27,
    "Pop": 6_812 + 111,
    "Folk": 4_829 + 4,
    "Instrumental": 4_182 + 4,
    "Hip-Hop": 3_884 + 1,
    "International": 2_410,
    "Jazz": 1_866 + 2,
    "Classical": 1_833,
    "Blues": 1_538,
    "Soul-RnB": 799 + 11,
    "Spoken": 550,
    "Country": 544 + 1,
    "Old-Time / Historic": 344,
    "Easy Listening": 171,
    "": 9,
}
TRACKS = sum(GENRES.values())
DIMENSION = 1024
_TRACKS_OF_A_STYLE = 120
_TRACKS_OF_AN_ARTIST = 8
_STYLE, _TRACK = 0.8, 0.9
_AT_ONCE = 20_000


class Library(NamedTuple):
    """Tracks, and their vectors of shape (tracks, dim), float32, unit norm."""

    name: str
    tracks: list[Track]
    vectors: Float32Array

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self.vectors.shape[1])

    def blocks(self) -> Iterator[Float32Array]:
        """Yield the vectors in parts."""
        for start in range(0, len(self.vectors), _AT_ONCE):
            yield self.vectors[start : start + _AT_ONCE]


def clustered(count: int, seed: int = 0, dimension: int = DIMENSION) -> Library:
    """Make a library with the genres' shares of `GENRES`; the same at every call.

    A genre is a direction, a style of about 120 tracks lies around it, and a track around its style. Variance falls
    from dimension to dimension, as it does for encoders' vectors: of the same variance in all, neighbours would be no
    nearer than everybody else.
    """
    labels = _labels(count)
    styles = _styles(labels, seed)
    vectors = np.empty((count, dimension), np.float32)
    for start, part in _parts(labels, styles, seed, dimension):
        vectors[start : start + len(part)] = part
    return Library(f"clustered {count:,} × {dimension}", _tracks(labels, styles, seed), vectors)


def clustered_parts(count: int, seed: int = 0, dimension: int = DIMENSION) -> Iterator[Float32Array]:
    """Yield the vectors of `clustered` in parts, for libraries that do not fit in memory."""
    labels = _labels(count)
    for _, part in _parts(labels, _styles(labels, seed), seed, dimension):
        yield part


def queries(library: Library, count: int, seed: int = 1) -> Float32Array:
    """Return sounds near to tracks of the library, shape (count, dim): what uploads are."""
    generator = np.random.default_rng(seed)
    rows = generator.choice(len(library.tracks), count, replace=count > len(library.tracks))
    dimension = library.vectors.shape[1]
    noise = generator.standard_normal((count, dimension), dtype=np.float32) * _spectrum(dimension)
    return _unit(library.vectors[rows] + 0.3 * noise)


def truth(vectors: Float32Array, asked: Float32Array, k: int) -> Int64Array:
    """Return the rows of the k nearest of every query by brute force, shape (queries, k), in no order."""
    rows = []
    for query in asked:
        rows.append(np.argpartition(-(vectors @ query), k - 1)[:k])
    return np.stack(rows)


def recall(found: list[list[int]], expected: Int64Array) -> float:
    """Return the share of the true nearest that was found."""
    hits = sum(len(set(rows) & set(right.tolist())) for rows, right in zip(found, expected, strict=True))
    return hits / expected.size


def real(music: Path, kept: Path) -> Library:
    """Hear the music of a folder with museed-mini; every window of it is a track, so that they are thousands.

    Args:
        music: Where the soundtracks of the catalogue are.
        kept: Folder of vectors that evaluation keeps; what is there is not heard again.
    """
    # Training needs torch, which the rest of the benchmark does not.
    from services.embedder.choice import load_encoder
    from training.catalogue import read_catalogue
    from training.evaluation.embedding import embed_file
    from training.evaluation.store import VectorStore, file_key

    encoder = load_encoder("auto", artifacts_folder=kept, muq_folder=None, threads=2, precision="fp32")
    store = VectorStore(kept)
    tracks, vectors = [], []
    for known in read_catalogue():
        path = music / known.path
        if not path.is_file():
            continue
        key = file_key(path)
        found = store.read(encoder.manifest.encoder_id, key)
        if found is None:
            found = embed_file(encoder, path)
            store.write(encoder.manifest.encoder_id, key, found)
        for number, window in enumerate(found.windows):
            track_id = f"{key[:16]}-{number:03d}"
            tracks.append(Track(track_id, 1, f"{path.stem} {number}", path.parent.name, folder=str(path.parent)))
            vectors.append(window)
    return Library(f"windows of real music, {len(tracks):,} × {vectors[0].shape[0]}", tracks, _unit(np.stack(vectors)))


def _labels(count: int) -> NDArray[np.intp]:
    """Return a genre's number for each track, in the shares of `GENRES`, mixed."""
    sizes = np.array(list(GENRES.values()))
    edges = np.round(np.cumsum(sizes) * count / sizes.sum()).astype(int)
    return np.random.default_rng(2).permutation(np.searchsorted(edges, np.arange(count), side="right"))


def _styles(labels: NDArray[np.intp], seed: int) -> Int64Array:
    """Return a style's number for each track; no style belongs to two genres."""
    generator = np.random.default_rng(seed + 3)
    per_genre = np.maximum(1, np.bincount(labels, minlength=len(GENRES)) // _TRACKS_OF_A_STYLE)
    first = np.concatenate([[0], np.cumsum(per_genre)[:-1]])
    styles: Int64Array = first[labels] + (generator.random(len(labels)) * per_genre[labels]).astype(np.int64)
    return styles


def _parts(
    labels: NDArray[np.intp], styles: Int64Array, seed: int, dimension: int
) -> Iterator[tuple[int, Float32Array]]:
    generator = np.random.default_rng(seed)
    spectrum = _spectrum(dimension)
    genres = generator.standard_normal((len(GENRES), dimension), dtype=np.float32) * spectrum
    centres = generator.standard_normal((int(styles.max()) + 1, dimension), dtype=np.float32) * spectrum
    for start in range(0, len(labels), _AT_ONCE):
        rows = slice(start, start + _AT_ONCE)
        part = generator.standard_normal((len(labels[rows]), dimension), dtype=np.float32) * (_TRACK * spectrum)
        part += genres[labels[rows]] + _STYLE * centres[styles[rows]]
        yield start, _unit(part)


def _spectrum(dimension: int) -> Float32Array:
    spectrum = np.arange(1, dimension + 1, dtype=np.float32) ** -0.5
    scaled: Float32Array = spectrum / np.linalg.norm(spectrum)
    return scaled


def _unit(vectors: Float32Array) -> Float32Array:
    unit: Float32Array = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def _tracks(labels: NDArray[np.intp], styles: Int64Array, seed: int) -> list[Track]:
    generator = np.random.default_rng(seed + 4)
    names = list(GENRES)
    artists = generator.integers(0, max(1, _TRACKS_OF_A_STYLE // _TRACKS_OF_AN_ARTIST), len(labels))
    lengths = generator.normal(220, 60, len(labels)).clip(20, 900).round(1)
    energies = generator.random(len(labels)).round(3)
    return [
        Track(
            f"track-{number:07d}",
            1,
            f"title {number}",
            f"artist {styles[number]}-{artists[number]}",
            f"album {styles[number]}-{artists[number]}-{number % 2}",
            genre=names[labels[number]],
            year=1970 + number % 55,
            duration_s=float(lengths[number]),
            tags=(f"style {styles[number]}", f"mood {number % 9}"),
            energy=float(energies[number]),
            tempo_bpm=float(60 + number % 120),
        )
        for number in range(len(labels))
    ]
