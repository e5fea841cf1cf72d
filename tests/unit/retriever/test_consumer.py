"""What a message of the log does to the index; the log itself is in the integration tests."""

from typing import Any

import numpy as np
import pytest

from museed.social.v1 import events_pb2
from services.chassis import vectors
from services.chassis.bus import LogEntry, vector_subject
from services.chassis.errors import InvalidArgument
from services.retriever.consumer import apply_entry
from services.retriever.index import TrackIndex
from services.retriever.tracks import Track

VECTOR = np.array([0.6, 0.8, 0], np.float32)


def message(track_id: str = "a", **changes: Any) -> LogEntry:
    fields: dict[str, Any] = {
        "track_id": track_id,
        "encoder_id": "enc",
        "version": 3,
        "vector": vectors.encode(VECTOR),
        "title": "Song",
        "artist": "Band",
        "album": "Album",
        "folder": "k/p",
        "genre": "Rock",
        "year": 1999,
        "duration_seconds": 200.5,
        "audio_hash": b"h" * 32,
        "tags": ["loud", "fast"],
    } | changes
    payload = events_pb2.TrackVector(**fields).SerializeToString()
    return LogEntry(vector_subject("enc", track_id), 1, payload)


def test_a_message_is_indexed_with_all_that_it_says() -> None:
    index = TrackIndex("enc")
    assert apply_entry(index, message())
    assert index.track("a") == Track(
        "a", 3, "Song", "Band", "Album", "k/p", "Rock", 1999, 200.5, b"h" * 32, ("loud", "fast")
    )
    assert index.vector("a") == pytest.approx(VECTOR)


def test_a_changed_genre_reaches_the_index() -> None:
    index = TrackIndex("enc")
    apply_entry(index, message())
    assert apply_entry(index, message(version=4, genre="Jazz"))
    track = index.track("a")
    assert track is not None
    assert track.genre == "Jazz"


def test_an_empty_body_removes_the_track() -> None:
    index = TrackIndex("enc")
    apply_entry(index, message())
    tombstone = LogEntry(vector_subject("enc", "a"), 2, b"")
    assert apply_entry(index, tombstone) is True
    assert apply_entry(index, tombstone) is False
    assert len(index) == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"encoder_id": "other"},
        {"track_id": "b"},
        {"vector": b""},
        {"vector": vectors.encode(VECTOR)[:-1]},
        {"vector": vectors.encode(np.array([np.nan, 0, 1], np.float32))},
        {"vector": vectors.encode(np.array([0, 0, 0], np.float32))},
        {"vector": vectors.encode(2 * VECTOR)},
        {"vector": vectors.encode(np.array([1, 0], np.float32))},
        {"audio_hash": b"short"},
        {"duration_seconds": float("nan")},
        {"duration_seconds": -1.0},
    ],
)
def test_a_malformed_message_is_refused_and_changes_nothing(changes: dict[str, Any]) -> None:
    index = TrackIndex("enc")
    apply_entry(index, message(version=1))
    before = index.track("a")
    refused = message(version=2, **{key: value for key, value in changes.items() if key != "track_id"})
    if "track_id" in changes:
        refused = LogEntry(vector_subject("enc", "a"), 2, message("b", version=2).payload)
    with pytest.raises(InvalidArgument):
        apply_entry(index, refused)
    assert index.track("a") == before
    assert len(index) == 1
    assert index.vector("a") == pytest.approx(VECTOR)


def test_noise_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        apply_entry(TrackIndex("enc"), LogEntry(vector_subject("enc", "a"), 1, b"\xff\xff\xff"))
