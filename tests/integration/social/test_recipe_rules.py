"""Rules of a recipe on their way: from the request to the retriever, and with the playlist."""

import json

import pytest

from museed.retriever.v1 import retriever_pb2
from museed.social.v1 import jobs_pb2
from services.chassis.errors import InvalidArgument, NotFound
from services.social.domain.ids import new_id
from tests.integration.social.conftest import Client, Library, Mesh, Sql

SUCCEEDED = jobs_pb2.JOB_STATE_SUCCEEDED


def seed(library: Library, number: int = 0, weight: float = 0.0) -> jobs_pb2.GenerationSeed:
    return jobs_pb2.GenerationSeed(track_id=library.track_ids[number], weight=weight)


async def test_every_rule_reaches_the_retriever_and_is_kept(
    mesh: Mesh, social: Client, library: Library, sql: Sql
) -> None:
    person = await social.sign_up("jay")
    wanted = jobs_pb2.Recipe(
        seeds=[seed(library), seed(library, 1, -2.5)],
        length=2,
        max_per_artist=2,
        include_seed=False,
        min_similarity=-0.5,
        exclude_track_ids=[library.track_ids[5]],
        filter=jobs_pb2.TrackFilter(
            genres=["Rock"],
            artists=["Somebody"],
            blocked_artists=["Nobody"],
            track_ids=library.track_ids,
            tags=["guitar"],
            blocked_tags=["noise"],
            duration_seconds=jobs_pb2.NumberRange(min=30),
            year=jobs_pb2.NumberRange(min=1990, max=2000),
            tempo_bpm=jobs_pb2.NumberRange(max=140),
            energy=jobs_pb2.NumberRange(min=0, max=1),
            loudness_lufs=jobs_pb2.NumberRange(min=-30),
            keys=["A minor"],
        ),
        negative_penalty=0.0,
        weigh_agreement=True,
        artist_window=3,
        diversity=0.25,
        temperature=0.5,
        random_seed=2**64 - 1,
        arrangement=jobs_pb2.ARRANGEMENT_ENERGY_ARC,
        energy_arc=[0.25, 0.75],
        require_length=True,
        use_my_taste=True,
        profile_weight=0.5,
        hub_damping=0.125,
        allow_near_duplicates=True,
    )
    request = jobs_pb2.CreateGenerationJobRequest(idempotency_key=new_id(), recipe=wanted, wait_ms=5_000)
    answer = await social.jobs.CreateGenerationJob(request, timeout=30, metadata=person.metadata)
    assert (await social.ended(person, answer.job)).state == SUCCEEDED
    told = mesh.retriever.requests[-1]
    assert told.HasField("min_read_point")
    told.ClearField("min_read_point")
    told.ClearField("encoder_id")
    assert told == retriever_pb2.BuildPlaylistRequest(
        seeds=[
            retriever_pb2.Seed(track_id=library.track_ids[0], weight=1),
            retriever_pb2.Seed(track_id=library.track_ids[1], weight=-2.5),
        ],
        length=2,
        max_per_artist=2,
        min_similarity=-0.5,
        exclude_track_ids=[library.track_ids[5]],
        filter=retriever_pb2.Filter(
            genres=["Rock"],
            artists=["Somebody"],
            blocked_artists=["Nobody"],
            track_ids=library.track_ids,
            tags=["guitar"],
            blocked_tags=["noise"],
            duration_seconds=retriever_pb2.Range(min=30),
            year=retriever_pb2.Range(min=1990, max=2000),
            tempo_bpm=retriever_pb2.Range(max=140),
            energy=retriever_pb2.Range(min=0, max=1),
            loudness_lufs=retriever_pb2.Range(min=-30),
            keys=["A minor"],
        ),
        negative_penalty=0.0,
        weigh_agreement=True,
        artist_window=3,
        diversity=0.25,
        temperature=0.5,
        random_seed=2**64 - 1,
        arrangement=retriever_pb2.ARRANGEMENT_ENERGY_ARC,
        energy_arc=[0.25, 0.75],
        require_length=True,
        profile_id=person.user_id,
        profile_weight=0.5,
        hub_damping=0.125,
        allow_near_duplicates=True,
    )
    kept = json.loads(await sql.fetchval("SELECT recipe::text FROM playlists"))
    assert kept["rules"]["random_seed"] == 2**64 - 1
    assert kept["rules"]["filter"]["year"] == {"min": 1990.0, "max": 2000.0}
    assert kept["seeds"][1]["weight"] == -2.5


async def test_random_seed_that_was_drawn_is_kept_and_another_is_drawn_the_next_time(
    mesh: Mesh, social: Client, library: Library, sql: Sql
) -> None:
    for _ in range(2):
        await social.generate(library.admin, seed(library), temperature=0.5)
    drawn = [request.random_seed for request in mesh.retriever.requests]
    assert len(set(drawn)) == 2
    rows = await sql.fetch("SELECT recipe -> 'rules' ->> 'random_seed' AS seed FROM playlists ORDER BY playlist_id")
    assert [int(row["seed"]) for row in rows] == drawn


async def test_path_leads_to_its_end(mesh: Mesh, social: Client, library: Library) -> None:
    ids = library.track_ids
    path = jobs_pb2.PathEnd(to_track_id=ids[5])
    job = await social.generate(library.admin, seed(library), path=path, length=4, max_per_artist=4)
    assert job.state == SUCCEEDED
    told = mesh.retriever.paths[-1]
    assert (told.from_track_id, told.to_track_id, told.length, told.max_per_artist) == (ids[0], ids[5], 4, 4)
    answer = await social.playlist(library.admin, job.playlist_id)
    assert [entry.track_id for entry in answer.entries] == [ids[0], ids[1], ids[2], ids[5]]
    assert mesh.retriever.requests == []
    with pytest.raises(NotFound) as refusal:
        await social.generate(library.admin, seed(library), path=jobs_pb2.PathEnd(to_track_id=new_id()))
    assert refusal.value.field == "recipe.path.to_track_id"
    with pytest.raises(InvalidArgument) as wrong:
        await social.generate(library.admin, seed(library), path=path, diversity=0.5)
    assert wrong.value.field == "recipe.diversity"
