"""Genres and keys have the same names wherever they are checked, measured or told."""

from services.embedder.descriptors.key import PITCH_CLASSES
from services.gateway.schema import rules as told
from services.social.domain import genres, rules


def test_everybody_has_the_same_genres_and_keys() -> None:
    assert told.GENRES == genres.GENRES
    assert told.KEYS == rules.KEYS == tuple(f"{tonic} {mode}" for mode in ("major", "minor") for tonic in PITCH_CLASSES)
