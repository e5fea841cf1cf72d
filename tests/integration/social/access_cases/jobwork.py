"""Jobs on playlists, and uploads."""

from museed.social.v1 import jobs_pb2, jobwork_pb2, uploads_pb2
from services.social.domain.ids import new_id
from tests.integration.social.access_cases import ONLY_ADMIN, ONLY_OWNER, Case, Cases, World
from tests.integration.social.access_cases.catalogue import upload


async def generated(world: World) -> str:
    """Make a playlist of the owner's, from a recipe."""
    seed = jobs_pb2.GenerationSeed(track_id=world.library.track_ids[0])
    return (await world.client.generate(world.owner, seed, length=3)).playlist_id


async def _extend(world: World) -> jobwork_pb2.CreateExtensionJobRequest:
    return jobwork_pb2.CreateExtensionJobRequest(idempotency_key=new_id(), playlist_id=await generated(world), count=1)


async def _suggestions(world: World) -> jobwork_pb2.ListSuggestionsRequest:
    return jobwork_pb2.ListSuggestionsRequest(playlist_id=await generated(world))


async def _judge(world: World) -> jobwork_pb2.JudgeSuggestionsRequest:
    return jobwork_pb2.JudgeSuggestionsRequest(playlist_id=await generated(world))


async def _regenerate(world: World) -> jobwork_pb2.CreateRegenerationJobRequest:
    return jobwork_pb2.CreateRegenerationJobRequest(
        idempotency_key=new_id(), playlist_id=await generated(world), replace=True
    )


async def _set(world: World) -> jobwork_pb2.SetScheduleRequest:
    return jobwork_pb2.SetScheduleRequest(playlist_id=await generated(world), every=jobwork_pb2.SCHEDULE_PERIOD_WEEKLY)


async def _clear(world: World) -> jobwork_pb2.ClearScheduleRequest:
    return jobwork_pb2.ClearScheduleRequest(playlist_id=await generated(world))


async def _get(world: World) -> jobwork_pb2.GetScheduleRequest:
    return jobwork_pb2.GetScheduleRequest(playlist_id=await generated(world))


async def _recipe(world: World) -> jobwork_pb2.GetRecipeRequest:
    return jobwork_pb2.GetRecipeRequest(playlist_id=await generated(world))


async def _list_all(world: World) -> jobwork_pb2.ListJobsRequest:
    return jobwork_pb2.ListJobsRequest()


async def _replay(world: World) -> jobwork_pb2.ReplayJobsRequest:
    return jobwork_pb2.ReplayJobsRequest(job_ids=[new_id()])


async def _delete_upload(world: World) -> uploads_pb2.DeleteUploadRequest:
    return uploads_pb2.DeleteUploadRequest(upload_id=await upload(world))


CASES: Cases = {
    "PlaylistJobService/CreateExtensionJob": Case(_extend, ONLY_OWNER),
    "PlaylistJobService/ListSuggestions": Case(_suggestions, ONLY_OWNER),
    "PlaylistJobService/JudgeSuggestions": Case(_judge, ONLY_OWNER),
    "PlaylistJobService/CreateRegenerationJob": Case(_regenerate, ONLY_OWNER),
    "PlaylistJobService/GetRecipe": Case(_recipe, ONLY_OWNER),
    "PlaylistJobService/BatchGetRecipes": "leaves out what is not the caller's; see test_playlist_jobs",
    "PlaylistJobService/SetSchedule": Case(_set, ONLY_OWNER),
    "PlaylistJobService/ClearSchedule": Case(_clear, ONLY_OWNER),
    "PlaylistJobService/GetSchedule": Case(_get, ONLY_OWNER),
    "PlaylistJobService/BatchGetSchedules": "leaves out what is not the caller's; see test_playlist_jobs",
    "PlaylistJobService/ListMyJobs": "lists what is the caller's, whoever that is; see test_playlist_jobs",
    "PlaylistJobService/ListJobs": Case(_list_all, ONLY_ADMIN),
    "PlaylistJobService/ReplayJobs": Case(_replay, ONLY_ADMIN),
    "PlaylistJobService/BatchGetJobs": "leaves out what is not the caller's; see test_keys_and_waits",
    "UploadService/GetUploadQuota": "tells of the caller's own quota, whoever that is; see test_keys_and_waits",
    "UploadService/CheckUpload": "tells of the caller's own quota, whoever that is; see test_uploads",
    "UploadService/ListMyUploads": "lists what is the caller's, whoever that is; see test_uploads",
    "UploadService/DeleteUpload": Case(_delete_upload, ONLY_OWNER),
}
