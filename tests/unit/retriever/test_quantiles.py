import numpy as np
import pytest

from services.retriever.index.index import TrackIndex
from services.retriever.playlist.quantiles import PairQuantiles, QuantileCache
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track


def random_vectors(seed: int, count: int) -> Float32Array:
    vectors = np.random.default_rng(seed).standard_normal((count, 16))
    unit: Float32Array = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


def filled(vectors: Float32Array, order: list[int] | None = None) -> TrackIndex:
    index = TrackIndex("enc")
    for number in order or range(len(vectors)):
        index.upsert(Track(f"t{number}"), vectors[number])
    return index


def test_a_quantile_is_the_share_of_pairs_that_are_less_similar() -> None:
    # Cosines of the pairs: 0, 0.6, 0.8.
    quantiles = PairQuantiles(np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32))
    assert [quantiles.of(cosine) for cosine in (-1, 0, 0.1, 0.6, 0.7, 0.8, 1)] == pytest.approx(
        [0, 0, 1 / 3, 1 / 3, 2 / 3, 2 / 3, 1]
    )


def test_a_sample_has_the_size_that_is_asked_for_where_there_are_so_many() -> None:
    index = filled(random_vectors(0, 20))
    assert index.sample(5).shape == (5, 16)
    assert index.sample(50).shape == (20, 16)


def test_too_few_tracks_tell_nothing() -> None:
    assert QuantileCache().of(filled(random_vectors(0, 99))) is None
    assert QuantileCache().of(filled(random_vectors(0, 100))) is not None


def test_the_same_library_has_the_same_quantiles_however_it_came_to_be() -> None:
    vectors = random_vectors(1, 700)
    one, other = filled(vectors), filled(vectors, list(np.random.default_rng(2).permutation(700)))
    other.upsert(Track("gone"), vectors[0])
    other.remove("gone")
    caches = [QuantileCache().of(index) for index in (one, other)]
    assert len({cache.of(0.3) for cache in caches if cache is not None}) == 1


def test_a_sample_tells_nearly_what_all_pairs_would() -> None:
    vectors = random_vectors(3, 2000)
    quantiles = QuantileCache().of(filled(vectors))
    assert quantiles is not None
    pairs = (vectors @ vectors.T)[np.triu_indices(2000, 1)]
    for cosine in (-0.3, 0.0, 0.3, 0.6):
        assert quantiles.of(cosine) == pytest.approx(float((pairs < cosine).mean()), abs=0.01)


def test_quantiles_are_kept_until_the_sample_changes() -> None:
    index, cache = filled(random_vectors(4, 300)), QuantileCache()
    before = cache.of(index)
    assert cache.of(index) is before
    index.upsert(Track("t7", version=1), random_vectors(5, 1)[0])
    after = cache.of(index)
    assert after is not None
    assert after is not before
