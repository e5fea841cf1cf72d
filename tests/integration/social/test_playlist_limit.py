"""How many playlists a person may have, in whatever way they are made."""

import asyncio

import pytest

from museed.social.v1 import jobs_pb2
from services.chassis.errors import ResourceExhausted
from tests.integration.social.conftest import Client, Library, Mesh, Sql, make_library
from tests.integration.social.hands import PUBLIC, Hands
from tests.integration.social.test_exchange import JSPF, import_, jspf
from tests.integration.social.test_playlist_jobs import FAILED, SUCCEEDED, Desk

MOST = 4


@pytest.fixture
async def social(mesh: Mesh) -> Client:
    mesh.settings = mesh.settings.model_copy(update={"playlists_per_user": MOST})
    return await mesh.start()


@pytest.fixture
async def library(mesh: Mesh, social: Client) -> Library:
    return await make_library(mesh, social)


async def test_nobody_has_more_playlists_than_one_may(library: Library, social: Client, sql: Sql) -> None:
    person = await social.sign_up("person")
    hands, admin = Hands(social, person), Hands(social, library.admin)
    source_id = (await admin.create(library.track_ids[:1], visibility=PUBLIC)).playlist.playlist_id
    seed = jobs_pb2.GenerationSeed(track_id=library.track_ids[0])
    job = await social.generate(person, seed, length=2)
    assert job.state == SUCCEEDED
    results = await asyncio.gather(
        *(hands.create(title=f"No {number}", key=f"{number}") for number in range(5)), return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, ResourceExhausted)]
    assert [(error.reason, error.limit) for error in refused] == [("TOO_MANY_PLAYLISTS", f"{MOST}")] * 2
    file = jspf({"title": "Track 0", "creator": "Somebody"})
    for attempt in (hands.copy(source_id), hands.copy(job.playlist_id), import_(hands, JSPF, file)):
        with pytest.raises(ResourceExhausted) as refusal:
            await attempt
        assert refusal.value.reason == "TOO_MANY_PLAYLISTS"
    again = Desk(social, person, job.playlist_id)
    for ended in (await social.generate(person, seed, length=2), await again.regenerate(replace=False)):
        assert (ended.state, ended.failure_reason) == (FAILED, "TOO_MANY_PLAYLISTS")
    # What is there may be made again; and what a key made before is as good as none more.
    assert (await again.regenerate()).state == SUCCEEDED
    made = next(number for number, result in enumerate(results) if not isinstance(result, BaseException))
    assert await hands.create(title=f"No {made}", key=f"{made}") == results[made]
    assert await sql.fetchval("SELECT count(*) FROM playlists WHERE owner_id = $1", person.user_id) == MOST
    await hands.delete(job.playlist_id)
    assert (await hands.copy(source_id)).copied_from == source_id
