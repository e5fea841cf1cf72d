"""Words as seeds, searches by words and previews: what is asked of whom, and what is refused at once."""

import asyncio
from typing import Any

import pytest

from museed.social.v1 import (
    blocklists_pb2,
    blocklists_pb2_grpc,
    editing_pb2,
    editing_pb2_grpc,
    jobs_pb2,
    jobwork_pb2,
    jobwork_pb2_grpc,
    playlists_pb2,
    sound_pb2,
    sound_pb2_grpc,
)
from services.chassis.errors import (
    DomainError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
)
from services.social.domain.ids import new_id
from tests.integration.social.conftest import TIMEOUT_S, Client, Library, Mesh, Person, Sql, sha
from tests.integration.social.fakes import ENCODER_ID, unit_vector

WORDS = "calm piano on a rainy day"


@pytest.fixture
async def library(mesh: Mesh, library: Library) -> Library:
    """A library whose encoder hears words."""
    mesh.embedder.text_encoder_id = ENCODER_ID
    return library


def words(text: str = WORDS, weight: float = 0) -> jobs_pb2.GenerationSeed:
    return jobs_pb2.GenerationSeed(words=text, weight=weight)


async def search(social: Client, who: Person, **fields: Any) -> sound_pb2.SearchByWordsResponse:
    request = sound_pb2.SearchByWordsRequest(**{"words": WORDS} | fields)
    stub = social.stub(sound_pb2_grpc.SoundServiceStub)
    return await stub.SearchByWords(request, timeout=TIMEOUT_S, metadata=who.metadata)


async def preview(
    social: Client, who: Person, *seeds: jobs_pb2.GenerationSeed, **recipe: Any
) -> sound_pb2.GetPlaylistPreviewResponse:
    request = sound_pb2.GetPlaylistPreviewRequest(recipe=jobs_pb2.Recipe(seeds=seeds, **recipe))
    stub = social.stub(sound_pb2_grpc.SoundServiceStub)
    return await stub.GetPlaylistPreview(request, timeout=TIMEOUT_S, metadata=who.metadata)


async def hears_words(social: Client) -> bool:
    stub = social.stub(sound_pb2_grpc.SoundServiceStub)
    return (await stub.DescribeSearch(sound_pb2.DescribeSearchRequest(), timeout=TIMEOUT_S)).hears_words


async def block(social: Client, who: Person, track_id: str) -> None:
    request = blocklists_pb2.BlockTrackRequest(track_id=track_id)
    stub = social.stub(blocklists_pb2_grpc.BlocklistServiceStub)
    await stub.BlockTrack(request, timeout=TIMEOUT_S, metadata=who.metadata)


async def entries_of(social: Client, who: Person, playlist_id: str) -> playlists_pb2.GetPlaylistResponse:
    request = playlists_pb2.GetPlaylistRequest(playlist_id=playlist_id)
    return await social.playlists.GetPlaylist(request, timeout=TIMEOUT_S, metadata=who.metadata)


async def recipe_of(social: Client, who: Person, playlist_id: str) -> jobs_pb2.Recipe:
    request = jobwork_pb2.GetRecipeRequest(playlist_id=playlist_id)
    stub = social.stub(jobwork_pb2_grpc.PlaylistJobServiceStub)
    return (await stub.GetRecipe(request, timeout=TIMEOUT_S, metadata=who.metadata)).recipe


async def test_words_find_tracks(mesh: Mesh, social: Client, library: Library) -> None:
    person = await social.sign_up()
    await block(social, person, library.track_ids[0])
    found = await search(social, person, words=f"  {WORDS}\n", count=2, filter=jobs_pb2.TrackFilter(genres=["Jazz"]))
    assert [(one.track_id, one.similarity) for one in found.matches] == [
        (library.track_ids[0], 0.5),
        (library.track_ids[1], 0.4375),
    ]
    assert (found.encoder_id, found.prompt) == (ENCODER_ID, f"{WORDS}, music")
    assert mesh.embedder.words == [WORDS]
    ((caller, job_id),) = mesh.embedder.callers
    assert caller == person.user_id
    assert job_id != ""
    (asked,) = mesh.retriever.searches
    assert (asked.vector, asked.encoder_id, asked.k) == (unit_vector(WORDS.encode()), ENCODER_ID, 2)
    assert list(asked.filter.genres) == ["Jazz"]

    found = await search(social, person, leave_out_blocked=True)
    assert [one.track_id for one in found.matches] == library.track_ids[1:]
    assert mesh.retriever.searches[-1].k == 20


