"""The library, and uploads."""

from museed.social.v1 import catalog_pb2
from tests.integration.social.access_cases import ONLY_OWNER, Case, Cases, World


async def upload(world: World) -> str:
    """Make an upload of the owner's."""
    return await world.client.upload(world.owner)


async def _get_upload(world: World) -> catalog_pb2.GetUploadRequest:
    return catalog_pb2.GetUploadRequest(upload_id=await upload(world))


CASES: Cases = {
    "CatalogService/SearchTracks": "the library is everybody's",
    "CatalogService/BatchGetTracks": "the library is everybody's",
    "CatalogService/GetTrackMedia": "the library is everybody's",
    "CatalogService/GetReadPoint": "a point of the log",
    "CatalogService/GetStats": "counts of the whole",
    "CatalogService/CreateUpload": "makes something of the caller's own",
    "CatalogService/GetUpload": Case(_get_upload, ONLY_OWNER),
    "CatalogService/RegisterRoot": "the library is the admins'",
    "CatalogService/RegisterTracks": "the library is the admins'",
    "CatalogService/GetIngestProgress": "the library is the admins'",
    "CatalogService/ListFailedTracks": "the library is the admins'",
}
