"""Jobs from a request to a playlist, through crashes, cancellation and parts that are away."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from museed.social.v1 import events_pb2, jobs_pb2, playlists_pb2
from services.chassis.bus import SOCIAL_EVENTS, VECTORS
from services.chassis.errors import (
    DomainError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
)
from services.social.domain.ids import new_id
from services.social.store import jobs
from services.social.store.database import Database
from services.social.store.locks import LaneLocks
from services.social.store.outbox import Kind, Lane
from tests.conftest import free_port
from tests.integration.social.conftest import (
    TIMEOUT_S,
    Client,
    Library,
    Mesh,
    Person,
    Sql,
    make_library,
    registration,
    sha,
    until,
)
from tests.integration.social.fakes import ENCODER_ID, serving_retriever, unit_vector

QUEUED = jobs_pb2.JOB_STATE_QUEUED
EMBEDDING = jobs_pb2.JOB_STATE_EMBEDDING
SEARCHING = jobs_pb2.JOB_STATE_SEARCHING
ARRANGING = jobs_pb2.JOB_STATE_ARRANGING
SUCCEEDED = jobs_pb2.JOB_STATE_SUCCEEDED
FAILED = jobs_pb2.JOB_STATE_FAILED
CANCELLED = jobs_pb2.JOB_STATE_CANCELLED


@pytest.fixture
async def person(social: Client, library: Library) -> Person:
    """Somebody who is not the admin, with a library to choose from."""
    return await social.sign_up("jay")


def track_seed(track_id: str, weight: float = 0.0) -> jobs_pb2.GenerationSeed:
    return jobs_pb2.GenerationSeed(track_id=track_id, weight=weight)


def upload_seed(upload_id: str) -> jobs_pb2.GenerationSeed:
    return jobs_pb2.GenerationSeed(upload_id=upload_id)


async def cancel(social: Client, who: Person, job_id: str) -> jobs_pb2.Job:
    request = jobs_pb2.CancelJobRequest(job_id=job_id)
    return (await social.jobs.CancelJob(request, timeout=TIMEOUT_S, metadata=who.metadata)).job


async def told_states(mesh: Mesh, sql: Sql, job_id: str) -> list[events_pb2.JobProgressed]:
    """Everything that was published of a job, in order."""
    await until(lambda: sql.fetchval("SELECT count(*) = 0 FROM outbox"))
    bus = await mesh.bus("social")
    info = await bus.jetstream.stream_info(SOCIAL_EVENTS)
    found = []
    for sequence in range(max(1, info.state.first_seq), info.state.last_seq + 1):
        message = await bus.jetstream.get_msg(SOCIAL_EVENTS, sequence)
        if message.subject == "museed.social.v1.job_progressed":
            event = events_pb2.JobProgressed.FromString(message.data or b"")
            if event.job_id == job_id:
                found.append(event)
    return found


async def test_library_seed_becomes_a_playlist_while_the_caller_waits(
    mesh: Mesh, social: Client, library: Library, person: Person, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing but the bell of its end lets the caller go before this test is over.
    monkeypatch.setattr("services.social.servicer.jobs.to_wait_s", lambda wait_ms: 600.0)
    monkeypatch.setattr("services.social.servicer.desk._REREAD_INTERVAL_S", 600.0)
    monkeypatch.setattr("tests.integration.social.client.TIMEOUT_S", 600.0)
    async with asyncio.timeout(60):
        job = await social.generate(person, track_seed(library.track_ids[0], 2.0), length=3, max_per_artist=2)
    assert (job.state, job.progress, job.attempt) == (SUCCEEDED, 1.0, 1)
    assert job.HasField("finished_at")
    found = await social.playlist(person, job.playlist_id)
    assert [entry.track_id for entry in found.entries] == library.track_ids[:4]
    assert [entry.position for entry in found.entries] == [0, 1, 2, 3]
    assert [entry.is_seed for entry in found.entries] == [True, False, False, False]
    assert [entry.similarity for entry in found.entries] == [1.0, 0.5, 0.5, 0.5]
    assert [list(entry.shared_tags) for entry in found.entries] == [[], ["guitar"], ["guitar"], ["guitar"]]
    assert [entry.nearest_seed for entry in found.entries] == [0, 0, 1, 2]
    assert [entry.quantile for entry in found.entries if entry.HasField("quantile")] == [0.75] * 3
    assert [entry.added_by for entry in found.entries] == [""] * 4
    assert len({entry.entry_id for entry in found.entries}) == 4
    playlist = found.playlist
    assert (playlist.title, playlist.owner_id, playlist.encoder_id, playlist.visibility) == (
        "Like “Track 0” by Somebody",
        person.user_id,
        ENCODER_ID,
        playlists_pb2.VISIBILITY_PRIVATE,
    )
    assert (playlist.entry_count, playlist.duration_seconds, playlist.version) == (4, 4 * 60.0, 1)
    (request,) = mesh.retriever.requests
    assert (request.length, request.max_per_artist, request.include_seed) == (3, 2, True)
    assert not request.HasField("min_similarity")
    assert (request.seeds[0].track_id, request.seeds[0].weight) == (library.track_ids[0], 2.0)
    info = await (await mesh.bus("social")).jetstream.stream_info(VECTORS)
    assert request.min_read_point.sequence == info.state.last_seq
    told = await told_states(mesh, sql, job.job_id)
    assert [event.state for event in told] == [QUEUED, SEARCHING, ARRANGING, SUCCEEDED]
    assert told[-1].playlist_id == job.playlist_id
    assert [event.progress for event in told] == sorted(event.progress for event in told)


async def test_upload_is_heard_once_under_a_token_of_its_job(
    mesh: Mesh, social: Client, library: Library, person: Person, sql: Sql
) -> None:
    upload_id = await social.upload(person, sha("demo"), "01 - My_Demo.wav")
    first = await social.generate(person, upload_seed(upload_id), track_seed(library.track_ids[0]))
    second = await social.generate(person, upload_seed(upload_id))
    assert (first.state, second.state) == (SUCCEEDED, SUCCEEDED)
    assert mesh.embedder.heard == [sha("demo")]
    assert mesh.embedder.callers == [(person.user_id, first.job_id)]
    seed = mesh.retriever.requests[1].seeds[0]
    assert (seed.vector, seed.weight, seed.audio_hash) == (unit_vector(sha("demo")), 1.0, b"")
    # By its length the retriever knows a copy in another format, whether it was heard just now or for another job.
    assert [request.seeds[0].duration_seconds for request in mesh.retriever.requests] == [61.5, 61.5]
    titles = [(await social.playlist(person, job.playlist_id)).playlist.title for job in (first, second)]
    assert titles == ["Like “My Demo” and 1 more", "Like “My Demo”"]
    told = await told_states(mesh, sql, first.job_id)
    assert [event.state for event in told] == [QUEUED, EMBEDDING, SEARCHING, ARRANGING, SUCCEEDED]


async def test_upload_of_a_file_of_the_library_names_its_recording(mesh: Mesh, social: Client, person: Person) -> None:
    upload_id = await social.upload(person, sha("file Track 3"))
    await social.generate(person, upload_seed(upload_id))
    assert mesh.retriever.requests[0].seeds[0].audio_hash == sha("audio Track 3")


async def test_given_title_and_visibility_are_kept(social: Client, library: Library, person: Person) -> None:
    request = jobs_pb2.CreateGenerationJobRequest(
        idempotency_key="key",
        recipe=jobs_pb2.Recipe(seeds=[track_seed(library.track_ids[0])]),
        title=" Mine ",
        visibility=playlists_pb2.VISIBILITY_PUBLIC,
        wait_ms=5_000,
    )
    answer = await social.jobs.CreateGenerationJob(request, timeout=TIMEOUT_S, metadata=person.metadata)
    found = await social.playlist(None, (await social.ended(person, answer.job)).playlist_id)
    assert found.playlist.title == "Mine"


async def test_same_key_returns_the_same_job_and_another_request_is_refused(
    social: Client, library: Library, person: Person, sql: Sql
) -> None:
    seed = track_seed(library.track_ids[0])
    jobs_made = await asyncio.gather(*(social.generate(person, seed, key="k", length=2) for _ in range(5)))
    assert len({job.job_id for job in jobs_made}) == 1
    assert {job.state for job in jobs_made} == {SUCCEEDED}
    assert await sql.fetchval("SELECT count(*) FROM playlists") == 1
    with pytest.raises(InvalidArgument) as refusal:
        await social.generate(person, seed, key="k", length=3)
    assert (refusal.value.reason, refusal.value.field) == ("IDEMPOTENCY_KEY_REUSED", "idempotency_key")
    other = await social.sign_up()
    assert (await social.generate(other, seed, key="k", length=3)).job_id != jobs_made[0].job_id
    await sql.execute("UPDATE idempotency_keys SET expires_at = now()")
    assert (await social.generate(person, seed, key="k", length=3)).job_id != jobs_made[0].job_id


@pytest.mark.parametrize(
    ("recipe", "field", "value", "limit"),
    [
        ({"length": 0}, "recipe.length", "0", "1"),
        ({"length": 10_000}, "recipe.length", "10000", "500"),
        ({"max_per_artist": 0}, "recipe.max_per_artist", "0", "1"),
        ({"min_similarity": -2.0}, "recipe.min_similarity", "-2", "-1"),
    ],
)
async def test_wrong_recipe_names_field_value_and_limit(
    social: Client,
    library: Library,
    person: Person,
    sql: Sql,
    recipe: dict[str, object],
    field: str,
    value: str,
    limit: str,
) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        await social.generate(person, track_seed(library.track_ids[0]), **recipe)  # type: ignore[arg-type]  # a field
    error = refusal.value
    assert (error.reason, error.field, error.value, error.limit) == ("OUT_OF_RANGE", field, value, limit)
    assert await sql.fetchval("SELECT count(*) FROM jobs") == 0
    assert await sql.fetchval("SELECT count(*) FROM idempotency_keys") == 0


async def test_seeds_that_cannot_be_used_are_named(social: Client, library: Library, person: Person, sql: Sql) -> None:
    unknown, foreign = new_id(), await social.upload(library.admin)
    (pending,) = await social.register(library.admin, library.root_id, [registration("pending")])
    (failed,) = await social.register(library.admin, library.root_id, [registration("failed")])
    await sql.execute(
        "UPDATE track_embeddings SET state = 'FAILED', failure_reason = 'AUDIO_SILENT', failure_message = 'silent'"
        " WHERE track_id = $1",
        failed.track_id,
    )
    good = track_seed(library.track_ids[0])
    cases: list[tuple[list[jobs_pb2.GenerationSeed], type[DomainError], str, str, str]] = [
        ([], InvalidArgument, "REQUIRED", "recipe.seeds", ""),
        ([good, track_seed(unknown)], NotFound, "TRACK_NOT_FOUND", "recipe.seeds[1].track_id", unknown),
        ([upload_seed(foreign)], NotFound, "UPLOAD_NOT_FOUND", "recipe.seeds[0].upload_id", foreign),
        (
            [track_seed(pending.track_id)],
            FailedPrecondition,
            "TRACK_NOT_READY",
            "recipe.seeds[0].track_id",
            pending.track_id,
        ),
        (
            [track_seed(failed.track_id)],
            FailedPrecondition,
            "TRACK_FAILED",
            "recipe.seeds[0].track_id",
            failed.track_id,
        ),
    ]
    for seeds, kind, reason, field, value in cases:
        with pytest.raises(kind) as refusal:
            await social.generate(person, *seeds)
        assert (refusal.value.reason, refusal.value.field, refusal.value.value) == (reason, field, value)
    assert await sql.fetchval("SELECT count(*) FROM jobs") == 0


async def test_keys_waits_and_titles_have_limits(social: Client, library: Library, person: Person) -> None:
    recipe = jobs_pb2.Recipe(seeds=[track_seed(library.track_ids[0])])
    cases = [
        (jobs_pb2.CreateGenerationJobRequest(recipe=recipe), "idempotency_key"),
        (jobs_pb2.CreateGenerationJobRequest(recipe=recipe, idempotency_key="k" * 201), "idempotency_key"),
        (jobs_pb2.CreateGenerationJobRequest(recipe=recipe, idempotency_key="k", wait_ms=5_001), "wait_ms"),
        (jobs_pb2.CreateGenerationJobRequest(recipe=recipe, idempotency_key="k", wait_ms=-1), "wait_ms"),
        (jobs_pb2.CreateGenerationJobRequest(recipe=recipe, idempotency_key="k", title="t" * 201), "title"),
        (
            jobs_pb2.CreateGenerationJobRequest(recipe=recipe, idempotency_key="k", visibility=99),  # type: ignore[arg-type]
            "visibility",
        ),
        (jobs_pb2.CreateGenerationJobRequest(idempotency_key="k"), "recipe.seeds"),
    ]
    for request, field in cases:
        with pytest.raises(InvalidArgument) as refusal:
            await social.jobs.CreateGenerationJob(request, timeout=TIMEOUT_S, metadata=person.metadata)
        assert refusal.value.field == field


async def test_job_is_its_owners_alone(social: Client, library: Library, person: Person) -> None:
    job = await social.generate(person, track_seed(library.track_ids[0]))
    for who, job_id in ((library.admin, job.job_id), (person, new_id()), (person, "nonsense")):
        for ask in (social.job(who, job_id), cancel(social, who, job_id)):
            with pytest.raises(NotFound) as refusal:
                await ask
            assert (refusal.value.reason, refusal.value.field) == ("JOB_NOT_FOUND", "job_id")


@pytest.mark.parametrize("reason", ["AUDIO_SILENT", "NOT_AUDIO", "AUDIO_TOO_LONG"])
async def test_what_the_embedder_refuses_ends_the_job_with_its_reason(
    mesh: Mesh, social: Client, person: Person, sql: Sql, reason: str
) -> None:
    mesh.embedder.failure = InvalidArgument("a sentence with 912 s and 600 s", reason=reason, field="audio")
    job = await social.generate(person, upload_seed(await social.upload(person)))
    assert (job.state, job.failure_reason, job.failure_message, job.playlist_id, job.attempt) == (
        FAILED,
        reason,
        "a sentence with 912 s and 600 s",
        "",
        1,
    )
    assert (await told_states(mesh, sql, job.job_id))[-1].failure_reason == reason
    assert await sql.fetchval("SELECT count(*) FROM playlists") == 0


async def test_what_the_retriever_refuses_ends_the_job_with_its_reason(
    mesh: Mesh, social: Client, library: Library, person: Person
) -> None:
    mesh.retriever.failure = FailedPrecondition("no track is left of 6", reason="NO_CANDIDATES")
    job = await social.generate(person, track_seed(library.track_ids[0]))
    assert (job.state, job.failure_reason) == (FAILED, "NO_CANDIDATES")
    mesh.retriever.failure = None
    mesh.retriever.track_ids = []
    job = await social.generate(person, track_seed(library.track_ids[0]))
    assert (job.state, job.failure_reason) == (FAILED, "NO_CANDIDATES")


async def until_searching(social: Client, person: Person, job: jobs_pb2.Job) -> None:
    async def is_searching() -> bool:
        return (await social.job(person, job.job_id, wait_ms=0)).state == SEARCHING

    await until(is_searching)


async def test_part_that_is_away_and_comes_back_delays_the_job_only(
    mesh: Mesh, social: Client, library: Library, person: Person
) -> None:
    mesh.retriever.failure = Unavailable("the index is being loaded", reason="INDEX_LOADING")
    job = await social.generate(person, track_seed(library.track_ids[0]), wait_ms=0)
    await until_searching(social, person, job)
    await until(lambda: mesh.retriever.requests)
    mesh.retriever.failure = None
    assert (await social.job(person, job.job_id)).state == SUCCEEDED
    assert len(mesh.retriever.requests) > 1


async def test_retriever_that_was_never_there_is_waited_for(mesh: Mesh, social: Client, library: Library) -> None:
    await mesh.stack.aclose()
    other = f"127.0.0.1:{free_port()}"
    mesh.settings = mesh.settings.model_copy(update={"retriever_address": other})
    client = await mesh.start()
    request = await client.sign_up()
    job = await client.generate(request, track_seed(library.track_ids[0]), wait_ms=0)
    await until_searching(client, request, job)
    async with serving_retriever(mesh.retriever, other, lambda: mesh.settings.listen):
        assert (await client.job(request, job.job_id)).state == SUCCEEDED
        await mesh.stack.aclose()


async def test_job_that_still_fails_for_lack_of_something_is_ended_in_time(mesh: Mesh) -> None:
    mesh.settings = mesh.settings.model_copy(update={"job_give_up_s": 1.0})
    social = await mesh.start()
    library = await make_library(mesh, social)
    mesh.retriever.failure = ResourceExhausted("busy", reason="RETRIEVER_BUSY", retry_after_ms=100)
    job = await social.generate(library.admin, track_seed(library.track_ids[0]))
    assert (job.state, job.failure_reason) == (FAILED, "RETRIEVER_BUSY")
    assert job.attempt > 1


async def test_cancelling_while_the_embedder_listens_wins(mesh: Mesh, social: Client, person: Person, sql: Sql) -> None:
    mesh.embedder.gate.close()
    upload_id = await social.upload(person)
    job = await social.generate(person, upload_seed(upload_id), wait_ms=0)
    await mesh.embedder.gate.reached.wait()
    waiting = asyncio.create_task(social.job(person, job.job_id))
    cancelled = await cancel(social, person, job.job_id)
    assert cancelled.state == CANCELLED
    assert cancelled.HasField("finished_at")
    assert (await waiting).state == CANCELLED
    mesh.embedder.gate.opened.set()
    assert (await cancel(social, person, job.job_id)).state == CANCELLED
    next_job = await social.generate(person, upload_seed(upload_id))
    assert next_job.state == SUCCEEDED
    assert (await social.job(person, job.job_id)).state == CANCELLED
    assert await sql.fetchval("SELECT count(*) FROM playlists") == 1
    assert [event.state for event in await told_states(mesh, sql, job.job_id)] == [QUEUED, EMBEDDING, CANCELLED]


async def test_finished_job_stays_as_it_is_when_cancelled(social: Client, library: Library, person: Person) -> None:
    job = await social.generate(person, track_seed(library.track_ids[0]))
    assert await cancel(social, person, job.job_id) == job


async def test_cancelling_at_any_moment_leaves_one_end(
    mesh: Mesh, social: Client, library: Library, person: Person, sql: Sql
) -> None:
    made = [await social.generate(person, track_seed(library.track_ids[0]), wait_ms=0) for _ in range(12)]

    async def cancel_after(job: jobs_pb2.Job, delay_s: float) -> jobs_pb2.Job:
        await asyncio.sleep(delay_s)
        return await cancel(social, person, job.job_id)

    ended = await asyncio.gather(*(cancel_after(job, number * 0.004) for number, job in enumerate(made)))
    succeeded = [job for job in ended if job.state == SUCCEEDED]
    assert {job.state for job in ended} <= {SUCCEEDED, CANCELLED}
    assert await sql.fetchval("SELECT count(*) FROM playlists") == len(succeeded)
    await asyncio.sleep(0.3)
    for job in ended:
        assert (await social.job(person, job.job_id)).state == job.state
        finals = [
            event.state for event in await told_states(mesh, sql, job.job_id) if event.state in (SUCCEEDED, CANCELLED)
        ]
        assert finals == [job.state]


async def test_open_jobs_of_a_person_are_bounded(mesh: Mesh) -> None:
    mesh.settings = mesh.settings.model_copy(update={"open_jobs_per_user": 2})
    social = await mesh.start()
    library = await make_library(mesh, social)
    person, other = await social.sign_up(), await social.sign_up()
    mesh.retriever.gate.close()
    seed = track_seed(library.track_ids[0])
    results = await asyncio.gather(
        *(social.generate(person, seed, wait_ms=0, key=f"k{number}") for number in range(5)), return_exceptions=True
    )
    refusals = [result for result in results if isinstance(result, ResourceExhausted)]
    assert [(one.reason, one.limit) for one in refusals] == [("TOO_MANY_OPEN_JOBS", "2")] * 3
    made = [(f"k{number}", result) for number, result in enumerate(results) if isinstance(result, jobs_pb2.Job)]
    assert (await social.generate(person, seed, wait_ms=0, key=made[0][0])).job_id == made[0][1].job_id
    await social.generate(other, seed, wait_ms=0)
    mesh.retriever.gate.opened.set()


async def test_job_of_a_worker_that_died_is_taken_over_once(
    mesh: Mesh, social: Client, library: Library, person: Person, database: Database, sql: Sql
) -> None:
    """The dead one still writes: nothing of that may count."""
    mesh.retriever.gate.close()
    job = await social.generate(person, track_seed(library.track_ids[0]), wait_ms=0)
    await mesh.retriever.gate.reached.wait()
    async with database.transaction() as connection:  # else the service itself may be first
        await connection.execute("UPDATE jobs SET lease_until = now() - interval '1 second'")
        taken = await jobs.claim(connection, lease_s=0.0)
    assert taken is not None
    assert (taken.job_id, taken.attempt) == (job.job_id, 2)
    mesh.retriever.gate.opened.set()
    ended = await social.job(person, job.job_id)
    assert (ended.state, ended.attempt) == (SUCCEEDED, 3)
    assert await sql.fetchval("SELECT count(*) FROM playlists") == 1


async def test_end_that_comes_after_the_cancellation_is_not_written(
    mesh: Mesh, social: Client, library: Library, person: Person, sql: Sql
) -> None:
    """Two attempts at once, the second in its last stage, and a cancellation that reaches neither of them."""
    mesh.retriever.gate.close()
    job = await social.generate(person, track_seed(library.track_ids[0]), wait_ms=0)
    await mesh.retriever.gate.reached.wait()
    await sql.execute("UPDATE jobs SET state = 'ARRANGING', progress = 0.9, lease_until = now() - interval '1 s'")
    await until(lambda: len(mesh.retriever.requests) == 2)
    await sql.execute("UPDATE jobs SET state = 'CANCELLED', finished_at = now()")
    mesh.retriever.gate.opened.set()
    assert (await social.generate(person, track_seed(library.track_ids[1]))).state == SUCCEEDED
    assert (await social.job(person, job.job_id)).state == CANCELLED
    assert await sql.fetchval("SELECT count(*) FROM playlists") == 1


async def test_crash_in_the_middle_is_finished_by_the_next_process(
    mesh: Mesh, social: Client, library: Library, person: Person, sql: Sql
) -> None:
    upload_id = await social.upload(person)
    mesh.retriever.gate.close()
    job = await social.generate(person, upload_seed(upload_id), wait_ms=0)
    await mesh.retriever.gate.reached.wait()
    await mesh.stack.aclose()
    assert await sql.fetchval("SELECT state FROM jobs") == "SEARCHING"
    mesh.retriever.gate.opened.set()
    client = await mesh.start()
    ended = await client.job(person, job.job_id)
    assert (ended.state, ended.attempt) == (SUCCEEDED, 2)
    assert len(mesh.embedder.heard) == 1


async def test_job_that_kills_its_workers_is_given_up(
    mesh: Mesh, social: Client, library: Library, person: Person, sql: Sql
) -> None:
    mesh.retriever.gate.close()
    job = await social.generate(person, track_seed(library.track_ids[0]), wait_ms=0)
    await mesh.retriever.gate.reached.wait()
    await sql.execute("UPDATE jobs SET attempt = 5, lease_until = now() - interval '1 second'")
    ended = await social.job(person, job.job_id)
    assert (ended.state, ended.failure_reason) == (FAILED, "JOB_ABANDONED")
    mesh.retriever.gate.opened.set()


async def test_lease_is_renewed_while_work_goes_on(mesh: Mesh, sql: Sql) -> None:
    mesh.settings = mesh.settings.model_copy(update={"job_lease_s": 1.0})
    social = await mesh.start()
    library = await make_library(mesh, social)
    mesh.retriever.gate.close()
    job = await social.generate(library.admin, track_seed(library.track_ids[0]), wait_ms=2_000)
    assert (job.state, job.attempt) == (SEARCHING, 1)
    mesh.retriever.gate.opened.set()
    assert (await social.job(library.admin, job.job_id)).attempt == 1


async def test_two_processes_share_jobs_and_each_hears_of_the_others_ends(mesh: Mesh, sql: Sql) -> None:
    # However slow this machine is, no lease runs out.
    mesh.settings = mesh.settings.model_copy(update={"job_lease_s": 600.0})
    social = await mesh.start()
    library, person = await make_library(mesh, social), await social.sign_up()
    mesh.settings = mesh.settings.model_copy(update={"listen": f"127.0.0.1:{free_port()}"})
    second = await mesh.start()
    clients = [social, second]
    made = await asyncio.gather(
        *(clients[number % 2].generate(person, track_seed(library.track_ids[0]), length=2) for number in range(16))
    )
    assert [job.state for job in made] == [SUCCEEDED] * 16
    assert [job.attempt for job in made] == [1] * 16
    assert await sql.fetchval("SELECT count(*) FROM playlists") == 16


async def test_job_waits_until_the_log_is_whole(
    mesh: Mesh, social: Client, library: Library, person: Person, database_url: str, sql: Sql
) -> None:
    """A lane of the rebuild is held by a publisher that is not done: nothing may be chosen from half an index."""
    track_id = library.track_ids[0]
    lane = Lane(Kind.VECTOR, await sql.fetchval("SELECT hashtextextended($1, 0) & 15", track_id))
    locks = LaneLocks(database_url)
    assert await locks.acquire([lane])
    await sql.execute(
        "INSERT INTO outbox (kind, key, event_id, encoder_id, version) VALUES ('vector', $1, uuidv7(), $2, 2)",
        track_id,
        ENCODER_ID,
    )
    await sql.execute("UPDATE streams SET rebuild_through = (SELECT max(id) FROM outbox) WHERE name = 'VECTORS'")
    job = await social.generate(person, track_seed(track_id), wait_ms=0)
    await until_searching(social, person, job)
    assert mesh.retriever.requests == []
    await locks.close()
    assert (await social.job(person, job.job_id)).state == SUCCEEDED


async def test_wait_ends_with_the_callers_deadline(
    mesh: Mesh, social: Client, library: Library, person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.social.servicer.desk._ANSWER_MARGIN_S", 18.0)
    mesh.retriever.gate.close()
    request = jobs_pb2.CreateGenerationJobRequest(
        idempotency_key="k", recipe=jobs_pb2.Recipe(seeds=[track_seed(library.track_ids[0])]), wait_ms=5_000
    )
    answer = await social.jobs.CreateGenerationJob(request, timeout=20.0, metadata=person.metadata)
    assert answer.job.state in (QUEUED, SEARCHING)
    mesh.retriever.gate.opened.set()


async def test_expired_upload_cannot_be_a_seed_but_its_vector_outlives_it(
    mesh: Mesh, social: Client, library: Library, person: Person, sql: Sql
) -> None:
    upload_id = await social.upload(person)
    mesh.retriever.failure = Unavailable("away")
    job = await social.generate(person, upload_seed(upload_id), wait_ms=0)
    await until_searching(social, person, job)
    await sql.execute("UPDATE uploads SET expires_at = $1", datetime.now(UTC) - timedelta(seconds=1))
    mesh.retriever.failure = None
    assert (await social.job(person, job.job_id)).state == SUCCEEDED
    with pytest.raises(NotFound) as refusal:
        await social.generate(person, upload_seed(upload_id))
    assert refusal.value.reason == "UPLOAD_NOT_FOUND"
