"""gRPC in: which work is waited for, what the streams hold, what was set aside, and another try for that."""

import grpc

from museed.social.v1 import work_pb2, work_pb2_grpc
from services.chassis.auth import require_viewer
from services.chassis.bus import DeadLetter, list_dead_letters
from services.social.actions.replay import Replayer, told_of
from services.social.domain import fields, paging
from services.social.domain.ids import UserId, is_id
from services.social.store import work
from services.social.store.database import Database
from services.social.streams import BusDoor, StreamState, list_streams
from services.social.wire import timestamp

_MOST_WORK_IDS = 500
_MOST_LETTERS = 100
_DEFAULT_PAGE = 20


class WorkServicer(work_pb2_grpc.WorkServiceServicer):
    """Serves WorkService.

    Args:
        database: The truth.
        door: To NATS.
        replayer: Has dead letters tried again.
    """

    def __init__(self, database: Database, door: BusDoor, replayer: Replayer) -> None:
        self._database = database
        self._door = door
        self._replayer = replayer

    async def FilterWanted(
        self,
        request: work_pb2.FilterWantedRequest,
        context: grpc.aio.ServicerContext[work_pb2.FilterWantedRequest, work_pb2.FilterWantedResponse],
    ) -> work_pb2.FilterWantedResponse:
        """Say which pieces of work are still waited for."""
        fields.count(len(request.work_ids), "work_ids", _MOST_WORK_IDS)
        async with self._database.connection() as connection:
            found = await work.wanted(connection, [one for one in request.work_ids if is_id(one)])
        return work_pb2.FilterWantedResponse(work_ids=found)

    async def ListStreams(
        self,
        request: work_pb2.ListStreamsRequest,
        context: grpc.aio.ServicerContext[work_pb2.ListStreamsRequest, work_pb2.ListStreamsResponse],
    ) -> work_pb2.ListStreamsResponse:
        """Count what the streams hold."""
        found = await list_streams(self._door.opened())
        return work_pb2.ListStreamsResponse(streams=[_stream(one) for one in found])

    async def ListDeadLetters(
        self,
        request: work_pb2.ListDeadLettersRequest,
        context: grpc.aio.ServicerContext[work_pb2.ListDeadLettersRequest, work_pb2.ListDeadLettersResponse],
    ) -> work_pb2.ListDeadLettersResponse:
        """List what was set aside, newest first."""
        size = paging.page_size(request.page_size, _DEFAULT_PAGE, _MOST_LETTERS)
        key = paging.decode_token("ListDeadLetters", request.page_token, [paging.is_number])
        page = await list_dead_letters(self._door.opened(), None if key is None else int(key[0]), size)
        token = "" if page.before is None else paging.encode_token("ListDeadLetters", [page.before])
        return work_pb2.ListDeadLettersResponse(
            letters=[_letter(one) for one in page.letters], next_page_token=token, total_count=page.total
        )

    async def ReplayDeadLetters(
        self,
        request: work_pb2.ReplayDeadLettersRequest,
        context: grpc.aio.ServicerContext[work_pb2.ReplayDeadLettersRequest, work_pb2.ReplayDeadLettersResponse],
    ) -> work_pb2.ReplayDeadLettersResponse:
        """Have letters tried again, one after the other."""
        fields.count(len(request.letter_ids), "letter_ids", _MOST_LETTERS)
        admin_id = UserId(require_viewer().user_id)
        replayed = [await self._replayer.replay(letter_id, admin_id) for letter_id in request.letter_ids]
        return work_pb2.ReplayDeadLettersResponse(
            letters=[
                work_pb2.ReplayedLetter(
                    letter_id=one.letter_id,
                    outcome=work_pb2.ReplayOutcome.Value(f"REPLAY_OUTCOME_{one.outcome.value}"),
                    reason=one.reason,
                    message=one.message,
                )
                for one in replayed
            ]
        )


def _stream(one: StreamState) -> work_pb2.Stream:
    return work_pb2.Stream(
        name=one.name,
        message_count=one.messages,
        size_bytes=one.size_bytes,
        created_at=None if one.created_at is None else timestamp(one.created_at),
        consumers=[
            work_pb2.StreamConsumer(
                name=each.name, waiting_count=each.waiting, in_hand_count=each.in_hand, repeated_count=each.repeated
            )
            for each in one.consumers
        ],
    )


def _letter(one: DeadLetter) -> work_pb2.DeadLetter:
    track_id, encoder_id = told_of(one)
    return work_pb2.DeadLetter(
        letter_id=one.letter_id,
        stream=one.stream,
        subject=one.subject,
        attempt_count=one.attempts,
        code=one.code,
        reason=one.reason,
        message=one.message,
        set_aside_at=timestamp(one.set_aside_at),
        track_id=track_id,
        encoder_id=encoder_id,
        request_id=one.request_id,
        payload_bytes=len(one.payload),
    )
