"""gRPC in: searches by a recording, and the hearing of uploads that they need."""

import grpc

from museed.social.v1 import reference_pb2, reference_pb2_grpc
from services.chassis.auth import require_viewer
from services.chassis.telemetry import request_id
from services.social.actions.referencing import ReferenceSearch, Search
from services.social.domain import fields
from services.social.domain.idempotency import check_key
from services.social.domain.ids import JobId, TrackId, UploadId, UserId, is_id
from services.social.domain.jobs import Job, Kind, digest_of
from services.social.domain.references import (
    DEFAULT_MATCHES,
    DEFAULT_SEGMENTS,
    MOST_MATCHES,
    MOST_SEGMENTS,
    Match,
    Stretch,
)
from services.social.domain.rules import check_filter
from services.social.errors import Missing, TrackNotFound, UploadNotFound
from services.social.servicer.desk import JobDesk, to_wait_s
from services.social.servicer.recipe_messages import to_filter
from services.social.store import jobs, uploads
from services.social.store.database import Connection
from services.social.workers.kinds.hearing import hearing_request


class ReferenceSearchServicer(reference_pb2_grpc.ReferenceSearchServiceServicer):
    """Serves ReferenceSearchService.

    Args:
        search: Finds.
        desk: Takes jobs in.
    """

    def __init__(self, search: ReferenceSearch, desk: JobDesk) -> None:
        self._search = search
        self._desk = desk

    async def SearchReference(
        self,
        request: reference_pb2.SearchReferenceRequest,
        context: grpc.aio.ServicerContext[reference_pb2.SearchReferenceRequest, reference_pb2.SearchReferenceResponse],
    ) -> reference_pb2.SearchReferenceResponse:
        """Find tracks that sound like a recording, and where."""
        user_id = UserId(require_viewer().user_id)
        found = await self._search.find(user_id, _search(request))
        return reference_pb2.SearchReferenceResponse(
            matches=[_message(one) for one in found.matches.tracks],
            encoder_id=found.encoder_id,
            candidate_count=found.matches.candidate_count,
            without_windows_count=found.matches.without_windows_count,
            duration_seconds=found.duration_seconds,
        )

    async def CreateHearingJob(
        self,
        request: reference_pb2.CreateHearingJobRequest,
        context: grpc.aio.ServicerContext[
            reference_pb2.CreateHearingJobRequest, reference_pb2.CreateHearingJobResponse
        ],
    ) -> reference_pb2.CreateHearingJobResponse:
        """Ask for an upload to be heard."""
        user_id, upload_id = UserId(require_viewer().user_id), _upload_id(request.upload_id)
        key, wait_s = check_key(request.idempotency_key), to_wait_s(request.wait_ms)
        wanted = hearing_request(upload_id)

        async def make(connection: Connection, job_id: JobId) -> Job:
            if upload_id not in await uploads.find_uploads(connection, [upload_id], user_id, self._desk.clock()):
                raise UploadNotFound(upload_id)
            return await jobs.insert_job(connection, job_id, Kind.HEARING, user_id, wanted, request_id())

        job = await self._desk.ask(user_id, "CreateHearingJob", key, digest_of(wanted), make)
        ended = await self._desk.until_ended(job, wait_s)
        return reference_pb2.CreateHearingJobResponse(job=self._desk.message(ended))


def _search(request: reference_pb2.SearchReferenceRequest) -> Search:
    """Read and check what is searched for.

    Raises:
        Missing: Neither track nor upload is named.
        TrackNotFound, UploadNotFound: It can be none.
        Malformed, OutOfRange: With the field.
    """
    source = request.WhichOneof("reference")
    if source is None:
        raise Missing("reference")
    if source == "upload_id":
        recording: TrackId | UploadId = _upload_id(request.upload_id)
    elif is_id(request.track_id):
        recording = TrackId(request.track_id)
    else:
        raise TrackNotFound(request.track_id)
    return Search(
        recording,
        source == "upload_id",
        fields.integer(request.count, "count", 0, MOST_MATCHES) or DEFAULT_MATCHES,
        fields.integer(request.segments_per_track, "segments_per_track", 0, MOST_SEGMENTS) or DEFAULT_SEGMENTS,
        check_filter(to_filter(request.filter), "filter"),
        request.leave_out_blocked,
    )


def _upload_id(given: str) -> UploadId:
    if not is_id(given):
        raise UploadNotFound(given)
    return UploadId(given)


def _message(match: Match) -> reference_pb2.ReferenceMatch:
    return reference_pb2.ReferenceMatch(
        track_id=match.track_id,
        similarity=match.similarity,
        score=match.score,
        quantile=match.quantile,
        shared_tags=match.shared_tags,
        segments=[
            reference_pb2.MatchedSegment(
                reference=_stretch(one.reference),
                track=None if one.track is None else _stretch(one.track),
                similarity=one.similarity,
            )
            for one in match.segments
        ],
    )


def _stretch(stretch: Stretch) -> reference_pb2.Segment:
    return reference_pb2.Segment(start_seconds=stretch.start_seconds, end_seconds=stretch.end_seconds)
