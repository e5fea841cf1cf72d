"""Searches by a recording."""

from museed.social.v1 import reference_pb2
from services.social.domain.ids import new_id
from tests.integration.social.access_cases import LOGGED_IN, ONLY_OWNER, Case, Cases, World
from tests.integration.social.access_cases.catalogue import upload


async def _search_by_upload(world: World) -> reference_pb2.SearchReferenceRequest:
    upload_id = await upload(world)
    await world.sql.execute(
        "INSERT INTO upload_embeddings (upload_id, encoder_id, vector, duration_seconds, tags, windows_digest) "
        "SELECT $1, encoder_id, 'x', 60, '[]', 'w' FROM serving_encoder",
        upload_id,
    )
    return reference_pb2.SearchReferenceRequest(upload_id=upload_id)


async def _search_by_track(world: World) -> reference_pb2.SearchReferenceRequest:
    return reference_pb2.SearchReferenceRequest(track_id=world.library.track_ids[0])


async def _hear(world: World) -> reference_pb2.CreateHearingJobRequest:
    return reference_pb2.CreateHearingJobRequest(idempotency_key=new_id(), upload_id=await upload(world))


CASES: Cases = {
    "ReferenceSearchService/SearchReference": Case(_search_by_upload, ONLY_OWNER),
    "ReferenceSearchService/SearchReference, a track": Case(_search_by_track, LOGGED_IN),
    "ReferenceSearchService/CreateHearingJob": Case(_hear, ONLY_OWNER),
}