async def test_encoder_without_words_says_so_at_once(mesh: Mesh, social: Client, library: Library, sql: Sql) -> None:
    person = await social.sign_up()
    mixed = [jobs_pb2.GenerationSeed(track_id=library.track_ids[0]), words()]
    for text_encoder_id in ("", "mulan-beside"):  # none is loaded; one of another space is
        mesh.embedder.text_encoder_id = text_encoder_id
        for asked, field in (
            (search(social, person), "words"),
            (preview(social, person, *mixed), "recipe.seeds[1].words"),
            (social.generate(person, *mixed), "recipe.seeds[1].words"),
        ):
            with pytest.raises(FailedPrecondition) as refusal:
                await asked
            error = refusal.value
            assert (error.reason, error.field, error.value) == ("WORDS_NOT_HEARD", field, ENCODER_ID)
            assert "start from a track or an upload" in error.message
    assert await sql.fetchval("SELECT count(*) FROM jobs") == 0
    assert (mesh.retriever.searches, mesh.retriever.requests) == ([], [])


async def test_whether_words_are_heard_is_told_to_everybody(mesh: Mesh, social: Client, library: Library) -> None:
    assert await hears_words(social)
    mesh.embedder.text_encoder_id = ""
    assert await hears_words(social)  # asked a moment ago


async def test_text_model_beside_another_encoder_hears_no_words_for_it(
    mesh: Mesh, social: Client, library: Library
) -> None:
    mesh.embedder.text_encoder_id = "mulan-beside"
    assert not await hears_words(social)


async def test_words_are_a_seed(mesh: Mesh, social: Client, library: Library) -> None:
    person = await social.sign_up()
    track_id = library.track_ids[0]
    job = await social.generate(
        person, words(weight=2), jobs_pb2.GenerationSeed(track_id=track_id), words("screams", -0.5), length=3
    )
    assert (job.state, job.failure_reason) == (jobs_pb2.JOB_STATE_SUCCEEDED, "")
    (asked,) = mesh.retriever.requests
    assert [(seed.vector, seed.track_id, seed.weight) for seed in asked.seeds] == [
        (unit_vector(WORDS.encode()), "", 2),
        (b"", track_id, 1),
        (unit_vector(b"screams"), "", -0.5),
    ]
    made = await entries_of(social, person, job.playlist_id)
    assert made.playlist.title == f"Like “{WORDS}” and 2 more"
    kept = await recipe_of(social, person, job.playlist_id)
    assert [(seed.WhichOneof("source"), seed.words, seed.weight) for seed in kept.seeds] == [
        ("words", WORDS, 2),
        ("track_id", "", 1),
        ("words", "screams", -0.5),
    ]


async def test_words_are_kept_from_who_copies(mesh: Mesh, social: Client, library: Library) -> None:
    person, other = await social.sign_up(), await social.sign_up()
    job = await social.generate(person, words(), jobs_pb2.GenerationSeed(track_id=library.track_ids[0]), length=3)
    share = playlists_pb2.UpdatePlaylistRequest(
        playlist_id=job.playlist_id, visibility=playlists_pb2.VISIBILITY_PUBLIC, version=1
    )
    await social.playlists.UpdatePlaylist(share, timeout=TIMEOUT_S, metadata=person.metadata)
    stub = social.stub(editing_pb2_grpc.EditingServiceStub)
    for who, kinds in ((other, ["track_id"]), (person, ["words", "track_id"])):
        request = editing_pb2.CopyPlaylistRequest(idempotency_key=new_id(), playlist_id=job.playlist_id)
        copy = (await stub.CopyPlaylist(request, timeout=TIMEOUT_S, metadata=who.metadata)).playlist
        kept = await recipe_of(social, who, copy.playlist_id)
        assert [seed.WhichOneof("source") for seed in kept.seeds] == kinds


