"""What people ask for, and how often: requests as bytes, each with what becomes of its answer."""

import itertools
import json
import random
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from uuid_utils.compat import uuid7

from benchmarks.gateway_.bare import DOCUMENT as PLAYLIST
from benchmarks.gateway_.generator import request_bytes
from benchmarks.load_.world import WORDS, Person, World

_PLAYED_BYTES = 65_536

FEED = """{ feed(first: 20) { pageInfo { hasNextPage endCursor } nodes {
  kind at actor { userId nickname avatarUrl } playlist { playlistId title entryCount likeCount }
  user { nickname } } } }"""
HOME = """{ trendingPlaylists(first: 10) { nodes { playlistId title likeCount owner { nickname } } }
  latestPlaylists(first: 10) { nodes { playlistId title entryCount owner { nickname } } } }"""
SEARCH = """query($query: String!) { searchTracks(query: $query, first: 20) { pageInfo { hasNextPage } nodes {
  trackId title artist album durationSeconds streamUrl coverUrl } } }"""
SIMILAR = """query($id: ID!) { similarTracks(trackId: $id, first: 20) { edges { similarity
  node { trackId title artist } } } }"""
PLAYS = """mutation($input: RecordPlaysInput!) { recordPlays(input: $input) {
  ... on RecordPlaysSuccess { plays { playId } } ... on UserError { code } } }"""
LIKE = """mutation($id: ID!) { likePlaylist(input: {playlistId: $id}) {
  ... on LikePlaylistSuccess { playlist { likeCount } } ... on UserError { code } } }"""
UNLIKE = """mutation($id: ID!) { unlikePlaylist(input: {playlistId: $id}) {
  ... on UnlikePlaylistSuccess { playlist { likeCount } } ... on UserError { code } } }"""
FOLLOW = """mutation($id: ID!) { followUser(input: {userId: $id}) {
  ... on FollowUserSuccess { userId } ... on UserError { code } } }"""
CREATE = """mutation($input: CreatePlaylistInput!) { createPlaylist(input: $input) {
  ... on CreatePlaylistSuccess { playlist { playlistId } } ... on UserError { code } } }"""
GENERATE = """mutation($input: GeneratePlaylistInput!) { generatePlaylist(input: $input) {
  ... on GeneratePlaylistSuccess { job { jobId isFinished playlistId } } ... on UserError { code } } }"""

_JOB = re.compile(rb'"jobId":\s*"([^"]+)",\s*"isFinished":\s*(true|false)')
_UPLOAD = re.compile(rb'"uploadId":\s*"([^"]+)"')


FROM_UPLOAD = "generate from upload"


class Request(NamedTuple):
    """One request.

    Attributes:
        operation: What it is counted as.
        person: Who asks.
        data: All bytes.
        then: Makes of the body of a good answer what the person asks for next.
    """

    operation: str
    person: Person
    data: bytes
    then: "Callable[[bytes], Request | None]" = lambda body: None


