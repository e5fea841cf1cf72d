"""Where tracks' audio lies, as social says it, remembered for a moment: a player asks for many ranges of one track."""

import time
from collections.abc import Callable

from museed.social.v1 import catalog_pb2
from services.gateway.clients import Upstream

# As long as a log-out may take. What it says is the same for everybody who may ask at all.
_LIFE_S = 5.0
_MAX_KEPT = 1024


class TrackMedia:
    """Asks social, at most once in 5 s about a track.

    Args:
        upstream: Where social is.
        timeout_s: Of one call.
        clock: Monotonic seconds.
    """

    def __init__(self, upstream: Upstream, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._upstream = upstream
        self._timeout_s = timeout_s
        self._clock = clock
        self._kept: dict[str, tuple[float, catalog_pb2.GetTrackMediaResponse]] = {}

    async def find(self, track_id: str) -> catalog_pb2.GetTrackMediaResponse:
        """Return where a track's audio lies. Whether the caller may know is checked before.

        Raises:
            NotFound: TRACK_NOT_FOUND.
            DomainError: Social is away; that is not remembered.
        """
        until, kept = self._kept.get(track_id, (0.0, None))
        if kept is not None and self._clock() < until:
            return kept
        request = catalog_pb2.GetTrackMediaRequest(track_id=track_id)
        found = await self._upstream.catalog.GetTrackMedia(request, timeout=self._timeout_s)
        self._kept.pop(track_id, None)
        if len(self._kept) >= _MAX_KEPT:
            del self._kept[next(iter(self._kept))]
        self._kept[track_id] = (self._clock() + _LIFE_S, found)
        return found
