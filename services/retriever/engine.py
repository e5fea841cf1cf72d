"""What the log and tastes ask of an engine that keeps vectors, beside what playlists ask; holds nothing itself."""

from typing import Protocol

from services.retriever.library import SearchLibrary
from services.retriever.similarity import Float32Array
from services.retriever.tracks import Track


class Engine(SearchLibrary, Protocol):
    """A library that changes: the index of this process, or an adapter to an engine elsewhere. Used by one thread.

    Every adapter passes tests/contract/test_engines.py. Attributes:

    - encoder_id: the only encoder whose vectors belong here.
    - kind: its name for people and metrics, for example "flat".
    """

    encoder_id: str

    @property
    def kind(self) -> str:
        """Its name for people and metrics."""
        ...

    @property
    def dimension(self) -> int:
        """Length of a vector, fixed by the first one; 0 while the engine is empty."""
        ...

    def upsert(self, track: Track, vector: Float32Array) -> bool:
        """Add a track or replace what is known of it; safe to repeat.

        Args:
            track: Of any version.
            vector: Shape (dim,), float32, nearly unit: it is normalised.

        Returns:
            False if a higher version is there already, and nothing was changed.

        Raises:
            InvalidArgument: DIMENSION_MISMATCH: The other tracks have vectors of another length.
        """
        ...

    def remove(self, track_id: str) -> bool:
        """Forget a track; safe to repeat. Return whether it was there."""
        ...

    def clear(self) -> None:
        """Forget everything, the dimension included."""
        ...
