"""Words and previews."""

from museed.social.v1 import jobs_pb2, sound_pb2
from tests.integration.social.access_cases import EVERYBODY, LOGGED_IN, ONLY_OWNER, Case, Cases, World
from tests.integration.social.access_cases.catalogue import upload
from tests.integration.social.fakes import ENCODER_ID


async def _words(world: World) -> sound_pb2.SearchByWordsRequest:
    world.mesh.embedder.text_encoder_id = ENCODER_ID
    return sound_pb2.SearchByWordsRequest(words="calm piano")


async def _preview_of_track(world: World) -> sound_pb2.GetPlaylistPreviewRequest:
    seed = jobs_pb2.GenerationSeed(track_id=world.library.track_ids[0])
    return sound_pb2.GetPlaylistPreviewRequest(recipe=jobs_pb2.Recipe(seeds=[seed]))


async def _preview_of_upload(world: World) -> sound_pb2.GetPlaylistPreviewRequest:
    upload_id = await upload(world)
    await world.sql.execute(
        "INSERT INTO upload_embeddings (upload_id, encoder_id, vector, duration_seconds, tags, windows_digest) "
        "SELECT $1, encoder_id, 'x', 60, '[]', 'w' FROM serving_encoder",
        upload_id,
    )
    seed = jobs_pb2.GenerationSeed(upload_id=upload_id)
    return sound_pb2.GetPlaylistPreviewRequest(recipe=jobs_pb2.Recipe(seeds=[seed]))


async def _describe(world: World) -> sound_pb2.DescribeSearchRequest:
    return sound_pb2.DescribeSearchRequest()


CASES: Cases = {
    "SoundService/SearchByWords": Case(_words, LOGGED_IN),
    "SoundService/GetPlaylistPreview": Case(_preview_of_upload, ONLY_OWNER),
    "SoundService/GetPlaylistPreview, a track": Case(_preview_of_track, LOGGED_IN),
    "SoundService/DescribeSearch": Case(_describe, EVERYBODY),
}
