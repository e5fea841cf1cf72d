"""Whatever two people do with playlists in whatever order, the service holds what a plain list would."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from pydantic import SecretStr

from deploy.local.postgres import Postgres
from museed.social.v1 import playlists_pb2
from services.chassis.channel import connect
from services.chassis.errors import Aborted, NotFound
from services.social.__main__ import running
from services.social.domain.ids import new_id
from services.social.settings import SocialSettings
from tests.conftest import NatsServer, free_port, fresh_database
from tests.integration.social.client import Client
from tests.integration.social.hands import PRIVATE, PUBLIC, UNLISTED, Hands, register_tracks

T = TypeVar("T")


@dataclass
class Stage:
    """A running service with two people and six tracks, and the loop in which it runs."""

    runner: asyncio.Runner
    people: list[Hands]
    tracks: list[str]

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(call)


@pytest.fixture
def stage(postgres: Postgres, migrated: str, nats_server: NatsServer) -> Iterator[Stage]:
    stack = contextlib.AsyncExitStack()

    async def start() -> tuple[list[Hands], list[str]]:
        url = await stack.enter_async_context(fresh_database(postgres, migrated))
        own = SocialSettings(
            database_url=SecretStr(url),
            listen=f"127.0.0.1:{free_port()}",
            embedder_address=f"127.0.0.1:{free_port()}",
            retriever_address=f"127.0.0.1:{free_port()}",
        )
        service = await stack.enter_async_context(running(own, nats_server.settings("social")))
        channel = connect(f"127.0.0.1:{service.server.port}")
        await stack.enter_async_context(channel)
        client = Client(channel)
        tracks = await register_tracks(client)
        return [Hands(client, await client.sign_up(name)) for name in ("one", "two")], tracks

    with asyncio.Runner() as runner:
        try:
            people, tracks = runner.run(start())
            yield Stage(runner, people, tracks)
        finally:
            runner.run(stack.aclose())


@dataclass
class Model:
    """What a playlist should be; entries are their ids and the numbers of their tracks."""

    playlist_id: str
    owner: int
    visibility: playlists_pb2.Visibility.ValueType
    entries: list[tuple[str, int]]
    version: int = 1
    title: str = "By hand"
    likes: set[int] = field(default_factory=set)
    saves: set[int] = field(default_factory=set)
    comments: dict[str, int] = field(default_factory=dict)

    def is_open_to(self, who: int) -> bool:
        return who == self.owner or self.visibility != PRIVATE


@dataclass
class Keyed:
    """A call with an idempotency key that was answered: what it made, and where."""

    call: Callable[[], Coroutine[Any, Any, set[str]]]
    made: set[str]
    playlist_id: str


WHO = st.integers(0, 1)
PICK = st.integers(0, 1_000)
TRACKS = st.lists(st.integers(0, 5), max_size=5)


class PlaylistMachine(RuleBasedStateMachine):
    """Two people at playlists of both; each call is done to the service and to the model."""

    stage: ClassVar[Stage]

    def __init__(self) -> None:
        super().__init__()
        self.lists: list[Model] = []
        self.gone: list[str] = []
        self.copies: dict[tuple[int, str], str] = {}
        self.keyed: list[Keyed] = []

    def run(self, call: Coroutine[Any, Any, T]) -> T:
        return self.stage.run(call)

    def ids(self, numbers: list[int]) -> list[str]:
        return [self.stage.tracks[number] for number in numbers]

    def picked(self, pick: int) -> Model:
        return self.lists[pick % len(self.lists)]

    def check(self, model: Model) -> None:
        shown = self.run(self.stage.people[model.owner].get(model.playlist_id))
        assert [(one.entry_id, one.track_id) for one in shown.entries] == [
            (entry_id, self.stage.tracks[number]) for entry_id, number in model.entries
        ]
        assert [one.position for one in shown.entries] == list(range(len(model.entries)))
        found = shown.playlist
        assert (found.version, found.title, found.visibility, found.entry_count) == (
            model.version,
            model.title,
            model.visibility,
            len(model.entries),
        )
        assert found.duration_seconds == sum(60.0 + number for _, number in model.entries)
        counts = (found.like_count, found.save_count, found.comment_count)
        assert counts == (len(model.likes), len(model.saves), len(model.comments))
        assert found.is_liked == (model.owner in model.likes)

    def edits(self, who: int, model: Model, call: Coroutine[Any, Any, T]) -> T | None:
        """Do an edit; that of a foreign hand is refused."""
        if who == model.owner:
            return self.run(call)
        with pytest.raises(NotFound):
            self.run(call)
        return None

    @rule(who=WHO, tracks=TRACKS, visibility=st.sampled_from([PRIVATE, UNLISTED, PUBLIC]))
    def create(self, who: int, tracks: list[int], visibility: playlists_pb2.Visibility.ValueType) -> None:
        hands, key = self.stage.people[who], new_id()
        made = self.run(hands.create(self.ids(tracks), visibility=visibility, key=key))
        entries = [(one.entry_id, number) for one, number in zip(made.entries, tracks, strict=True)]
        playlist_id = made.playlist.playlist_id

        async def again() -> set[str]:
            return {(await hands.create(self.ids(tracks), visibility=visibility, key=key)).playlist.playlist_id}

        self.keyed.append(Keyed(again, {playlist_id}, playlist_id))
        self.lists.append(Model(playlist_id, who, visibility, entries))
        self.check(self.lists[-1])

    @precondition(lambda self: self.lists)
    @rule(who=WHO, pick=PICK, tracks=TRACKS.filter(bool), position=st.none() | st.integers(0, 8))
    def add(self, who: int, pick: int, tracks: list[int], position: int | None) -> None:
        model, hands, key = self.picked(pick), self.stage.people[who], new_id()

        async def again() -> set[str]:
            added = await hands.add(model.playlist_id, self.ids(tracks), position, key)
            return {one.entry_id for one in added.entries}

        call = hands.add(model.playlist_id, self.ids(tracks), position, key)
        if (added := self.edits(who, model, call)) is not None:
            place = len(model.entries) if position is None else position
            new = [(one.entry_id, number) for one, number in zip(added.entries, tracks, strict=True)]
            model.entries[place:place] = new
            model.version += 1
            self.keyed.append(Keyed(again, {entry_id for entry_id, _ in new}, model.playlist_id))
        self.check(model)

    @precondition(lambda self: any(model.entries for model in self.lists))
    @rule(who=WHO, pick=PICK, places=st.sets(st.integers(0, 8), min_size=1, max_size=4))
    def remove(self, who: int, pick: int, places: set[int]) -> None:
        model = self.picked(pick)
        gone = [entry_id for place, (entry_id, _) in enumerate(model.entries) if place in places]
        wanted = gone or [self.stage.tracks[0]]
        if self.edits(who, model, self.stage.people[who].remove(model.playlist_id, wanted)) is not None:
            model.entries = [entry for entry in model.entries if entry[0] not in gone]
            model.version += bool(gone)
        self.check(model)

    @precondition(lambda self: any(model.entries for model in self.lists))
    @rule(who=WHO, pick=PICK, place=PICK, position=st.integers(0, 8))
    def move(self, who: int, pick: int, place: int, position: int) -> None:
        model = self.picked(pick)
        if not model.entries:
            return
        entry = model.entries[place % len(model.entries)]
        if self.edits(who, model, self.stage.people[who].move(model.playlist_id, entry[0], position)) is not None:
            before = list(model.entries)
            model.entries.remove(entry)
            model.entries.insert(position, entry)
            model.version += before != model.entries
        self.check(model)

    @precondition(lambda self: any(model.entries for model in self.lists))
    @rule(who=WHO, pick=PICK, seed=PICK, is_late=st.booleans(), by_tracks=st.booleans())
    def reorder(self, who: int, pick: int, seed: int, is_late: bool, by_tracks: bool) -> None:
        model = self.picked(pick)
        if not model.entries:
            return
        order = random.Random(seed).sample(model.entries, len(model.entries))
        version = model.version + is_late
        hands = self.stage.people[who]
        if by_tracks:
            numbers = [number for _, number in order]
            call = hands.reorder_by_tracks(model.playlist_id, version, self.ids(numbers))
            # Equal tracks keep their order: each number takes the first of its own that is left.
            left = list(model.entries)
            order = [left.pop([one for _, one in left].index(number)) for number in numbers]
        else:
            call = hands.reorder(model.playlist_id, version, [entry_id for entry_id, _ in order])
        is_so = order == model.entries
        if is_late and not is_so and who == model.owner:
            with pytest.raises(Aborted):
                self.run(call)
        elif self.edits(who, model, call) is not None:
            model.entries, model.version = order, model.version + (not is_so)
        self.check(model)

    @precondition(lambda self: self.lists)
    @rule(who=WHO, pick=PICK, visibility=st.sampled_from([PRIVATE, UNLISTED, PUBLIC]))
    def show(self, who: int, pick: int, visibility: playlists_pb2.Visibility.ValueType) -> None:
        model = self.picked(pick)
        call = self.stage.people[who].update(model.playlist_id, model.version, visibility=visibility)
        if self.edits(who, model, call) is not None:
            model.version += model.visibility != visibility
            model.visibility = visibility
        self.check(model)

    @precondition(lambda self: self.lists)
    @rule(who=WHO, pick=PICK, title=st.sampled_from(["By hand", "Other"]), is_late=st.booleans())
    def rename(self, who: int, pick: int, title: str, is_late: bool) -> None:
        model = self.picked(pick)
        call = self.stage.people[who].update(model.playlist_id, model.version + is_late, title=title)
        if is_late and title != model.title and who == model.owner:
            with pytest.raises(Aborted):
                self.run(call)
        elif self.edits(who, model, call) is not None:
            model.version += model.title != title
            model.title = title
        self.check(model)

    @precondition(lambda self: self.lists)
    @rule(who=WHO, pick=PICK)
    def delete(self, who: int, pick: int) -> None:
        model = self.picked(pick)
        if who == model.owner:
            self.run(self.stage.people[who].delete(model.playlist_id))
            self.lists.remove(model)
            self.gone.append(model.playlist_id)
        else:
            self.edits(who, model, self.stage.people[who].delete(model.playlist_id))

    @precondition(lambda self: self.lists)
    @rule(who=WHO, pick=PICK, likes=st.booleans())
    def like(self, who: int, pick: int, likes: bool) -> None:
        model, hands = self.picked(pick), self.stage.people[who]
        call = hands.like(model.playlist_id) if likes else hands.unlike(model.playlist_id)
        if not model.is_open_to(who):
            with pytest.raises(NotFound):
                self.run(call)
        else:
            model.likes = model.likes | {who} if likes else model.likes - {who}
            assert self.run(call).like_count == len(model.likes)
        self.check(model)

    @precondition(lambda self: self.lists)
    @rule(who=WHO, pick=PICK)
    def copy(self, who: int, pick: int) -> None:
        model, hands, key = self.picked(pick), self.stage.people[who], new_id()
        known = self.copies.get((who, model.playlist_id))
        has_copy = known is not None and known not in self.gone
        call = hands.copy(model.playlist_id, key=key)
        if not model.is_open_to(who) and not has_copy:
            with pytest.raises(NotFound):
                self.run(call)
            return
        copied = self.run(call)

        async def again() -> set[str]:
            return {(await hands.copy(model.playlist_id, key=key)).playlist_id}

        self.keyed.append(Keyed(again, {copied.playlist_id}, copied.playlist_id))
        if has_copy:
            assert copied.playlist_id == known
            return
        assert copied.copied_from == model.playlist_id
        entries = self.run(self.stage.people[who].get(copied.playlist_id)).entries
        of_track = {track_id: number for number, track_id in enumerate(self.stage.tracks)}
        made = [(one.entry_id, of_track[one.track_id]) for one in entries]
        assert [number for _, number in made] == [number for _, number in model.entries]
        self.lists.append(Model(copied.playlist_id, who, PRIVATE, made, title=model.title))
        if who != model.owner:
            self.copies[who, model.playlist_id] = copied.playlist_id
            model.saves.add(who)
        self.check(model)

    @precondition(lambda self: self.lists)
    @rule(who=WHO, pick=PICK)
    def comment(self, who: int, pick: int) -> None:
        model, hands, key = self.picked(pick), self.stage.people[who], new_id()

        async def again() -> set[str]:
            return {(await hands.comment(model.playlist_id, "Hm", key)).comment_id}

        if not model.is_open_to(who):
            with pytest.raises(NotFound):
                self.run(again())
        else:
            made = self.run(again())
            model.comments |= dict.fromkeys(made, who)
            self.keyed.append(Keyed(again, made, model.playlist_id))
        self.check(model)

    @precondition(lambda self: any(model.comments for model in self.lists))
    @rule(who=WHO, pick=PICK)
    def uncomment(self, who: int, pick: int) -> None:
        commented = [model for model in self.lists if model.comments]
        model = commented[pick % len(commented)]
        comment_id, author = next(iter(model.comments.items()))
        call = self.stage.people[who].delete_comment(comment_id)
        if who in (author, model.owner):
            self.run(call)
            del model.comments[comment_id]
            self.gone.append(comment_id)
        else:
            with pytest.raises(NotFound):
                self.run(call)
        self.check(model)

    @precondition(lambda self: self.keyed)
    @rule(pick=PICK)
    def again(self, pick: int) -> None:
        """The same request comes again, because its answer was lost."""
        keyed = self.keyed[pick % len(self.keyed)]
        if keyed.playlist_id in self.gone or keyed.made & set(self.gone):
            with pytest.raises(NotFound):
                self.run(keyed.call())
            return
        entries = {entry_id for model in self.lists for entry_id, _ in model.entries}
        answer = self.run(keyed.call())
        # Entries that were taken out since are not told again.
        assert answer in (keyed.made, keyed.made & entries)
        for model in self.lists:
            if model.playlist_id == keyed.playlist_id:
                self.check(model)

    def teardown(self) -> None:
        for model in self.lists:
            self.check(model)
            stranger = self.stage.people[1 - model.owner]
            assert set(self.run(stranger.batch([model.playlist_id]))) == (
                {model.playlist_id} if model.is_open_to(1 - model.owner) else set()
            )
        for who in self.stage.people:
            assert self.run(who.batch(self.gone[-100:])) == {}


def _play(stage: Stage, examples: int, steps: int) -> None:
    machine = type("Machine", (PlaylistMachine,), {"stage": stage})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_any_edits_leave_what_a_list_would_hold(stage: Stage) -> None:
    _play(stage, examples=15, steps=20)


@pytest.mark.long
def test_any_edits_leave_what_a_list_would_hold_for_long(stage: Stage) -> None:
    _play(stage, examples=60, steps=50)
