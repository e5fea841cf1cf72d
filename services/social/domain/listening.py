"""Says which plays count: heard long enough, once in a while, and not long ago."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from services.social.domain.ids import PlaylistId, TrackId

# A play is 30 s, or half of the track, once for each person and track in 5 minutes.
LEAST_SECONDS = 30.0
REST = timedelta(minutes=5)
# A phone that was offline tells late.
LATEST_REPORT = timedelta(days=14)
# By which a client's clock may be ahead.
CLOCK_MARGIN = timedelta(minutes=1)
# Weights of a person's tracks halve in it.
HALF_LIFE = timedelta(days=30)
MOST_PLAYS = 100
# Of one person on one day in UTC, whether they count or not: one each 17 s.
MOST_PLAYS_OF_DAY = 5_000
MOST_HEARD_SECONDS = 86_400.0


class PlayOutcome(StrEnum):
    """What became of a play."""

    COUNTED = "COUNTED"
    TOO_SHORT = "TOO_SHORT"
    TOO_SOON = "TOO_SOON"
    DUPLICATE = "DUPLICATE"
    UNKNOWN_TRACK = "UNKNOWN_TRACK"
    IN_FUTURE = "IN_FUTURE"
    TOO_OLD = "TOO_OLD"
    TOO_MANY = "TOO_MANY"

    @property
    def is_kept(self) -> bool:
        """Whether the play belongs into the history."""
        return self in (PlayOutcome.COUNTED, PlayOutcome.TOO_SHORT, PlayOutcome.TOO_SOON)


@dataclass(frozen=True, slots=True)
class Play:
    """A play as a client saw it.

    Attributes:
        play_id: By the client; a play has one id however often it is sent.
        track_id: What was heard.
        playlist_id: From which playlist; None for none.
        played_at: When it began, aware.
        heard_seconds: How much of it was heard, 0 to 86,400.
    """

    play_id: str
    track_id: TrackId
    playlist_id: PlaylistId | None
    played_at: datetime
    heard_seconds: float

    @property
    def day(self) -> date:
        """The day of the play in UTC."""
        return self.played_at.astimezone(UTC).date()


@dataclass(frozen=True, slots=True)
class HeardPlay:
    """A play as it is kept.

    Attributes:
        genre: Of the track, when it was heard.
        artist_id: Of the track, when it was heard; None where that was not known.
        is_counted: Whether it counts.
    """

    play_id: str
    track_id: TrackId
    playlist_id: PlaylistId | None
    genre: str
    artist_id: str | None
    played_at: datetime
    heard_seconds: float
    is_counted: bool

    @property
    def day(self) -> date:
        """The day of the play in UTC."""
        return self.played_at.astimezone(UTC).date()


@dataclass(frozen=True, slots=True)
class HeardTrack:
    """What a play needs to know of a track; 0 seconds is not known."""

    genre: str
    artist_id: str | None
    seconds: float


def is_long_enough(heard_seconds: float, track_seconds: float) -> bool:
    """Say whether enough of a track was heard: 30 s, or half of a shorter one."""
    wanted = min(LEAST_SECONDS, track_seconds / 2) if track_seconds > 0 else LEAST_SECONDS
    return heard_seconds >= wanted


def judge(
    plays: Sequence[Play],
    tracks: Mapping[TrackId, HeardTrack],
    known: Iterable[str],
    counted: Iterable[tuple[TrackId, datetime]],
    told: Mapping[date, int],
    now: datetime,
) -> list[PlayOutcome]:
    """Say what becomes of one person's plays.

    Args:
        plays: As they were sent.
        tracks: Those of them that there are.
        known: Ids of plays that were told before.
        counted: Plays of the person's that count already, at least those within 5 minutes of each new one.
        told: How many plays of the person's are kept, at least of each day of a new one.
        now: Time of day.

    Returns:
        One for each, in the order of `plays`. Which of two plays within 5 minutes counts is decided by when they were:
        the earlier, unless the later counts already.
    """
    taken = set(known)
    outcomes: dict[int, PlayOutcome] = {}
    waiting: list[int] = []
    for number, play in enumerate(plays):
        if play.play_id in taken:
            outcomes[number] = PlayOutcome.DUPLICATE
        elif play.track_id not in tracks:
            outcomes[number] = PlayOutcome.UNKNOWN_TRACK
        elif play.played_at > now + CLOCK_MARGIN:
            outcomes[number] = PlayOutcome.IN_FUTURE
        elif play.played_at < now - LATEST_REPORT:
            outcomes[number] = PlayOutcome.TOO_OLD
        else:
            taken.add(play.play_id)
            waiting.append(number)
    times: defaultdict[TrackId, list[datetime]] = defaultdict(list)
    for track_id, at in counted:
        times[track_id].append(at)
    kept = Counter(told)
    for number in sorted(waiting, key=lambda one: (plays[one].played_at, one)):
        play = plays[number]
        kept[play.day] += 1
        if kept[play.day] > MOST_PLAYS_OF_DAY:
            outcomes[number] = PlayOutcome.TOO_MANY
        elif not is_long_enough(play.heard_seconds, tracks[play.track_id].seconds):
            outcomes[number] = PlayOutcome.TOO_SHORT
        elif any(abs(play.played_at - at) < REST for at in times[play.track_id]):
            outcomes[number] = PlayOutcome.TOO_SOON
        else:
            outcomes[number] = PlayOutcome.COUNTED
            times[play.track_id].append(play.played_at)
    return [outcomes[number] for number in range(len(plays))]


def seconds_of(play: Play, track: HeardTrack) -> float:
    """Return how much was heard, no more than there is to hear."""
    return min(play.heard_seconds, track.seconds) if track.seconds > 0 else play.heard_seconds
