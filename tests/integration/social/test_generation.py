"""Jobs from a request to a playlist, through crashes, cancellation and parts that are away."""

from museed.social.v1 import jobs_pb2
from tests.integration.social.conftest import Client, Library


async def test_library_seed_becomes_a_playlist_while_the_caller_waits(social: Client, library: Library) -> None:
    person = await social.sign_up()
    seed = jobs_pb2.GenerationSeed(track_id=library.track_ids[0])
    job = await social.generate(person, seed, length=3)
    assert (job.state, job.progress, job.attempt) == (jobs_pb2.JOB_STATE_SUCCEEDED, 1.0, 1)
    found = await social.playlist(person, job.playlist_id)
    assert [entry.track_id for entry in found.entries] == library.track_ids[:4]
    assert found.playlist.title == "Like “Track 0” by Somebody"
