"""One person's side: what must be there after all they were told is done, and whether each answer agrees with it."""

from collections.abc import Set
from dataclasses import dataclass, field
from typing import Any

from tests.faults.findings import Finding, Kind
from tests.faults.history import Operation, Outcome

# Quotas: refusing is right, and then nothing may have been done.
QUOTAS = frozenset(
    {"COMMENT_QUOTA_REACHED", "UPLOAD_QUOTA_REACHED", "TOO_MANY_OPEN_JOBS", "TOO_MANY_PLAYLISTS", "OUT_OF_ROOM"}
)
ENDS = ("SUCCEEDED", "FAILED", "CANCELLED")
# What these make has a title, text or id of its own, so that one which nobody answered can be told from others.
MAY_BE_GIVEN_UP = frozenset({"create", "like", "follow", "comment", "play", "upload", "generate", "register"})


@dataclass(slots=True)
class List:
    """A playlist as its owner knows it; entries are pairs of their id and their track's."""

    title: str
    is_public: bool
    version: int
    entries: list[tuple[str, str]]

    @property
    def tracks(self) -> list[str]:
        """Its tracks in order."""
        return [track for _, track in self.entries]


@dataclass(slots=True)
class Ledger:
    """What one person was told.

    Attributes:
        maybe: By kind of operation, what was given up, with what was asked: by title, text, name or id.
    """

    actor: str
    user_id: str = ""
    lists: dict[str, List] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    likes: set[str] = field(default_factory=set)
    follows: set[str] = field(default_factory=set)
    comments: dict[str, str] = field(default_factory=dict)
    plays: set[str] = field(default_factory=set)
    uploads: dict[str, str] = field(default_factory=dict)
    jobs: dict[str, str] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    maybe: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def apply(self, operation: Operation) -> None:
        """Take in an operation that has ended; of one that was killed with the run, that it may be done."""
        if operation.outcome == Outcome.REFUSED:
            code = operation.result["code"]
            if code not in QUOTAS:
                self._found(Kind.REFUSED, f"{operation.kind} {operation.arguments}: {code}")
        elif operation.outcome == Outcome.DONE:
            getattr(self, f"_{operation.kind}")(operation, operation.arguments, operation.result)
        else:
            self._give_up(operation)

    def may_touch(self, kind: str, target: str) -> bool:
        """Whether it is known what asking for this would change."""
        return target not in self.maybe.get(kind, {})

    def _give_up(self, operation: Operation) -> None:
        arguments = operation.arguments
        name = next((arguments[key] for key in ("title", "text", "name", "play_id") if key in arguments), None)
        target = name or next(iter(arguments.values()), "")
        self.maybe.setdefault(operation.kind, {})[str(target)] = arguments

    def _found(self, kind: Kind, text: str) -> None:
        self.findings.append(Finding(kind, f"{self.actor}: {text}"))

    def _sign_up(self, _: Operation, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        self.user_id = result["user_id"]

    def _create(self, _: Operation, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        playlist_id = result["playlist_id"]
        if playlist_id in self.lists or playlist_id in self.gone:
            self._found(Kind.LOST, f"{arguments['title']!r} was answered with the playlist {playlist_id} of before")
        entries = [(entry, track) for entry, track in result["entries"]]
        made = List(arguments["title"], arguments["is_public"], result["version"], entries)
        if made.tracks != arguments["track_ids"] or made.version != 1:
            self._found(Kind.LOST, f"{made.title!r} was made as {made.tracks} in version {made.version}")
        self.lists[playlist_id] = made

    def _add(self, _: Operation, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        changed = self.lists[arguments["playlist_id"]]
        added = [(entry, track) for entry, track in result["entries"]]
        changed.entries[arguments["position"] : arguments["position"]] = added
        self._raise_version(arguments["playlist_id"], result["version"])

    def _rename(self, _: Operation, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        self.lists[arguments["playlist_id"]].title = arguments["title"]
        self._raise_version(arguments["playlist_id"], result["version"])

    def _remove(self, _: Operation, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        changed = self.lists[arguments["playlist_id"]]
        changed.entries = [entry for entry in changed.entries if entry[0] != arguments["entry_id"]]
        self._raise_version(arguments["playlist_id"], result["version"])

    def _raise_version(self, playlist_id: str, version: int) -> None:
        one = self.lists[playlist_id]
        if version > one.version + 1:
            self._found(Kind.DOUBLED, f"a change raised {playlist_id} from version {one.version} to {version}")
        elif version < one.version + 1:
            self._found(Kind.LOST, f"a change of {playlist_id} in version {one.version} left it at {version}")
        one.version = version

    def _delete(self, _: Operation, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        del self.lists[arguments["playlist_id"]]
        self.gone.add(arguments["playlist_id"])

    def _like(self, _: Operation, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        self.likes.add(arguments["playlist_id"])

    def _unlike(self, _: Operation, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        self.likes.remove(arguments["playlist_id"])

    def _follow(self, _: Operation, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        self.follows.add(arguments["user_id"])

    def _unfollow(self, _: Operation, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        self.follows.remove(arguments["user_id"])

    def _comment(self, _: Operation, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        self.comments[result["comment_id"]] = arguments["text"]

    def _play(self, operation: Operation, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        if result["outcome"] == "DUPLICATE" and operation.tries == 1:
            self._found(Kind.DOUBLED, f"the play {arguments['play_id']} was there before it was sent")
        elif result["outcome"] not in ("COUNTED", "DUPLICATE"):
            self._found(Kind.LOST, f"the play {arguments['play_id']} was {result['outcome']}")
        self.plays.add(arguments["play_id"])

    def _upload(self, _: Operation, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        self.uploads[result["upload_id"]] = arguments["name"]

    def _generate(self, _: Operation, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        self.jobs[result["job_id"]] = arguments["title"]

    def _cancel(self, _: Operation, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        """Whoever calls off a job is told how it ended, which may be otherwise: that is how it stays."""
        if result["state"] not in ENDS:
            self._found(Kind.ENDLESS, f"the job {arguments['job_id']} was called off and is {result['state']}")
        else:
            self._note_state(arguments["job_id"], result["state"])

    def _read_job(self, _: Operation, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        self._note_state(arguments["job_id"], result["state"])

    def _note_state(self, job_id: str, state: str | None) -> None:
        before = self.ended.get(job_id)
        if before is not None and state != before:
            self._found(Kind.STALE, f"the job {job_id} was {before} and is {state}")
        if state is None:
            self._found(Kind.LOST, f"the job {job_id} is not found")
        elif state in ENDS:
            self.ended[job_id] = state

    def _read_list(self, _: Operation, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        playlist_id = arguments["playlist_id"]
        one = self.lists.get(playlist_id)
        if result["found"] and result["playlist_id"] != playlist_id:
            self._found(Kind.FOREIGN, f"asked for {playlist_id}, was shown {result['playlist_id']}")
        elif one is None:
            if result["found"]:
                self._found(Kind.STALE, f"{playlist_id} was read after it was deleted")
        elif not result["found"]:
            self._found(Kind.STALE, f"{playlist_id} was not found by its owner")
        elif (found := (result["title"], result["version"], result["track_ids"])) != (
            one.title,
            one.version,
            one.tracks,
        ):
            self._found(Kind.STALE, f"{playlist_id} was read as {found}, is {(one.title, one.version, one.tracks)}")

    def _browse(self, _: Operation, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        """Judged by what its owner was told: see `browsing.py`."""

    def _read_lists(self, _: Operation, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        shown = {playlist_id: (title, version, count) for playlist_id, title, version, count in result["lists"]}
        if len(shown) < len(result["lists"]):
            self._found(Kind.DOUBLED, f"a playlist stands twice among one's own: {sorted(shown)}")
        for playlist_id, one in self.lists.items():
            now, known = shown.get(playlist_id), (one.title, one.version, len(one.entries))
            if now != known and (now is not None or result["is_whole"]):
                self._found(Kind.STALE, f"{playlist_id} stands among one's own as {now}, is {known}")
        mine = {*self.jobs.values(), *self.maybe.get("generate", ()), *self.maybe.get("create", ())}
        for playlist_id in shown.keys() - self.lists.keys():
            if playlist_id in self.gone:
                self._found(Kind.STALE, f"{playlist_id} stands among one's own after it was deleted")
            elif shown[playlist_id][0] not in mine:
                self._found(Kind.FOREIGN, f"{playlist_id} {shown[playlist_id][0]!r} stands among one's own")

    def _read_likes(self, _: Operation, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        found = set(result["playlist_ids"])
        if result["is_whole"]:
            self._compare("likes", self.likes, found, self.maybe.get("like", {}).keys())

    def _read_follows(self, _: Operation, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        self._compare("follows", self.follows, set(result["user_ids"]), self.maybe.get("follow", {}).keys())

    def _compare(self, what: str, wanted: set[str], found: set[str], possible: Set[str]) -> None:
        if missing := wanted - found:
            self._found(Kind.STALE, f"{what} does not show {sorted(missing)}")
        if other := found - wanted - possible:
            self._found(Kind.STALE, f"{what} shows {sorted(other)}, which were taken back or never said")

    def _peek(self, _: Operation, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        if result["found"]:
            self._found(Kind.FOREIGN, f"read {arguments['what']} {arguments['id']} of {arguments['of']}")

    def _who_am_i(self, _: Operation, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        if result["user_id"] != self.user_id:
            self._found(Kind.FOREIGN, f"was taken for {result['user_id']}")

    def _read_audio(self, _: Operation, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        if result["digest"] != arguments["digest"]:
            self._found(Kind.LOST, f"the audio of {arguments['upload_id']} is other bytes: {result}")

    def _similar(self, _: Operation, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        """Judged by vectors, as all that concerns the library: see `library.py`."""

    _register = _retag = _read_track = _similar


def ledgers_of(operations: list[Operation]) -> dict[str, Ledger]:
    """Return what everybody of a history was told, by name."""
    found: dict[str, Ledger] = {}
    for operation in operations:
        ledger = found.setdefault(operation.actor, Ledger(operation.actor))
        ledger.apply(operation)
    return found
