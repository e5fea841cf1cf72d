"""The gRPC side of profiles: checks a request, asks taste and index, tells what was found."""

from concurrent.futures import ThreadPoolExecutor
from weakref import WeakKeyDictionary

from museed.retriever.v1 import profiles_pb2, profiles_pb2_grpc, retriever_pb2
from services.chassis.auth import Access
from services.retriever.errors import NoTaste, ProfilesLoading, UnknownProfile
from services.retriever.index.index import TrackIndex
from services.retriever.live.collection import Collection, Collections
from services.retriever.live.profile_search import ProfileSearch
from services.retriever.profiles.profiles import Profiles
from services.retriever.profiles.recommendation import Recommendation, recommend
from services.retriever.profiles.taste import taste_of
from services.retriever.servicer import requests
from services.retriever.servicer.filter_requests import track_filter
from services.retriever.servicer.limits import ids, within
from services.retriever.servicer.waiting import time_to_wait_s

_SERVICE = "/museed.retriever.v1.ProfileService"

# Social calls them for a person, whose blocks and settings it knows.
ACCESS = {
    f"{_SERVICE}/FindProfiles": Access.WORKER,
    f"{_SERVICE}/RecommendTracks": Access.WORKER,
}

DEFAULT_LIMIT, MAX_PROFILES, MAX_TRACKS = 20, 100, 200
DEFAULT_PER_ARTIST = 3
MAX_BLOCKED = 10_000


class ProfileServicer(profiles_pb2_grpc.ProfileServiceServicer):
    """Answers from the profiles and the index of the encoder that is asked for. Who may call what stands in ACCESS.

    Args:
        collections: The indexes.
        profiles: The weights.
    """

    def __init__(self, collections: Collections, profiles: Profiles) -> None:
        self._collections = collections
        self._profiles = profiles
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="retriever-taste")
        # Tastes go with their index, when its encoder is not kept any more.
        self._searches: WeakKeyDictionary[Collection, ProfileSearch] = WeakKeyDictionary()

    async def FindProfiles(
        self, request: profiles_pb2.FindProfilesRequest, context: object
    ) -> profiles_pb2.FindProfilesResponse:
        """Find the profiles with the nearest tastes."""
        profile_id = requests.own_profile(request.profile_id)
        collection = self._collections.of(request.encoder_id)
        limit = within("limit", request.limit or DEFAULT_LIMIT, 1, MAX_PROFILES)
        blocked = frozenset(ids("blocked_profile_ids", request.blocked_profile_ids, MAX_BLOCKED))
        lowest = None
        if request.HasField("min_similarity"):
            lowest = within("min_similarity", request.min_similarity, -1, 1)
        search = self._search(collection)
        found = await search.nearest(profile_id, limit, blocked, lowest)
        return profiles_pb2.FindProfilesResponse(
            profiles=[
                profiles_pb2.SimilarProfile(profile_id=profile_id, similarity=similarity)
                for profile_id, similarity in found
            ],
            encoder_id=collection.encoder_id,
        )

    async def RecommendTracks(
        self, request: profiles_pb2.RecommendTracksRequest, context: object
    ) -> profiles_pb2.RecommendTracksResponse:
        """Find the tracks nearest to a taste."""
        profile_id = requests.own_profile(request.profile_id)
        live = self._collections.of(request.encoder_id).live
        limit = within("limit", request.limit or DEFAULT_LIMIT, 1, MAX_TRACKS)
        per_artist = within("max_per_artist", request.max_per_artist or DEFAULT_PER_ARTIST, 1, MAX_TRACKS)
        wanted = track_filter(request.filter, "filter")
        if not self._profiles.is_caught_up:
            raise ProfilesLoading

        def choose(index: TrackIndex) -> Recommendation:
            profile = self._profiles.get(profile_id)
            if profile is None:
                raise UnknownProfile(profile_id)
            taste = taste_of(profile, index)
            if taste is None:
                raise NoTaste(profile_id, len(profile.track_ids))
            known = frozenset() if request.include_known else frozenset(profile.track_ids)
            return recommend(index, taste, limit, per_artist, known, wanted)

        found = await live.compose(choose, requests.read_point(request), time_to_wait_s())
        return profiles_pb2.RecommendTracksResponse(
            hits=[
                retriever_pb2.Hit(track_id=track.track_id, similarity=similarity) for track, similarity in found.tracks
            ],
            encoder_id=live.encoder_id,
            removed=[retriever_pb2.RuleCount(rule=rule, count=count) for rule, count in found.removed.items()],
        )

    def close(self) -> None:
        """End the thread after what it has to do."""
        self._thread.shutdown()

    def _search(self, collection: Collection) -> ProfileSearch:
        if collection not in self._searches:
            self._searches[collection] = ProfileSearch(
                self._profiles, collection.live, collection.consumer.touched, self._thread
            )
        return self._searches[collection]
