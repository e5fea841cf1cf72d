"""gRPC in: what goes on with the people one follows, and in the mesh."""

from collections.abc import Mapping, Sequence

import grpc

from museed.social.v1 import feed_pb2, feed_pb2_grpc, playlists_pb2
from services.chassis.auth import require_viewer
from services.social.domain import fields, paging
from services.social.domain.folding import LONGEST_QUERY
from services.social.domain.ids import PlaylistId, UserId, is_id
from services.social.domain.people import MOST_FOLLOWED
from services.social.domain.visibility import may_open, thing_of
from services.social.errors.people import PageExpired
from services.social.servicer import keys
from services.social.servicer.people import check_visible
from services.social.servicer.playlist_messages import to_playlist
from services.social.store import engagement, feed, first_pages, follows, listings, playlist_search, playlists, trending
from services.social.store.database import LAST_ID, Connection, Database
from services.social.store.listings import Listed
from services.social.store.profiles import find_visible
from services.social.wire import timestamp

_LARGEST_NUMBER = 2**31
_MOST_PEOPLE, _MOST_LISTED = 100, 1_000


class FeedServicer(feed_pb2_grpc.FeedServiceServicer):
    """Serves FeedService."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ListFeed(
        self,
        request: feed_pb2.ListFeedRequest,
        context: grpc.aio.ServicerContext[feed_pb2.ListFeedRequest, feed_pb2.ListFeedResponse],
    ) -> feed_pb2.ListFeedResponse:
        """List what the people whom the caller follows did."""
        user_id = UserId(require_viewer().user_id)
        size, scope = keys.page_size(request.page_size), f"ListFeed {user_id}"
        before = keys.id_key(scope, request.page_token)
        async with self._database.connection() as connection:
            page = await feed.read_feed(connection, user_id, before, size)
        return feed_pb2.ListFeedResponse(
            activities=[_activity(one) for one in page.items],
            next_page_token="" if page.last_id is None else paging.encode_token(scope, (page.last_id,)),
        )

    async def ListFollowedIds(
        self,
        request: feed_pb2.ListFollowedIdsRequest,
        context: grpc.aio.ServicerContext[feed_pb2.ListFollowedIdsRequest, feed_pb2.ListFollowedIdsResponse],
    ) -> feed_pb2.ListFollowedIdsResponse:
        """List all whom the caller follows."""
        async with self._database.connection() as connection:
            found = await follows.followed_ids(connection, UserId(require_viewer().user_id), MOST_FOLLOWED)
        return feed_pb2.ListFollowedIdsResponse(user_ids=found)

    async def ListTrending(
        self,
        request: feed_pb2.ListTrendingRequest,
        context: grpc.aio.ServicerContext[feed_pb2.ListTrendingRequest, feed_pb2.ListTrendingResponse],
    ) -> feed_pb2.ListTrendingResponse:
        """List what is popular; a token holds the ranking and the place that a page ended with."""
        viewer_id, scope = keys.viewer_id(), "ListTrending"
        size = keys.page_size(request.page_size)
        key = paging.decode_token(scope, request.page_token, [_is_count, _is_count])
        async with self._database.reading() as connection:
            if key is None:
                made = await trending.newest_generation(connection)
                if made is None:
                    return feed_pb2.ListTrendingResponse()
            else:
                made = await trending.find_generation(connection, int(key[0]))
                if made is None:
                    raise PageExpired(request.page_token)
            after = 0 if key is None else int(key[1])
            found = await trending.ranks_of(connection, viewer_id, made.generation, after, size + 1)
            page = paging.cut(found, size, scope, lambda one: (made.generation, one.rank))
            shown = await _playlists(connection, viewer_id, [one.playlist_id for one in page.items])
        return feed_pb2.ListTrendingResponse(
            playlists=[
                feed_pb2.TrendingPlaylist(rank=one.rank, playlist=shown[one.playlist_id])
                for one in page.items
                if one.playlist_id in shown
            ],
            next_page_token=page.next_token,
            made_at=timestamp(made.made_at),
        )

    async def ListLatest(
        self,
        request: feed_pb2.ListLatestRequest,
        context: grpc.aio.ServicerContext[feed_pb2.ListLatestRequest, feed_pb2.ListLatestResponse],
    ) -> feed_pb2.ListLatestResponse:
        """List public playlists, those made public last first."""
        viewer_id, size, scope = keys.viewer_id(), keys.page_size(request.page_size), "ListLatest"
        before = keys.time_key(scope, request.page_token, LAST_ID)
        async with self._database.reading() as connection:
            found = await listings.latest(connection, viewer_id, before, size + 1)
            page = paging.cut(found, size, scope, lambda one: (one.at.isoformat(), one.playlist_id))
            shown = await _playlists(connection, viewer_id, [one.playlist_id for one in page.items])
        return feed_pb2.ListLatestResponse(playlists=list(shown.values()), next_page_token=page.next_token)

    async def SearchPlaylists(
        self,
        request: feed_pb2.SearchPlaylistsRequest,
        context: grpc.aio.ServicerContext[feed_pb2.SearchPlaylistsRequest, feed_pb2.SearchPlaylistsResponse],
    ) -> feed_pb2.SearchPlaylistsResponse:
        """Find public playlists by their titles and owners."""
        query = fields.line(request.query, "query", longest=LONGEST_QUERY, is_required=True)
        viewer_id, size, scope = keys.viewer_id(), keys.page_size(request.page_size), f"SearchPlaylists {query}"
        after = playlist_search.decode(scope, request.page_token)
        async with self._database.reading() as connection:
            async with connection.transaction(readonly=True):
                found = await playlist_search.search(connection, viewer_id, query, after, size + 1)
            page = paging.cut(found, size, scope, playlist_search.key_of)
            shown = await _playlists(connection, viewer_id, [one.playlist_id for one in page.items])
        return feed_pb2.SearchPlaylistsResponse(playlists=list(shown.values()), next_page_token=page.next_token)

    async def ListPlaylistsOfUser(
        self,
        request: feed_pb2.ListPlaylistsOfUserRequest,
        context: grpc.aio.ServicerContext[feed_pb2.ListPlaylistsOfUserRequest, feed_pb2.ListPlaylistsOfUserResponse],
    ) -> feed_pb2.ListPlaylistsOfUserResponse:
        """List the public playlists of a person."""
        user_id, viewer_id = keys.user_id(request.user_id), keys.viewer_id()
        size, scope = keys.page_size(request.page_size), f"ListPlaylistsOfUser {user_id}"
        before = keys.id_key(scope, request.page_token)
        async with self._database.connection() as connection:
            await check_visible(connection, viewer_id, user_id)
            found = await listings.of_person(connection, viewer_id, user_id, before, size + 1)
            page = paging.cut(found, size, scope, lambda one: (one.playlist_id,))
            shown = await _playlists(connection, viewer_id, [one.playlist_id for one in page.items])
        return feed_pb2.ListPlaylistsOfUserResponse(playlists=list(shown.values()), next_page_token=page.next_token)

    async def ListLikedPlaylists(
        self,
        request: feed_pb2.ListLikedPlaylistsRequest,
        context: grpc.aio.ServicerContext[feed_pb2.ListLikedPlaylistsRequest, feed_pb2.ListLikedPlaylistsResponse],
    ) -> feed_pb2.ListLikedPlaylistsResponse:
        """List the playlists that a person likes: public ones, and to themselves all that they may open."""
        user_id, viewer_id = keys.user_id(request.user_id), keys.viewer_id()
        size, scope = keys.page_size(request.page_size), f"ListLikedPlaylists {user_id}"
        after = keys.time_key(scope, request.page_token)
        async with self._database.connection() as connection:
            await check_visible(connection, viewer_id, user_id)
            found = await listings.liked_by(connection, viewer_id, user_id, after, size + 1)
            page = paging.cut(found, size, scope, _liked_key)
            shown = await _playlists(connection, viewer_id, [one.playlist_id for one in page.items])
        return feed_pb2.ListLikedPlaylistsResponse(playlists=_liked(page.items, shown), next_page_token=page.next_token)

    async def BatchListPlaylistsOfUsers(
        self,
        request: feed_pb2.BatchListPlaylistsOfUsersRequest,
        context: grpc.aio.ServicerContext[
            feed_pb2.BatchListPlaylistsOfUsersRequest, feed_pb2.BatchListPlaylistsOfUsersResponse
        ],
    ) -> feed_pb2.BatchListPlaylistsOfUsersResponse:
        """List the newest public playlists of those of these people whom the caller sees."""
        wanted, size, viewer_id = _people(request.user_ids), keys.page_size(request.page_size), keys.viewer_id()
        fields.count(size * len(request.user_ids), "user_ids", _MOST_LISTED)
        async with self._database.connection() as connection:
            seen = await find_visible(connection, viewer_id, wanted)
            found = await first_pages.playlists_of_each(connection, viewer_id, list(seen), size + 1)
            listed = [playlist_id for some in found.values() for playlist_id in some[:size]]
            shown = await _playlists(connection, viewer_id, listed)
        answer = feed_pb2.BatchListPlaylistsOfUsersResponse()
        for user_id, some in found.items():
            page = paging.cut(some, size, f"ListPlaylistsOfUser {user_id}", lambda one: (one,))
            answer.users.add(
                user_id=user_id,
                playlists=[shown[one] for one in page.items if one in shown],
                next_page_token=page.next_token,
            )
        return answer

    async def BatchListLikedPlaylists(
        self,
        request: feed_pb2.BatchListLikedPlaylistsRequest,
        context: grpc.aio.ServicerContext[
            feed_pb2.BatchListLikedPlaylistsRequest, feed_pb2.BatchListLikedPlaylistsResponse
        ],
    ) -> feed_pb2.BatchListLikedPlaylistsResponse:
        """List what those of these people like whom the caller sees."""
        wanted, size, viewer_id = _people(request.user_ids), keys.page_size(request.page_size), keys.viewer_id()
        fields.count(size * len(request.user_ids), "user_ids", _MOST_LISTED)
        async with self._database.connection() as connection:
            seen = await find_visible(connection, viewer_id, wanted)
            found = await first_pages.liked_by_each(connection, viewer_id, list(seen), size + 1)
            listed = [one.playlist_id for some in found.values() for one in some[:size]]
            shown = await _playlists(connection, viewer_id, listed)
        answer = feed_pb2.BatchListLikedPlaylistsResponse()
        for user_id, some in found.items():
            page = paging.cut(some, size, f"ListLikedPlaylists {user_id}", _liked_key)
            answer.users.add(user_id=user_id, playlists=_liked(page.items, shown), next_page_token=page.next_token)
        return answer


def _people(user_ids: Sequence[str]) -> list[UserId]:
    fields.count(len(user_ids), "user_ids", _MOST_PEOPLE)
    return [UserId(one) for one in user_ids if is_id(one)]


def _liked_key(one: Listed) -> tuple[str, str]:
    return one.at.isoformat(), one.playlist_id


def _liked(some: Sequence[Listed], shown: Mapping[PlaylistId, playlists_pb2.Playlist]) -> list[feed_pb2.LikedPlaylist]:
    return [
        feed_pb2.LikedPlaylist(playlist=shown[one.playlist_id], liked_at=timestamp(one.at))
        for one in some
        if one.playlist_id in shown
    ]


async def _playlists(
    connection: Connection, viewer_id: UserId | None, playlist_ids: Sequence[PlaylistId]
) -> dict[PlaylistId, playlists_pb2.Playlist]:
    """Return playlists by id, in this order; what was deleted or closed since they were listed is missing."""
    found = await playlists.find_playlists(connection, playlist_ids)
    seen = {one.playlist_id: one for one in found if may_open(thing_of(one), viewer_id)}
    liked = await engagement.liked_among(connection, viewer_id, list(seen))
    return {one: to_playlist(seen[one], viewer_id, one in liked) for one in playlist_ids if one in seen}


def _activity(found: feed.Activity) -> feed_pb2.Activity:
    return feed_pb2.Activity(
        activity_id=found.activity_id,
        kind=feed_pb2.ActivityKind.Value(f"ACTIVITY_KIND_{found.kind.value}"),
        actor_id=found.actor_id,
        playlist_id=found.playlist_id or "",
        user_id=found.user_id or "",
        comment_id=found.comment_id or "",
        at=timestamp(found.at),
    )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _LARGEST_NUMBER
