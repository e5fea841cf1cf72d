import numpy as np
import pytest

from services.retriever.playlist.recordings import Recordings
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track

HASH = b"\1" * 32
KNOWN = Track("known", title="Song", artist="Band", duration_s=200.0, audio_hash=HASH)


def at_cosine(cosine: float) -> Float32Array:
    return np.array([cosine, np.sqrt(1 - cosine**2)], dtype=np.float32)


SOUND, OTHER_SOUND = at_cosine(1.0), at_cosine(0.0)


@pytest.mark.parametrize(
    ("track", "is_same"),
    [
        (Track("other", audio_hash=HASH), True),
        (Track("other", title="SONG ", artist="band", duration_s=202.0), True),
        (Track("other", title="song", artist="Band", duration_s=198.0), True),
        (Track("other", title="Song", artist="Band", duration_s=202.001), False),
        (Track("other", title="Song", artist="Cover Band", duration_s=200.0), False),
        (Track("other", title="Song", duration_s=200.0), False),
        (Track("other", artist="Band", duration_s=200.0), False),
        (Track("other", audio_hash=b"\2" * 32), False),
    ],
)
def test_same_recording(track: Track, is_same: bool) -> None:
    recordings = Recordings()
    recordings.add(KNOWN, SOUND)
    assert recordings.find(track, OTHER_SOUND) == ("same_recording" if is_same else None)


@pytest.mark.parametrize(
    ("duration_s", "cosine", "is_near"),
    [
        (200.0, 0.981, True),
        (202.0, 0.981, True),
        (198.0, 0.981, True),
        (202.001, 0.981, False),
        (197.999, 0.981, False),
        (200.0, 0.979, False),
        (0.0, 1.0, False),  # an unknown length proves nothing
    ],
)
def test_near_duplicates_sound_alike_and_are_as_long(duration_s: float, cosine: float, is_near: bool) -> None:
    track = Track("other", title="Something else", duration_s=duration_s)
    recordings, lenient = Recordings(), Recordings(allow_near_duplicates=True)
    recordings.add(KNOWN, SOUND)
    lenient.add(KNOWN, SOUND)
    assert recordings.find(track, at_cosine(cosine)) == ("near_duplicate" if is_near else None)
    assert lenient.find(track, at_cosine(cosine)) is None


def test_tracks_without_any_description_are_different_recordings() -> None:
    recordings = Recordings()
    recordings.add(Track("a"), SOUND)
    recordings.add_hash(b"")
    assert recordings.find(Track("b"), SOUND) is None