async def test_words_that_nobody_understands_are_refused_before_a_job_is_made(
    mesh: Mesh, social: Client, library: Library, sql: Sql
) -> None:
    person = await social.sign_up()
    for text, reason in (("", "REQUIRED"), (" \t", "REQUIRED"), ("x" * 501, "OUT_OF_RANGE")):
        with pytest.raises(InvalidArgument) as wrong:
            await social.generate(person, words(text))
        assert (wrong.value.reason, wrong.value.field) == (reason, "recipe.seeds[0].words")
        with pytest.raises(InvalidArgument) as wrong:
            await search(social, person, words=text)
        assert (wrong.value.reason, wrong.value.field) == (reason, "words")
    assert mesh.embedder.words == []
    mesh.embedder.words_failure = InvalidArgument("나무 is not known", reason="WORDS_UNKNOWN", field="text")
    with pytest.raises(InvalidArgument) as unknown:
        await social.generate(person, words("나무"))
    assert (unknown.value.reason, unknown.value.field) == ("WORDS_UNKNOWN", "recipe.seeds[0].words")
    mesh.embedder.words_failure = None
    path = jobs_pb2.PathEnd(to_track_id=library.track_ids[1])
    with pytest.raises(InvalidArgument) as pathless:
        await social.generate(person, words(), path=path)
    assert (pathless.value.reason, pathless.value.field) == ("MALFORMED", "recipe.seeds[0].words")
    assert await sql.fetchval("SELECT count(*) FROM jobs") == 0


async def test_job_waits_for_an_embedder_that_is_busy(mesh: Mesh, social: Client, library: Library) -> None:
    person = await social.sign_up()
    mesh.embedder.words_failure = ResourceExhausted("full", reason="EMBEDDER_BUSY", retry_after_ms=100)
    job = await social.generate(person, words(), wait_ms=0)
    assert not job.HasField("finished_at")
    mesh.embedder.words_failure = None
    ended = await social.ended(person, job)
    assert ended.state == jobs_pb2.JOB_STATE_SUCCEEDED


async def test_preview_is_what_a_generation_makes_and_keeps_nothing(
    mesh: Mesh, social: Client, library: Library, sql: Sql
) -> None:
    person = await social.sign_up()
    await block(social, person, library.track_ids[5])
    seed = jobs_pb2.GenerationSeed(track_id=library.track_ids[1], weight=2)
    rules = {"length": 2, "temperature": 0.5, "max_per_artist": 2}
    shown = await preview(social, person, seed, words(), **rules)
    assert [(one.track_id, one.is_seed) for one in shown.tracks] == [
        (library.track_ids[1], True),
        (library.track_ids[0], False),
        (library.track_ids[2], False),
    ]
    chosen = shown.tracks[1]
    assert (chosen.similarity, list(chosen.seed_similarities), list(chosen.shared_tags)) == (
        0.5,
        [0.5, 0.5],
        ["guitar"],
    )
    assert (chosen.nearest_seed, chosen.quantile) == (0, 0.75)
    assert (shown.encoder_id, [(one.rule, one.count) for one in shown.removed]) == (ENCODER_ID, [("max_per_artist", 4)])
    assert await sql.fetchval("SELECT (SELECT count(*) FROM jobs) + (SELECT count(*) FROM playlists)") == 0
    assert shown.recipe.HasField("random_seed")

    request = jobs_pb2.CreateGenerationJobRequest(idempotency_key=new_id(), recipe=shown.recipe, wait_ms=5000)
    job = (await social.jobs.CreateGenerationJob(request, timeout=TIMEOUT_S, metadata=person.metadata)).job
    job = await social.ended(person, job)
    previewed, generated = mesh.retriever.requests
    assert list(previewed.filter.blocked_track_ids) == [library.track_ids[5]]
    assert generated == previewed
    made = await entries_of(social, person, job.playlist_id)
    assert [one.track_id for one in made.entries] == [one.track_id for one in shown.tracks]


async def test_upload_is_heard_before_it_is_previewed(mesh: Mesh, social: Client, library: Library) -> None:
    person = await social.sign_up()
    upload_id = await social.upload(person, sha("demo"))
    track, upload = (
        jobs_pb2.GenerationSeed(track_id=library.track_ids[0]),
        jobs_pb2.GenerationSeed(upload_id=upload_id),
    )
    with pytest.raises(FailedPrecondition) as refusal:
        await preview(social, person, track, upload)
    assert (refusal.value.reason, refusal.value.field) == ("UPLOAD_NOT_HEARD", "recipe.seeds[1].upload_id")
    assert mesh.embedder.heard == []
    await social.generate(person, upload, length=2)
    # The same upload for and against: each of its places has its own weight.
    await preview(social, person, upload, track, jobs_pb2.GenerationSeed(upload_id=upload_id, weight=-1))
    asked = mesh.retriever.requests[-1].seeds
    heard = unit_vector(sha("demo"))
    assert [(seed.vector, seed.weight) for seed in asked] == [(heard, 1), (b"", 1), (heard, -1)]
    assert mesh.embedder.heard == [sha("demo")]


