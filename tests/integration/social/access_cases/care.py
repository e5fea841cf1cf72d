"""Reports, decisions, and what belongs to a person's privacy."""

from museed.social.v1 import moderation_pb2, moderation_pb2_grpc, privacy_pb2
from services.social.domain.ids import new_id
from tests.integration.social.access_cases import ONLY_ADMIN, ONLY_OWNER, OTHER, Case, Cases, World
from tests.integration.social.access_cases.playlists import playlist
from tests.integration.social.conftest import TIMEOUT_S


async def _show(world: World) -> moderation_pb2.ShowContentRequest:
    return moderation_pb2.ShowContentRequest(
        subject_kind=moderation_pb2.SUBJECT_KIND_PLAYLIST, subject_id=await playlist(world), because="looked again"
    )


async def _suspend(world: World) -> moderation_pb2.SuspendUserRequest:
    return moderation_pb2.SuspendUserRequest(user_id=(await world.client.sign_up()).user_id, because="spam")


async def _reinstate(world: World) -> moderation_pb2.ReinstateUserRequest:
    return moderation_pb2.ReinstateUserRequest(user_id=(await world.client.sign_up()).user_id, because="sorry")


async def _promote(world: World) -> moderation_pb2.SetRoleRequest:
    return moderation_pb2.SetRoleRequest(user_id=(await world.client.sign_up()).user_id, role="admin", because="help")


async def _decide(world: World) -> moderation_pb2.DecideReportRequest:
    request = moderation_pb2.ReportContentRequest(
        subject_kind=moderation_pb2.SUBJECT_KIND_USER,
        subject_id=(await world.client.sign_up()).user_id,
        reason=moderation_pb2.REPORT_REASON_SPAM,
    )
    stub = world.client.stub(moderation_pb2_grpc.ModerationServiceStub)
    filed = await stub.ReportContent(request, timeout=TIMEOUT_S, metadata=world.people[OTHER].metadata)
    return moderation_pb2.DecideReportRequest(report_id=filed.report.report_id, because="no")


async def _list_reports(world: World) -> moderation_pb2.ListReportsRequest:
    return moderation_pb2.ListReportsRequest()


async def _list_log(world: World) -> moderation_pb2.ListAuditLogRequest:
    return moderation_pb2.ListAuditLogRequest()


async def _search(world: World) -> moderation_pb2.SearchUsersRequest:
    return moderation_pb2.SearchUsersRequest()


async def _get_export(world: World) -> privacy_pb2.GetExportRequest:
    export_id = new_id()
    await world.sql.execute(
        "INSERT INTO data_exports VALUES ($1, $2, uuidv7(), sha256('zip'), 3, now(), now() + interval '7 days')",
        export_id,
        world.owner.user_id,
    )
    return privacy_pb2.GetExportRequest(export_id=export_id)


CASES: Cases = {
    "ModerationService/ReportContent": "reports what the caller sees; test_moderation says of whom it is refused",
    "ModerationService/ListReports": Case(_list_reports, ONLY_ADMIN),
    "ModerationService/DecideReport": Case(_decide, ONLY_ADMIN),
    "ModerationService/ShowContent": Case(_show, ONLY_ADMIN),
    "ModerationService/SuspendUser": Case(_suspend, ONLY_ADMIN),
    "ModerationService/ReinstateUser": Case(_reinstate, ONLY_ADMIN),
    "ModerationService/SetRole": Case(_promote, ONLY_ADMIN),
    "ModerationService/ListAuditLog": Case(_list_log, ONLY_ADMIN),
    "ModerationService/SearchUsers": Case(_search, ONLY_ADMIN),
    "PrivacyService/RequestExport": "the caller's own, whoever calls",
    "PrivacyService/GetExport": Case(_get_export, ONLY_OWNER),
    "PrivacyService/DeleteAccount": "the caller's own account, by its password",
}
