"""What is known of people's taste, as the retriever takes it."""

from collections.abc import Mapping

from museed.social.v1 import events_pb2
from services.chassis.bus import profile_subject
from services.social.domain.ids import TrackId, UserId, new_id
from services.social.events.event import Event

# With 36 characters to an id, so many stay below 64 KiB.
MOST_PROFILE_TRACKS = 1000


def profile_weights(profile_id: UserId, version: int, weights: Mapping[TrackId, float], *, is_listed: bool) -> Event:
    """Tell what a person listens to; the state of the profile, not a change of it.

    Args:
        profile_id: The person.
        version: Rises with every change.
        weights: 0 or more, decayed; of more than 1,000 tracks the heaviest are told, ties by id.
        is_listed: Whether the profile may be recommended to others.
    """
    heaviest = sorted(weights.items(), key=lambda item: (-item[1], item[0]))[:MOST_PROFILE_TRACKS]
    message = events_pb2.ProfileWeights(
        profile_id=profile_id,
        version=version,
        tracks=[events_pb2.TrackWeight(track_id=track_id, weight=weight) for track_id, weight in heaviest],
        is_listed=is_listed,
    )
    return Event(new_id(), profile_id, profile_subject(profile_id), message.SerializeToString())


def profile_deleted(profile_id: UserId) -> Event:
    """Tell that nothing is known of a person's taste any more."""
    return Event(new_id(), profile_id, profile_subject(profile_id), b"")
