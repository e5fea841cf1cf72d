"""People who write while processes are killed, repeat what was not answered, and remember what was acknowledged."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from museed.social.v1 import accounts_pb2, listening_pb2, listening_pb2_grpc, people_pb2, people_pb2_grpc, playlists_pb2
from services.chassis.errors import Aborted, AlreadyExists, DeadlineExceeded, NotFound, Unavailable
from services.social.domain.ids import new_id
from services.social.wire import timestamp
from tests.integration.social.client import TIMEOUT_S, Client, Person
from tests.integration.social.crashes.cluster import PATIENCE_S
from tests.integration.social.hands import PRIVATE, PUBLIC, Hands

T = TypeVar("T")

# What comes of a process, a database or a connection that is gone: the write may be done, or may not.
UNKNOWN = (Unavailable, DeadlineExceeded)


@dataclass
class List:
    """A playlist as its owner knows it; entries are their ids and tracks."""

    playlist_id: str
    title: str
    is_public: bool
    version: int
    entries: list[tuple[str, str]]


@dataclass
class Told:
    """An event that somebody's write promises: its name and what names the write."""

    name: str
    about: tuple[object, ...]


@dataclass
class World:
    """What the writers of one run share: processes, tracks, each other, and a count of acknowledged writes."""

    clients: list[Client]
    tracks: list[str]
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    writers: list["Writer"] = field(default_factory=list)
    acknowledged: int = 0

    @property
    def public_lists(self) -> list[str]:
        return [one.playlist_id for writer in self.writers for one in writer.lists.values() if one.is_public]