class Mix:
    """Draws requests.

    Args:
        world: What there is.
        seed: Of the draws.

    Attributes:
        jobs: Of playlists that were asked for and not made at once, with who asked.
        done_at_once: Jobs that had ended when they were told of.
    """

    def __init__(self, world: World, seed: int) -> None:
        self._world = world
        self._draw = random.Random(seed)
        first = seed % len(world.uploads)
        self._uploads = itertools.cycle([*world.uploads[first:], *world.uploads[:first]])
        self.jobs: list[tuple[Person, str]] = []
        self.done_at_once = 0

    def next(self) -> Request:
        """Draw one."""
        [operation] = self._draw.choices(list(SHARES), weights=list(SHARES.values()))
        return self.one(operation)

    def one(self, operation: str) -> Request:
        """Make one of this operation."""
        person = self._draw.choice(self._world.people)
        made: Request = getattr(self, "_" + operation.replace(" ", "_"))(person)
        return made._replace(operation=operation)

    def _ask(self, person: Person, document: str, **variables: Any) -> Request:
        body = json.dumps({"query": document, "variables": variables}).encode()
        return Request("", person, request_bytes(self._world.port, body, person.token, network=person.network))

    def _feed(self, person: Person) -> Request:
        return self._ask(person, FEED)

    def _home(self, person: Person) -> Request:
        return self._ask(person, HOME)

    def _search(self, person: Person) -> Request:
        words = self._draw.sample(WORDS, 2) if self._draw.random() < 0.5 else [self._draw.choice(WORDS)[:4]]
        return self._ask(person, SEARCH, query=" ".join(words))

    def _playlist(self, person: Person) -> Request:
        return self._ask(person, PLAYLIST, id=self._other(person).playlist_id)

    def _similar(self, person: Person) -> Request:
        return self._ask(person, SIMILAR, id=self._track())

    def _listen(self, person: Person) -> Request:
        """Fetch a part of a track, as players do."""
        head = (
            f"GET {self._draw.choice(person.stream_paths)} HTTP/1.1\r\nhost: 127.0.0.1:{self._world.port}\r\n"
            f"range: bytes=0-{_PLAYED_BYTES - 1}\r\nx-forwarded-for: {person.network}\r\n\r\n"
        )
        return Request("", person, head.encode())

    def _play(self, person: Person) -> Request:
        play = {
            "playId": str(uuid7()), "trackId": self._track(), "playedAt": datetime.now(UTC).isoformat(),
            "heardSeconds": 120,
        }  # fmt: skip
        return self._ask(person, PLAYS, input={"plays": [play]})

    def _like(self, person: Person) -> Request:
        document = LIKE if self._draw.random() < 0.6 else UNLIKE
        return self._ask(person, document, id=self._other(person).playlist_id)

    def _follow(self, person: Person) -> Request:
        return self._ask(person, FOLLOW, id=self._other(person).user_id)

    def _create(self, person: Person) -> Request:
        made = {"title": f"Mine {uuid7()}", "visibility": "PUBLIC", "trackIds": [self._track() for _ in range(10)]}
        return self._ask(person, CREATE, input=made)

    def _generate(self, person: Person) -> Request:
        return self._generated(person, {"trackId": self._track()})

    def _upload(self, person: Person) -> Request:
        """Send a file, and have a playlist made of it."""
        data = request_bytes(
            self._world.port,
            next(self._uploads),
            person.token,
            path="/uploads",
            kind="application/octet-stream",
            network=person.network,
        )

        def then(body: bytes) -> Request | None:
            found = _UPLOAD.search(body)
            if found is None:
                return None
            return self._generated(person, {"uploadId": found[1].decode()})._replace(operation=FROM_UPLOAD)

        return Request("", person, data, then)

    def _generated(self, person: Person, seed: dict[str, str]) -> Request:
        asked = self._ask(person, GENERATE, input={"seeds": [seed], "length": 25, "idempotencyKey": str(uuid7())})

        def then(body: bytes) -> None:
            found = _JOB.search(body)
            if found is None:  # of a server that answers without reading
                return
            if found[2] == b"true":
                self.done_at_once += 1
            else:
                self.jobs.append((person, found[1].decode()))

        return asked._replace(then=then)

    def _track(self) -> str:
        return self._draw.choice(self._world.track_ids)

    def _other(self, person: Person) -> Person:
        while (other := self._draw.choice(self._world.people)) is person:
            pass
        return other


# Of a hundred requests. Nobody has measured such a mix for us: pages that are read, some that listen, few that write.
SHARES = {
    "playlist": 18.0, "search": 14.0, "feed": 14.0, "listen": 13.0, "play": 13.0, "home": 8.0, "like": 8.0,
    "generate": 4.0, "follow": 3.0, "similar": 3.0, "create": 1.5, "upload": 0.5,
}  # fmt: skip

# What stands in a good answer, beside that it has no error: a page that is null is none.
MUST = {
    "playlist": b'"entries":', "search": b'"nodes":', "feed": b'"nodes":', "play": b'"playId":', "home": b'"nodes":',
    "like": b'"likeCount":', "generate": b'"jobId":', FROM_UPLOAD: b'"jobId":', "follow": b'"userId":',
    "similar": b'"edges":', "create": b'"playlistId":', "upload": b'"uploadId":',
}  # fmt: skip