async def test_path_is_previewed(mesh: Mesh, social: Client, library: Library) -> None:
    person = await social.sign_up()
    seed = jobs_pb2.GenerationSeed(track_id=library.track_ids[0])
    shown = await preview(social, person, seed, path=jobs_pb2.PathEnd(to_track_id=library.track_ids[3]), length=4)
    assert [one.track_id for one in shown.tracks] == [library.track_ids[number] for number in (0, 1, 2, 3)]


async def test_what_cannot_be_previewed_is_told_apart(mesh: Mesh, social: Client, library: Library, sql: Sql) -> None:
    person, other = await social.sign_up(), await social.sign_up()
    track_id = library.track_ids[0]
    foreign = await social.upload(other)
    refused: list[tuple[jobs_pb2.GenerationSeed, str, str]] = [
        (jobs_pb2.GenerationSeed(track_id=new_id()), "TRACK_NOT_FOUND", "recipe.seeds[0].track_id"),
        (jobs_pb2.GenerationSeed(upload_id=foreign), "UPLOAD_NOT_FOUND", "recipe.seeds[0].upload_id"),
        (jobs_pb2.GenerationSeed(), "REQUIRED", "recipe.seeds[0].track_id"),
    ]
    for seed, reason, field in refused:
        with pytest.raises((NotFound, InvalidArgument)) as refusal:
            await preview(social, person, seed)
        assert (refusal.value.reason, refusal.value.field) == (reason, field)
    seed = jobs_pb2.GenerationSeed(track_id=track_id)
    mesh.retriever.track_ids = []
    with pytest.raises(FailedPrecondition) as empty:
        await preview(social, person, seed)
    assert empty.value.reason == "NO_CANDIDATES"
    told: list[tuple[DomainError, str]] = [
        (FailedPrecondition("another", reason="ENCODER_MISMATCH"), "ENCODER_AWAY"),
        (FailedPrecondition("no", reason="CONSTRAINTS_UNREACHABLE"), "CONSTRAINTS_UNREACHABLE"),
        (Unavailable("reads", reason="INDEX_LOADING", retry_after_ms=100), "INDEX_LOADING"),
    ]
    for failure, reason in told:
        mesh.retriever.failure = failure
        with pytest.raises(DomainError) as passed:
            await preview(social, person, seed)
        assert passed.value.reason == reason
    # Only part of the way to the index: a job would wait for the rest of it.
    await sql.execute("UPDATE track_embeddings SET state = 'EMBEDDED' WHERE track_id = $1", track_id)
    with pytest.raises(Unavailable) as behind:
        await preview(social, person, seed)
    assert (behind.value.reason, behind.value.retry_after_ms) == ("NOT_INDEXED_YET", 1000)


async def test_one_person_leaves_room_for_others(mesh: Mesh, social: Client, library: Library) -> None:
    person, other = await social.sign_up(), await social.sign_up()
    seed = jobs_pb2.GenerationSeed(track_id=library.track_ids[0])
    for ask, reason, asked in (
        (lambda who: preview(social, who, seed), "TOO_MANY_PREVIEWS", lambda: mesh.retriever.requests),
        (lambda who: search(social, who), "TOO_MANY_SEARCHES", lambda: mesh.retriever.searches),
    ):
        mesh.retriever.gate.close()
        under_way = [asyncio.create_task(ask(person)) for _ in range(2)]
        async with asyncio.timeout(TIMEOUT_S):
            while len(asked()) < 2:
                await asyncio.sleep(0.01)
        with pytest.raises(ResourceExhausted) as refusal:
            await ask(person)
        assert (refusal.value.reason, refusal.value.limit, refusal.value.retry_after_ms) == (reason, "2", 500)
        others = asyncio.create_task(ask(other))
        async with asyncio.timeout(TIMEOUT_S):
            while len(asked()) < 3:
                await asyncio.sleep(0.01)
        mesh.retriever.gate.opened.set()
        await asyncio.gather(*under_way, others)
        await ask(person)