class Writer:
    """One person, who does one thing after the other; nobody else writes what is theirs.

    Args:
        world: Where.
        name: Username.
        dice: Decide what is done.
    """

    def __init__(self, world: World, name: str, dice: random.Random) -> None:
        self.world = world
        self.name = name
        self.dice = dice
        self.person: Person | None = None
        self.lists: dict[str, List] = {}
        self.gone: list[str] = []
        self.likes: set[str] = set()
        self.follows: set[str] = set()
        self.comments: dict[str, str] = {}
        self.plays: list[str] = []
        self.copies: dict[str, str] = {}
        self.told: list[Told] = []
        self.repeated = 0

    @property
    def user_id(self) -> str:
        assert self.person is not None
        return self.person.user_id

    async def sign_up(self) -> None:
        """Make an account; where an answer was lost, the name is taken, by oneself."""
        is_lost = False

        async def call(client: Client) -> Person:
            nonlocal is_lost
            try:
                return await client.sign_up(self.name)
            except UNKNOWN:
                is_lost = True
                raise
            except AlreadyExists:
                assert is_lost, f"{self.name} was there before"
                return await self._log_in(client)

        self.person = await self._insist(call)
        self.world.writers.append(self)
        self._done("user_signed_up", self.user_id)

    async def act(self) -> None:
        """Do one thing that can be done now, until it is acknowledged."""
        acts: list[Callable[[], Awaitable[None]]] = [self.create, self.play]
        if self.lists:
            acts += [self.add, self.rename, self.reorder, self.move, self.remove]
        if any(not one.is_public for one in self.lists.values()):
            acts.append(self.delete)
        if self.world.public_lists:
            acts += [self.like_or_not, self.comment, self.copy]
        if self.comments:
            acts.append(self.take_back)
        if len(self.world.writers) > 1:
            acts.append(self.follow_or_not)
        await self.dice.choice(acts)()

    async def create(self) -> None:
        key, title, tracks = new_id(), f"List {self.dice.random()}", self._some_tracks()
        is_public = self.dice.random() < 0.5
        visibility = PUBLIC if is_public else PRIVATE
        made = await self._by_hand(lambda hands: hands.create(tracks, title, visibility, key))
        assert [one.track_id for one in made.entries] == tracks
        entries = [(one.entry_id, one.track_id) for one in made.entries]
        self._keep(made.playlist, is_public=is_public, entries=entries)
        self._done()

    async def add(self) -> None:
        one, key, tracks = self._own(), new_id(), self._some_tracks()
        place = self.dice.randint(0, len(one.entries))
        added = await self._by_hand(lambda hands: hands.add(one.playlist_id, tracks, place, key))
        one.entries[place:place] = [(entry.entry_id, entry.track_id) for entry in added.entries]
        assert [entry.track_id for entry in added.entries] == tracks
        self._changed(one, added.playlist)

    async def remove(self) -> None:
        one = self._own()
        if not one.entries:
            return
        entry = self.dice.choice(one.entries)
        changed = await self._by_hand(lambda hands: hands.remove(one.playlist_id, [entry[0]]))
        one.entries.remove(entry)
        self._changed(one, changed)

    async def move(self) -> None:
        one = self._own()
        if len(one.entries) < 2:
            return
        place, other = self.dice.sample(range(len(one.entries)), 2)
        entry = one.entries[place]
        moved = await self._by_hand(lambda hands: hands.move(one.playlist_id, entry[0], other))
        one.entries.insert(other, one.entries.pop(place))
        self._changed(one, moved.playlist)

    async def reorder(self) -> None:
        one = self._own()
        order = self.dice.sample(one.entries, len(one.entries))
        if order == one.entries:
            return
        ids = [entry_id for entry_id, _ in order]
        await self._under_version(one, lambda hands: hands.reorder(one.playlist_id, one.version, ids))
        one.entries = order

    async def rename(self) -> None:
        one, title = self._own(), f"List {self.dice.random()}"
        await self._under_version(one, lambda hands: hands.update(one.playlist_id, one.version, title=title))
        one.title = title

    async def delete(self) -> None:
        one = self.dice.choice([one for one in self.lists.values() if not one.is_public])
        request = playlists_pb2.DeletePlaylistRequest(playlist_id=one.playlist_id)
        await self._once_gone(
            lambda hands: hands.client.playlists.DeletePlaylist(request, timeout=TIMEOUT_S, metadata=hands.metadata)
        )
        del self.lists[one.playlist_id]
        self.gone.append(one.playlist_id)
        self._done("playlist_deleted", one.playlist_id)

    async def like_or_not(self) -> None:
        playlist_id = self.dice.choice(self.world.public_lists)
        if playlist_id in self.likes:
            await self._by_hand(lambda hands: hands.unlike(playlist_id))
            self.likes.remove(playlist_id)
            self._done("playlist_unliked", playlist_id)
        else:
            await self._by_hand(lambda hands: hands.like(playlist_id))
            self.likes.add(playlist_id)
            self._done("playlist_liked", playlist_id)

    async def comment(self) -> None:
        playlist_id, key, text = self.dice.choice(self.world.public_lists), new_id(), f"Words {self.dice.random()}"
        made = await self._by_hand(lambda hands: hands.comment(playlist_id, text, key))
        self.comments[made.comment_id] = text
        self._done("comment_added", made.comment_id)

    async def take_back(self) -> None:
        comment_id = self.dice.choice(list(self.comments))
        await self._by_hand(lambda hands: hands.delete_comment(comment_id))
        del self.comments[comment_id]
        self._done("comment_removed", comment_id)

    async def copy(self) -> None:
        others = [one for one in self.world.public_lists if one not in self.copies and one not in self.lists]
        if not others:
            return
        playlist_id, key = self.dice.choice(others), new_id()
        copied = await self._by_hand(lambda hands: hands.copy(playlist_id, key=key))
        self.copies[playlist_id] = copied.playlist_id
        self._done("playlist_saved", playlist_id, copied.playlist_id)

    async def play(self) -> None:
        """Hear a track; each play is far enough from the others to count."""
        heard = listening_pb2.Play(
            play_id=new_id(),
            track_id=self.dice.choice(self.world.tracks),
            played_at=timestamp(self.world.began_at - timedelta(minutes=6 * (len(self.plays) + 1))),
            heard_seconds=45,
        )
        request = listening_pb2.RecordPlaysRequest(plays=[heard])

        async def call(hands: Hands) -> listening_pb2.RecordPlaysResponse:
            stub: listening_pb2_grpc.ListeningServiceAsyncStub = listening_pb2_grpc.ListeningServiceStub(
                hands.client.channel
            )
            return await stub.RecordPlays(request, timeout=TIMEOUT_S, metadata=hands.metadata)

        tries = self.repeated
        (outcome,) = (await self._by_hand(call)).outcomes
        assert outcome == listening_pb2.PLAY_OUTCOME_COUNTED or (
            outcome == listening_pb2.PLAY_OUTCOME_DUPLICATE and self.repeated > tries
        )
        self.plays.append(heard.play_id)
        self._done("track_played", heard.play_id)

    async def follow_or_not(self) -> None:
        other = self.dice.choice([writer.user_id for writer in self.world.writers if writer is not self])
        is_followed = other in self.follows

        async def call(hands: Hands) -> None:
            people: people_pb2_grpc.PeopleServiceAsyncStub = people_pb2_grpc.PeopleServiceStub(hands.client.channel)
            if is_followed:
                unfollow = people_pb2.UnfollowRequest(user_id=other)
                await people.Unfollow(unfollow, timeout=TIMEOUT_S, metadata=hands.metadata)
            else:
                follow = people_pb2.FollowRequest(user_id=other)
                await people.Follow(follow, timeout=TIMEOUT_S, metadata=hands.metadata)

        await self._by_hand(call)
        (self.follows.remove if is_followed else self.follows.add)(other)
        self._done("user_unfollowed" if is_followed else "user_followed", other)

    def _own(self) -> List:
        return self.dice.choice(list(self.lists.values()))

    def _some_tracks(self) -> list[str]:
        return self.dice.choices(self.world.tracks, k=self.dice.randint(1, 4))

    def _keep(self, made: playlists_pb2.Playlist, *, is_public: bool, entries: Sequence[tuple[str, str]]) -> None:
        one = List(made.playlist_id, made.title, is_public, made.version, list(entries))
        assert made.version == 1
        self.lists[one.playlist_id] = one

    def _changed(self, one: List, answer: playlists_pb2.Playlist) -> None:
        """Note an acknowledged change: done once, it raised the version by one, however often it was sent."""
        assert answer.version == one.version + 1
        one.version += 1
        self._done("playlist_changed", one.playlist_id, one.version)

    def _done(self, name: str = "", *about: object) -> None:
        self.world.acknowledged += 1
        if name:
            self.told.append(Told(name, about))

    async def _under_version(self, one: List, call: Callable[[Hands], Awaitable[playlists_pb2.Playlist]]) -> None:
        """Change a playlist under its version. Where an answer was lost, the second try finds the first one's work."""
        tries = self.repeated

        async def once(hands: Hands) -> playlists_pb2.Playlist:
            try:
                return await call(hands)
            except Aborted as conflict:
                if conflict.reason != "VERSION_CONFLICT":
                    raise
                assert self.repeated > tries, "nobody else edits this playlist"
                return (await hands.get(one.playlist_id)).playlist

        self._changed(one, await self._by_hand(once))

    async def _once_gone(self, call: Callable[[Hands], Awaitable[object]]) -> None:
        """Delete something, which is not found any more by a second try whose first was not answered."""
        tries = self.repeated

        async def once(hands: Hands) -> None:
            try:
                await call(hands)
            except NotFound:
                assert self.repeated > tries

        await self._by_hand(once)

    async def _by_hand(self, call: Callable[[Hands], Awaitable[T]]) -> T:
        return await self._insist(lambda client: call(Hands(client, self.person)))

    async def _insist(self, call: Callable[[Client], Awaitable[T]]) -> T:
        """Call, of any process, until there is an answer."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    return await call(self.dice.choice(self.world.clients))
                except (*UNKNOWN, Aborted):
                    self.repeated += 1
                    await asyncio.sleep(0.05 + self.dice.random() * 0.2)

    async def _log_in(self, client: Client) -> Person:
        password = f"secret of {self.name}"
        request = accounts_pb2.LogInRequest(login=self.name, password=password)
        answer = await client.accounts.LogIn(request, timeout=TIMEOUT_S)
        tokens = answer.tokens
        return Person(answer.viewer.user.user_id, self.name, password, tokens.access_token, tokens.refresh_token)
