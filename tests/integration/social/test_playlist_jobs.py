"""Playlists are made again, extended, scheduled; jobs are listed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from museed.social.v1 import jobs_pb2, jobwork_pb2, jobwork_pb2_grpc
from services.chassis.errors import FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from services.social.domain.ids import new_id
from services.social.store.database import Database
from services.social.workers.background import Nudge
from services.social.workers.scheduler import Scheduler
from tests.integration.social.conftest import TIMEOUT_S, Client, Library, Mesh, Person, Sql, until
from tests.integration.social.fakes import ENCODER_ID

SUCCEEDED = jobs_pb2.JOB_STATE_SUCCEEDED
FAILED = jobs_pb2.JOB_STATE_FAILED
PROPOSED = jobwork_pb2.SUGGESTION_STATE_PROPOSED
ACCEPTED = jobwork_pb2.SUGGESTION_STATE_ACCEPTED
REJECTED = jobwork_pb2.SUGGESTION_STATE_REJECTED
DAILY = jobwork_pb2.SCHEDULE_PERIOD_DAILY
MONTHLY = jobwork_pb2.SCHEDULE_PERIOD_MONTHLY


@dataclass
class Desk:
    """Somebody with a playlist of three tracks: the first of the library as its seed, and two chosen ones."""

    client: Client
    person: Person
    playlist_id: str

    @property
    def stub(self) -> "jobwork_pb2_grpc.PlaylistJobServiceAsyncStub":
        return jobwork_pb2_grpc.PlaylistJobServiceStub(self.client.channel)

    async def regenerate(self, *, replace: bool = True, wait_ms: int = 5_000, key: str = "") -> jobs_pb2.Job:
        request = jobwork_pb2.CreateRegenerationJobRequest(
            idempotency_key=key or new_id(), playlist_id=self.playlist_id, replace=replace, wait_ms=wait_ms
        )
        answer = await self.stub.CreateRegenerationJob(request, timeout=TIMEOUT_S, metadata=self.person.metadata)
        return await self.client.ended(self.person, answer.job) if wait_ms == 5_000 else answer.job

    async def extend(self, count: int = 0, **more: object) -> jobs_pb2.Job:
        request = jobwork_pb2.CreateExtensionJobRequest(
            idempotency_key=new_id(),
            playlist_id=self.playlist_id,
            count=count,
            wait_ms=5_000,
            **more,  # type: ignore[arg-type]  # any field
        )
        answer = await self.stub.CreateExtensionJob(request, timeout=TIMEOUT_S, metadata=self.person.metadata)
        return await self.client.ended(self.person, answer.job)

    async def suggested(
        self, state: jobwork_pb2.SuggestionState.ValueType = PROPOSED, page_size: int = 100
    ) -> list[tuple[str, float]]:
        found: list[tuple[str, float]] = []
        token = ""
        while True:
            request = jobwork_pb2.ListSuggestionsRequest(
                playlist_id=self.playlist_id, state=state, page_size=page_size, page_token=token
            )
            answer = await self.stub.ListSuggestions(request, timeout=TIMEOUT_S, metadata=self.person.metadata)
            found += [(one.track_id, one.similarity) for one in answer.suggestions]
            token = answer.next_page_token
            if not token:
                return found

    async def judge(
        self, accept: list[str] | None = None, reject: list[str] | None = None
    ) -> jobwork_pb2.JudgeSuggestionsResponse:
        request = jobwork_pb2.JudgeSuggestionsRequest(
            playlist_id=self.playlist_id, accept_track_ids=accept or [], reject_track_ids=reject or []
        )
        return await self.stub.JudgeSuggestions(request, timeout=TIMEOUT_S, metadata=self.person.metadata)

    async def schedule(
        self, every: jobwork_pb2.SchedulePeriod.ValueType, first_at: datetime | None = None
    ) -> jobwork_pb2.Schedule:
        first = None
        if first_at is not None:
            first = Timestamp()
            first.FromDatetime(first_at)
        request = jobwork_pb2.SetScheduleRequest(playlist_id=self.playlist_id, every=every, first_at=first)
        return (await self.stub.SetSchedule(request, timeout=TIMEOUT_S, metadata=self.person.metadata)).schedule

    async def get_schedule(self) -> jobwork_pb2.GetScheduleResponse:
        request = jobwork_pb2.GetScheduleRequest(playlist_id=self.playlist_id)
        return await self.stub.GetSchedule(request, timeout=TIMEOUT_S, metadata=self.person.metadata)

    async def tracks(self, playlist_id: str = "") -> list[str]:
        answer = await self.client.playlist(self.person, playlist_id or self.playlist_id)
        assert [entry.position for entry in answer.entries] == list(range(len(answer.entries)))
        return [entry.track_id for entry in answer.entries]

    async def version(self) -> int:
        return (await self.client.playlist(self.person, self.playlist_id)).playlist.version

    async def add_by_hand(self, sql: Sql, track_id: str, position: int) -> None:
        """What a person adds: it stands at a place, and the others make room."""
        async with sql.transaction():
            await sql.execute(
                "UPDATE playlist_entries SET position = position + 1 WHERE playlist_id = $1 AND position >= $2",
                self.playlist_id,
                position,
            )
            await sql.execute(
                "INSERT INTO playlist_entries (entry_id, playlist_id, track_id, position, added_by)"
                " VALUES ($1, $2, $3, $4, $5)",
                new_id(),
                self.playlist_id,
                track_id,
                position,
                self.person.user_id,
            )


@pytest.fixture
async def desk(mesh: Mesh, social: Client, library: Library) -> AsyncIterator[Desk]:
    person = await social.sign_up("jay")
    job = await social.generate(person, jobs_pb2.GenerationSeed(track_id=library.track_ids[0]), length=2)
    assert job.state == SUCCEEDED
    yield Desk(social, person, job.playlist_id)
    mesh.retriever.gate.opened.set()


async def told(sql: Sql, mesh: Mesh) -> list[str]:
    """Subjects of everything on the stream of what people do."""
    await until(lambda: sql.fetchval("SELECT count(*) = 0 FROM outbox"))
    bus = await mesh.bus("social")
    info = await bus.jetstream.stream_info("PEOPLE_EVENTS")
    return [
        (await bus.jetstream.get_msg("PEOPLE_EVENTS", sequence)).subject or ""
        for sequence in range(max(1, info.state.first_seq), info.state.last_seq + 1)
    ]


async def test_what_was_generated_is_replaced_and_what_a_person_added_stays(
    mesh: Mesh, library: Library, desk: Desk, sql: Sql
) -> None:
    ids = library.track_ids
    assert await desk.tracks() == ids[:3]
    await desk.add_by_hand(sql, ids[5], 0)
    await desk.add_by_hand(sql, ids[1], 2)
    assert await desk.tracks() == [ids[5], ids[0], ids[1], ids[1], ids[2]]
    mesh.retriever.track_ids = [ids[1], ids[4], ids[3]]
    job = await desk.regenerate()
    assert (job.state, job.kind, job.playlist_id) == (SUCCEEDED, jobs_pb2.JOB_KIND_REGENERATION, desk.playlist_id)
    # What was added is not chosen a second time: the retriever is told, and may err.
    assert sorted(mesh.retriever.requests[-1].filter.blocked_track_ids) == sorted([ids[5], ids[1]])
    assert await desk.tracks() == [ids[0], ids[4], ids[5], ids[1]]
    assert await desk.version() == 2
    rows = await sql.fetch(
        "SELECT added_by FROM playlist_entries WHERE playlist_id = $1 ORDER BY position", desk.playlist_id
    )
    assert [row["added_by"] is None for row in rows] == [True, True, False, False]
    assert (await told(sql, mesh)).count("museed.social.v1.playlist_changed") == 1


async def test_another_playlist_is_made_and_the_first_stays(mesh: Mesh, library: Library, desk: Desk, sql: Sql) -> None:
    ids = library.track_ids
    mesh.retriever.track_ids = [ids[4], ids[3]]
    await sql.execute("UPDATE playlists SET description = 'Of rain'")
    job = await desk.regenerate(replace=False)
    assert job.state == SUCCEEDED
    assert job.playlist_id != desk.playlist_id
    assert await desk.tracks(job.playlist_id) == [ids[0], ids[4], ids[3]]
    assert (await desk.tracks(), await desk.version()) == (ids[:3], 1)
    assert (await desk.client.playlist(desk.person, job.playlist_id)).playlist.description == "Of rain"


async def test_recipe_is_read_as_it_was_followed(mesh: Mesh, library: Library, desk: Desk, sql: Sql) -> None:
    ids = library.track_ids

    async def recipe(playlist_id: str, who: Person = desk.person) -> jobwork_pb2.GetRecipeResponse:
        request = jobwork_pb2.GetRecipeRequest(playlist_id=playlist_id)
        return await desk.stub.GetRecipe(request, timeout=TIMEOUT_S, metadata=who.metadata)

    seeds = [jobs_pb2.GenerationSeed(track_id=ids[0], weight=2.0), jobs_pb2.GenerationSeed(track_id=ids[1])]
    rock = jobs_pb2.TrackFilter(genres=["Rock"])
    made = await desk.client.generate(desk.person, *seeds, length=3, temperature=0.5, filter=rock)
    assert made.state == SUCCEEDED
    found = await recipe(made.playlist_id)
    assert [(seed.track_id, seed.weight) for seed in found.recipe.seeds] == [(ids[0], 2.0), (ids[1], 1.0)]
    assert (found.recipe.length, found.recipe.temperature, found.encoder_id) == (3, 0.5, ENCODER_ID)
    assert list(found.recipe.filter.genres) == ["Rock"]
    assert found.recipe.HasField("random_seed")
    shown = await desk.client.playlist(desk.person, made.playlist_id)
    stored = await sql.fetch(
        "SELECT seed_similarities FROM playlist_entries WHERE playlist_id = $1 ORDER BY position", made.playlist_id
    )
    assert [list(entry.seed_similarities) for entry in shown.entries] == [row["seed_similarities"] for row in stored]
    assert any(entry.seed_similarities for entry in shown.entries)
    await sql.execute(
        "UPDATE playlists SET recipe = NULL, visibility = 'PUBLIC' WHERE playlist_id = $1", desk.playlist_id
    )
    with pytest.raises(FailedPrecondition) as refusal:
        await recipe(desk.playlist_id)
    assert refusal.value.reason == "NO_RECIPE"
    with pytest.raises(NotFound):
        await recipe(desk.playlist_id, library.admin)


async def test_recipes_and_schedules_of_many_are_told_to_their_owner_alone(library: Library, desk: Desk) -> None:
    ids, client, person = library.track_ids, desk.client, desk.person
    made = await client.generate(person, jobs_pb2.GenerationSeed(track_id=ids[1]), length=2)
    foreign = await client.generate(library.admin, jobs_pb2.GenerationSeed(track_id=ids[0]), length=1)
    asked = [made.playlist_id, desk.playlist_id, foreign.playlist_id, new_id(), "x", made.playlist_id]
    recipes = jobwork_pb2.BatchGetRecipesRequest(playlist_ids=asked)
    schedules = jobwork_pb2.BatchGetSchedulesRequest(playlist_ids=asked)

    async def told_to(who: Person) -> tuple[dict[str, jobwork_pb2.KeptRecipe], list[jobwork_pb2.Schedule]]:
        found = await desk.stub.BatchGetRecipes(recipes, timeout=TIMEOUT_S, metadata=who.metadata)
        planned = await desk.stub.BatchGetSchedules(schedules, timeout=TIMEOUT_S, metadata=who.metadata)
        assert len(found.recipes) == len({one.playlist_id for one in found.recipes})
        return {one.playlist_id: one for one in found.recipes}, list(planned.schedules)

    daily = await desk.schedule(DAILY)
    kept, planned = await told_to(person)
    assert set(kept) == {made.playlist_id, desk.playlist_id}
    for playlist_id, one in kept.items():
        alone = await desk.stub.GetRecipe(
            jobwork_pb2.GetRecipeRequest(playlist_id=playlist_id), timeout=TIMEOUT_S, metadata=person.metadata
        )
        assert (one.recipe, one.encoder_id) == (alone.recipe, alone.encoder_id)
    assert planned == [daily]
    kept, planned = await told_to(library.admin)
    assert (set(kept), planned) == ({foreign.playlist_id}, [])


async def test_playlists_of_a_batch_are_bounded(desk: Desk) -> None:
    many = [new_id()] * 101
    for call in (
        desk.stub.BatchGetRecipes(
            jobwork_pb2.BatchGetRecipesRequest(playlist_ids=many), timeout=TIMEOUT_S, metadata=desk.person.metadata
        ),
        desk.stub.BatchGetSchedules(
            jobwork_pb2.BatchGetSchedulesRequest(playlist_ids=many), timeout=TIMEOUT_S, metadata=desk.person.metadata
        ),
    ):
        with pytest.raises(InvalidArgument) as refusal:
            await call
        assert (refusal.value.field, refusal.value.value, refusal.value.limit) == ("playlist_ids", "101", "100")


async def test_list_that_is_edited_meanwhile_is_begun_again_and_given_up_after_three_times(
    mesh: Mesh, library: Library, desk: Desk, sql: Sql
) -> None:
    edit = "UPDATE playlists SET version = version + 1"
    mesh.retriever.gate.close()
    job = await desk.regenerate(wait_ms=0)
    await mesh.retriever.gate.reached.wait()
    await sql.execute(edit)
    mesh.retriever.track_ids = [library.track_ids[4]]
    mesh.retriever.gate.opened.set()
    assert (await desk.client.job(desk.person, job.job_id)).state == SUCCEEDED
    assert await desk.tracks() == [library.track_ids[0], library.track_ids[4]]
    asked = len(mesh.retriever.requests)
    mesh.retriever.on_build = lambda: sql.execute(edit)
    job = await desk.regenerate()
    assert (job.state, job.failure_reason, job.attempt) == (FAILED, "PLAYLIST_CHANGED", 1)
    assert len(mesh.retriever.requests) == asked + 3
    assert await desk.tracks() == [library.track_ids[0], library.track_ids[4]]


async def test_what_cannot_be_made_again_is_refused(mesh: Mesh, library: Library, desk: Desk, sql: Sql) -> None:
    recipe = await sql.fetchval("SELECT recipe FROM playlists")
    await sql.execute("UPDATE playlists SET recipe = NULL")
    for call in (desk.regenerate(), desk.schedule(DAILY)):
        with pytest.raises(FailedPrecondition) as refusal:
            await call
        assert refusal.value.reason == "NO_RECIPE"
    await sql.execute("UPDATE playlists SET recipe = $1", recipe)
    upload_id = await desk.client.upload(desk.person)
    made = await desk.client.generate(desk.person, jobs_pb2.GenerationSeed(upload_id=upload_id))
    lent = Desk(desk.client, desk.person, made.playlist_id)
    await sql.execute("UPDATE uploads SET expires_at = now()")
    # Its sound is still known.
    assert (await lent.regenerate()).state == SUCCEEDED
    await sql.execute("DELETE FROM upload_embeddings")
    with pytest.raises(FailedPrecondition) as refusal:
        await lent.regenerate()
    assert (refusal.value.reason, refusal.value.value) == ("UPLOAD_GONE", upload_id)
    # The playlist goes while a job is on its way.
    mesh.retriever.gate.close()
    job = await desk.regenerate(wait_ms=0)
    await mesh.retriever.gate.reached.wait()
    await sql.execute("DELETE FROM playlists WHERE playlist_id = $1", desk.playlist_id)
    mesh.retriever.gate.opened.set()
    ended = await desk.client.job(desk.person, job.job_id)
    assert (ended.state, ended.failure_reason) == (FAILED, "PLAYLIST_NOT_FOUND")


async def test_cancelled_work_leaves_its_playlist_as_it_was(mesh: Mesh, library: Library, desk: Desk, sql: Sql) -> None:
    mesh.retriever.gate.close()
    regeneration = await desk.regenerate(wait_ms=0)
    await mesh.retriever.gate.reached.wait()
    mesh.retriever.gate.reached.clear()
    request = jobwork_pb2.CreateExtensionJobRequest(idempotency_key=new_id(), playlist_id=desk.playlist_id)
    extension = await desk.stub.CreateExtensionJob(request, timeout=TIMEOUT_S, metadata=desk.person.metadata)
    await mesh.retriever.gate.reached.wait()
    for job in (regeneration, extension.job):
        cancel = jobs_pb2.CancelJobRequest(job_id=job.job_id)
        answer = await desk.client.jobs.CancelJob(cancel, timeout=TIMEOUT_S, metadata=desk.person.metadata)
        assert answer.job.state == jobs_pb2.JOB_STATE_CANCELLED
    mesh.retriever.track_ids = library.track_ids[3:]
    mesh.retriever.gate.opened.set()
    # Whatever the two attempts still wanted to write, they would have written before this.
    assert (await desk.regenerate(replace=False)).state == SUCCEEDED
    assert (await desk.tracks(), await desk.version(), await desk.suggested()) == (library.track_ids[:3], 1, [])
    for job in (regeneration, extension.job):
        assert (await desk.client.job(desk.person, job.job_id)).state == jobs_pb2.JOB_STATE_CANCELLED


async def test_judgements_move_the_next_suggestions(mesh: Mesh, library: Library, desk: Desk, sql: Sql) -> None:
    ids = library.track_ids
    job = await desk.extend(2)
    assert (job.state, job.playlist_id, job.kind) == (SUCCEEDED, desk.playlist_id, jobs_pb2.JOB_KIND_EXTENSION)
    first = mesh.retriever.extensions[-1]
    assert (list(first.track_ids), first.count) == (ids[:3], 2)
    assert await desk.suggested() == [(ids[3], 0.75), (ids[4], 0.734375)]
    assert await desk.tracks() == ids[:3]
    answer = await desk.judge(accept=[ids[4]], reject=[ids[3]])
    assert (answer.version, len(answer.entry_ids)) == (2, 1)
    assert await desk.tracks() == [*ids[:3], ids[4]]
    assert [one for one, _ in await desk.suggested(ACCEPTED)] == [ids[4]]
    assert [one for one, _ in await desk.suggested(REJECTED)] == [ids[3]]
    # The same again, and the other way round: what was judged stays so.
    for again in (await desk.judge(accept=[ids[4]], reject=[ids[3]]), await desk.judge([ids[3]], [ids[4]])):
        assert (again.version, list(again.entry_ids)) == (2, [])
    assert (await desk.extend()).state == SUCCEEDED
    second = mesh.retriever.extensions[-1]
    assert list(second.track_ids) == [*ids[:3], ids[4]]
    assert (list(second.accepted_track_ids), list(second.rejected_track_ids)) == ([ids[4]], [ids[3]])
    assert second.count == 10
    assert await desk.suggested() == [(ids[5], 0.75)]
    # What was accepted is the person's: it outlives the next regeneration.
    mesh.retriever.track_ids = [ids[5]]
    await desk.regenerate()
    assert await desk.tracks() == [ids[0], ids[5], ids[4]]
    assert (await told(sql, mesh)).count("museed.social.v1.playlist_changed") == 2


async def test_suggestions_come_in_pages_without_a_gap(library: Library, desk: Desk, sql: Sql) -> None:
    await desk.extend()
    await sql.execute("UPDATE suggestions SET similarity = 0.1")
    whole = await desk.suggested()
    assert len(whole) == 3
    assert await desk.suggested(page_size=1) == whole


async def test_wrong_judgements_change_nothing(library: Library, desk: Desk, sql: Sql) -> None:
    ids = library.track_ids
    await desk.extend(2)
    with pytest.raises(NotFound) as refusal:
        await desk.judge(accept=[ids[3], ids[5]])
    assert (refusal.value.reason, refusal.value.field) == ("SUGGESTION_NOT_FOUND", "accept_track_ids[1]")
    for accept, reject, field in (
        ([ids[3]], [ids[3]], "reject_track_ids[0]"),
        (["x"], [], "accept_track_ids[0]"),
        ([ids[3]] * 101, [], "accept_track_ids"),
    ):
        with pytest.raises(InvalidArgument) as wrong:
            await desk.judge(accept, reject)
        assert wrong.value.field == field
    assert await sql.fetchval("SELECT count(*) FROM suggestions WHERE state = 'PROPOSED'") == 2
    assert (await desk.tracks(), await desk.version()) == (ids[:3], 1)
    await sql.execute(
        "INSERT INTO playlist_entries (entry_id, playlist_id, track_id, position)"
        " SELECT gen_random_uuid(), $1, $2, place FROM generate_series(3, 999) AS place",
        desk.playlist_id,
        ids[0],
    )
    with pytest.raises(FailedPrecondition) as full:
        await desk.judge(accept=[ids[3]])
    assert (full.value.reason, full.value.field, full.value.limit) == ("PLAYLIST_FULL", "accept_track_ids", "1000")


async def test_same_suggestion_accepted_many_times_at_once_is_added_once(library: Library, desk: Desk) -> None:
    await desk.extend(1)
    answers = await asyncio.gather(*(desk.judge(accept=[library.track_ids[3]]) for _ in range(8)))
    assert sorted(len(answer.entry_ids) for answer in answers) == [0] * 7 + [1]
    assert (await desk.tracks()).count(library.track_ids[3]) == 1


async def test_empty_playlist_and_one_that_is_too_long_are_not_extended(
    mesh: Mesh, library: Library, desk: Desk, sql: Sql
) -> None:
    await sql.execute(
        "INSERT INTO playlist_entries (entry_id, playlist_id, track_id, position)"
        " SELECT gen_random_uuid(), $1, $2, place FROM generate_series(3, 500) AS place",
        desk.playlist_id,
        library.track_ids[0],
    )
    with pytest.raises(InvalidArgument) as refusal:
        await desk.extend()
    assert (refusal.value.value, refusal.value.limit) == ("501", "500")
    await sql.execute("DELETE FROM playlist_entries")
    with pytest.raises(FailedPrecondition) as empty:
        await desk.extend()
    assert empty.value.reason == "PLAYLIST_EMPTY"
    assert mesh.retriever.extensions == []


async def test_track_that_is_not_heard_yet_holds_no_extension_up(
    mesh: Mesh, library: Library, desk: Desk, sql: Sql
) -> None:
    ids = library.track_ids
    await sql.execute("UPDATE track_embeddings SET state = 'PENDING' WHERE track_id = $1", ids[1])
    assert (await desk.extend()).state == SUCCEEDED
    assert list(mesh.retriever.extensions[-1].track_ids) == [ids[0], ids[2]]


async def test_extension_of_a_playlist_that_goes_meanwhile_says_so(mesh: Mesh, desk: Desk, sql: Sql) -> None:
    # Taken back before it began: by then there is no playlist.
    await sql.execute(
        "CREATE FUNCTION wait_for_it() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN NEW.due_at := now() + interval '1 h'; RETURN NEW; END $$;"
        "CREATE TRIGGER wait_for_it BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION wait_for_it()"
    )
    request = jobwork_pb2.CreateExtensionJobRequest(idempotency_key=new_id(), playlist_id=desk.playlist_id)
    answer = await desk.stub.CreateExtensionJob(request, timeout=TIMEOUT_S, metadata=desk.person.metadata)
    await sql.execute("DELETE FROM playlists")
    await sql.execute("UPDATE jobs SET due_at = now() WHERE finished_at IS NULL")
    ended = await desk.client.job(desk.person, answer.job.job_id)
    assert (ended.state, ended.failure_reason) == (FAILED, "PLAYLIST_NOT_FOUND")


async def test_what_the_owner_blocks_is_never_chosen(mesh: Mesh, library: Library, desk: Desk, sql: Sql) -> None:
    ids = library.track_ids
    await sql.execute("INSERT INTO blocked_tracks VALUES ($1, $2, now())", desk.person.user_id, ids[2])
    artist_id = new_id()
    await sql.execute(
        "INSERT INTO artists (artist_id, name, name_key, search_name) VALUES ($1, 'The Band', 'the band', 'the band')",
        artist_id,
    )
    await sql.execute("INSERT INTO blocked_artists VALUES ($1, $2, now())", desk.person.user_id, artist_id)
    await sql.execute("UPDATE tracks SET missing_since = now() WHERE track_id = $1", ids[4])
    for track_id, spelling in ((ids[4], "The Band"), (ids[5], "THE BÄND")):
        await sql.execute(
            "UPDATE tracks SET artist = $2, artist_id = $3, refined = 1 WHERE track_id = $1",
            track_id,
            spelling,
            artist_id,
        )
    wanted = jobs_pb2.TrackFilter(genres=["Rock"], blocked_artists=["Nobody"])
    job = await desk.client.generate(desk.person, jobs_pb2.GenerationSeed(track_id=ids[0]), filter=wanted)
    assert job.state == SUCCEEDED
    told_filter = mesh.retriever.requests[-1].filter
    assert (list(told_filter.blocked_track_ids), list(told_filter.genres)) == ([ids[2], ids[4]], ["Rock"])
    assert list(told_filter.blocked_artists) == ["Nobody", "THE BÄND", "The Band"]
    # They are not part of the recipe.
    recipe = await sql.fetchval("SELECT recipe::text FROM playlists WHERE playlist_id = $1", job.playlist_id)
    assert "Nobody" in recipe
    assert "The Band" not in recipe
    await desk.extend(filter=wanted)
    assert list(mesh.retriever.extensions[-1].filter.blocked_artists) == ["Nobody", "THE BÄND", "The Band"]
    path = jobs_pb2.PathEnd(to_track_id=ids[1])
    await desk.client.generate(desk.person, jobs_pb2.GenerationSeed(track_id=ids[0]), path=path, length=3)
    assert list(mesh.retriever.paths[-1].filter.blocked_track_ids) == [ids[2], ids[4]]


async def test_schedule_runs_once_whoever_runs_it_and_missed_times_collapse(
    mesh: Mesh, library: Library, desk: Desk, database: Database, sql: Sql
) -> None:
    first = datetime.now(UTC) + timedelta(hours=1)
    made = await desk.schedule(DAILY, first)
    assert made.next_at.ToDatetime(UTC) == first
    late = first + timedelta(days=9, hours=5)
    schedulers = [Scheduler(database, Nudge(), lambda: late) for _ in range(4)]
    mesh.retriever.track_ids = [library.track_ids[4]]
    await asyncio.gather(*(scheduler.step() for scheduler in schedulers))
    await asyncio.gather(*(scheduler.step() for scheduler in schedulers))
    found = (await desk.get_schedule()).schedule
    assert found.next_at.ToDatetime(UTC) == first + timedelta(days=10)
    job = await desk.client.job(desk.person, found.last_job_id)
    assert (job.state, job.kind) == (SUCCEEDED, jobs_pb2.JOB_KIND_REGENERATION)
    assert await sql.fetchval("SELECT count(*) FROM jobs WHERE kind = 'REGENERATION'") == 1
    assert await desk.tracks() == [library.track_ids[0], library.track_ids[4]]
    assert (await told(sql, mesh)).count("museed.social.v1.schedule_ran") == 1


async def test_time_of_a_schedule_has_one_job_though_that_has_ended_already(
    desk: Desk, database: Database, sql: Sql
) -> None:
    first = datetime.now(UTC) + timedelta(hours=1)
    await desk.schedule(DAILY, first)
    await sql.execute(
        "CREATE FUNCTION end_at_once() RETURNS trigger LANGUAGE plpgsql AS $$"
        " BEGIN NEW.state := 'CANCELLED'; NEW.finished_at := now(); RETURN NEW; END $$;"
        "CREATE TRIGGER end_at_once BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION end_at_once()"
    )
    schedulers = [Scheduler(database, Nudge(), lambda: first) for _ in range(4)]
    await asyncio.gather(*(scheduler.step() for scheduler in schedulers))
    assert await sql.fetchval("SELECT count(*) FROM jobs WHERE kind = 'REGENERATION'") == 1
    later = [Scheduler(database, Nudge(), lambda: first + timedelta(days=1)) for _ in range(4)]
    await asyncio.gather(*(scheduler.step() for scheduler in later))
    assert await sql.fetchval("SELECT count(*) FROM jobs WHERE kind = 'REGENERATION'") == 2


async def test_schedule_waits_for_its_last_job_and_leaves_who_is_suspended_alone(
    mesh: Mesh, desk: Desk, database: Database, sql: Sql
) -> None:
    first = datetime.now(UTC) + timedelta(hours=1)
    await desk.schedule(DAILY, first)
    mesh.retriever.gate.close()
    for day in (0, 1, 2):
        at = first + timedelta(days=day)
        await Scheduler(database, Nudge(), lambda at=at: at).step()  # type: ignore[misc]  # bound now
    assert await sql.fetchval("SELECT count(*) FROM jobs WHERE kind = 'REGENERATION'") == 1
    assert (await desk.get_schedule()).schedule.next_at.ToDatetime(UTC) == first + timedelta(days=3)
    mesh.retriever.gate.opened.set()
    await until(lambda: sql.fetchval("SELECT count(*) = 0 FROM jobs WHERE finished_at IS NULL"))
    await sql.execute("UPDATE users SET suspended_at = now() WHERE user_id = $1", desk.person.user_id)
    await Scheduler(database, Nudge(), lambda: first + timedelta(days=3)).step()
    assert await sql.fetchval("SELECT count(*) FROM jobs WHERE kind = 'REGENERATION'") == 1


async def test_schedule_is_set_cleared_and_goes_with_its_playlist(desk: Desk, sql: Sql) -> None:
    assert not (await desk.get_schedule()).HasField("schedule")
    await desk.schedule(DAILY)
    changed = await desk.schedule(MONTHLY, datetime.now(UTC) + timedelta(days=30))
    assert changed.every == MONTHLY
    assert (await desk.get_schedule()).schedule == changed
    for first_at in (datetime.now(UTC) - timedelta(minutes=1), datetime.now(UTC) + timedelta(days=32)):
        with pytest.raises(InvalidArgument) as refusal:
            await desk.schedule(DAILY, first_at)
        assert (refusal.value.reason, refusal.value.field) == ("OUT_OF_RANGE", "first_at")
    for no_time in (Timestamp(seconds=10**15), Timestamp(seconds=1, nanos=-1)):
        wrong = jobwork_pb2.SetScheduleRequest(playlist_id=desk.playlist_id, every=DAILY, first_at=no_time)
        with pytest.raises(InvalidArgument) as refusal:
            await desk.stub.SetSchedule(wrong, timeout=TIMEOUT_S, metadata=desk.person.metadata)
        assert (refusal.value.reason, refusal.value.field) == ("MALFORMED", "first_at")
    request = jobwork_pb2.ClearScheduleRequest(playlist_id=desk.playlist_id)
    for _ in range(2):
        await desk.stub.ClearSchedule(request, timeout=TIMEOUT_S, metadata=desk.person.metadata)
    assert not (await desk.get_schedule()).HasField("schedule")
    await desk.schedule(DAILY)
    await sql.execute("DELETE FROM playlists")
    assert await sql.fetchval("SELECT count(*) FROM schedules") == 0


async def test_schedules_of_a_person_are_bounded(desk: Desk, library: Library, sql: Sql) -> None:
    await desk.schedule(DAILY)
    await sql.execute(
        "WITH made AS (INSERT INTO playlists (playlist_id, owner_id, title, visibility)"
        " SELECT gen_random_uuid(), $1, 'More', 'PRIVATE' FROM generate_series(1, 49) RETURNING playlist_id)"
        " INSERT INTO schedules (playlist_id, user_id, every, next_at)"
        " SELECT playlist_id, $1, 'DAILY', now() + interval '1 h' FROM made",
        desk.person.user_id,
    )
    await desk.schedule(MONTHLY)  # in the place of its own
    other = await desk.client.generate(desk.person, jobs_pb2.GenerationSeed(track_id=library.track_ids[0]))
    with pytest.raises(ResourceExhausted) as refusal:
        await Desk(desk.client, desk.person, other.playlist_id).schedule(DAILY)
    assert (refusal.value.reason, refusal.value.value, refusal.value.limit) == ("TOO_MANY_SCHEDULES", "50", "50")
    assert await sql.fetchval("SELECT count(*) FROM schedules") == 50


async def test_scheduled_run_that_fails_is_notified_at_once(
    mesh: Mesh, desk: Desk, database: Database, sql: Sql
) -> None:
    first = datetime.now(UTC) + timedelta(hours=1)
    await desk.schedule(DAILY, first)
    await Scheduler(database, Nudge(), lambda: first).step()
    await until(lambda: sql.fetchval("SELECT count(*) = 0 FROM jobs WHERE finished_at IS NULL"))
    assert await sql.fetchval("SELECT count(*) FROM notifications") == 0
    mesh.retriever.failure = FailedPrecondition("no", reason="NOT_TODAY")
    assert (await desk.regenerate()).state == FAILED
    assert await sql.fetchval("SELECT count(*) FROM notifications") == 0
    await Scheduler(database, Nudge(), lambda: first + timedelta(days=1)).step()
    await until(lambda: sql.fetchval("SELECT count(*) = 0 FROM jobs WHERE finished_at IS NULL"))
    row = await sql.fetchrow("SELECT kind, subject_id = (SELECT last_job_id FROM schedules) FROM notifications")
    assert row is not None
    assert tuple(row) == ("JOB_ENDED", True)


async def test_one_schedule_that_fails_leaves_the_others_going(
    desk: Desk, library: Library, database: Database, sql: Sql
) -> None:
    other = await desk.client.generate(desk.person, jobs_pb2.GenerationSeed(track_id=library.track_ids[0]))
    first = datetime.now(UTC) + timedelta(hours=1)
    await desk.schedule(DAILY, first)
    await Desk(desk.client, desk.person, other.playlist_id).schedule(DAILY, first + timedelta(minutes=1))
    await sql.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;"
        "CREATE TRIGGER refuse BEFORE UPDATE ON schedules FOR EACH ROW"
        f" WHEN (OLD.playlist_id = '{desk.playlist_id}') EXECUTE FUNCTION refuse()"
    )
    # Read one by one, so that the first one stands in front of the second.
    await Scheduler(database, Nudge(), lambda: first + timedelta(hours=1), batch_size=1).step()
    assert await sql.fetchval("SELECT request ->> 'target' FROM jobs WHERE kind = 'REGENERATION'") == other.playlist_id


async def test_jobs_are_listed_newest_first_to_whom_they_concern(library: Library, desk: Desk, sql: Sql) -> None:
    client, person = desk.client, desk.person
    ids = [(await desk.regenerate()).job_id for _ in range(3)]
    foreign = await client.generate(library.admin, jobs_pb2.GenerationSeed(track_id=library.track_ids[0]))

    async def mine(*, open_only: bool = False) -> list[str]:
        found: list[str] = []
        token = ""
        while True:
            request = jobwork_pb2.ListMyJobsRequest(open_only=open_only, page_size=2, page_token=token)
            answer = await desk.stub.ListMyJobs(request, timeout=TIMEOUT_S, metadata=person.metadata)
            found += [job.job_id for job in answer.jobs]
            token = answer.next_page_token
            if not token:
                return found

    whole = await mine()
    assert whole[:3] == ids[::-1]
    assert len(whole) == 4
    assert await mine(open_only=True) == []
    await sql.execute(
        "UPDATE jobs SET state = 'QUEUED', finished_at = NULL, due_at = now() + interval '1 h' WHERE job_id = $1",
        ids[1],
    )
    assert await mine(open_only=True) == [ids[1]]
    for request, expected in (
        (jobwork_pb2.ListJobsRequest(), [foreign.job_id, *whole]),
        (jobwork_pb2.ListJobsRequest(kind=jobs_pb2.JOB_KIND_REGENERATION), ids[::-1]),
        (jobwork_pb2.ListJobsRequest(state=jobs_pb2.JOB_STATE_QUEUED), [ids[1]]),
    ):
        answer = await desk.stub.ListJobs(request, timeout=TIMEOUT_S, metadata=library.admin.metadata)
        assert [one.job.job_id for one in answer.jobs] == expected
        assert all(one.user_id in (person.user_id, library.admin.user_id) for one in answer.jobs)


async def test_end_that_nobody_can_have_waited_for_is_notified(
    mesh: Mesh, library: Library, desk: Desk, sql: Sql
) -> None:
    assert (await desk.regenerate()).state == SUCCEEDED
    assert await sql.fetchval("SELECT count(*) FROM notifications") == 0
    told = []
    for end in (None, FailedPrecondition("no", reason="NOT_TODAY")):
        mesh.retriever.gate.close()
        job = await desk.regenerate(wait_ms=0)
        await mesh.retriever.gate.reached.wait()
        await sql.execute("UPDATE jobs SET created_at = created_at - interval '6 s' WHERE job_id = $1", job.job_id)
        mesh.retriever.failure = end
        mesh.retriever.gate.opened.set()
        told.append((await desk.client.job(desk.person, job.job_id)).job_id)
    rows = await sql.fetch("SELECT user_id, kind, subject_id FROM notifications ORDER BY notification_id")
    assert [(str(row["user_id"]), row["kind"], str(row["subject_id"])) for row in rows] == [
        (desk.person.user_id, "JOB_ENDED", job_id) for job_id in told
    ]
