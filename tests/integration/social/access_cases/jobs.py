"""Jobs."""

from museed.social.v1 import jobs_pb2
from services.social.domain.ids import new_id
from tests.integration.social.access_cases import ONLY_OWNER, Case, Cases, World
from tests.integration.social.access_cases.catalogue import upload


async def job(world: World) -> str:
    """Make a job of the owner's."""
    seed = jobs_pb2.GenerationSeed(track_id=world.library.track_ids[0])
    return (await world.client.generate(world.owner, seed, length=3)).job_id


async def _get(world: World) -> jobs_pb2.GetJobRequest:
    return jobs_pb2.GetJobRequest(job_id=await job(world))


async def _cancel(world: World) -> jobs_pb2.CancelJobRequest:
    return jobs_pb2.CancelJobRequest(job_id=await job(world))


async def _generate_from_upload(world: World) -> jobs_pb2.CreateGenerationJobRequest:
    seed = jobs_pb2.GenerationSeed(upload_id=await upload(world))
    return jobs_pb2.CreateGenerationJobRequest(idempotency_key=new_id(), recipe=jobs_pb2.Recipe(seeds=[seed]))


CASES: Cases = {
    "JobService/CreateGenerationJob": Case(_generate_from_upload, ONLY_OWNER),
    "JobService/GetJob": Case(_get, ONLY_OWNER),
    "JobService/CancelJob": Case(_cancel, ONLY_OWNER),
}
