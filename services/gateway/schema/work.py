"""What is out to be done, what could not be done, and another try for it. Social admits admins only."""

from datetime import datetime
from enum import Enum
from typing import Annotated, Self

import strawberry
from strawberry import field

from museed.social.v1 import work_pb2
from services.chassis.errors import InvalidArgument
from services.gateway.context import Info
from services.gateway.schema.errors import Refusal
from services.gateway.schema.fields import member, mutation, resolver
from services.gateway.schema.paging import After, Connection, First, connection_from_page, page_request
from services.gateway.schema.scalars import BigInt
from services.gateway.schema.track import Track, load_track
from services.gateway.schema.values import to_datetime

MAX_REPLAYS = 100


@strawberry.type(description="Who works off a stream, with all replicas.")
class StreamConsumer:
    """A consumer with its counts."""

    name: str = field(description='For example "social".')
    waiting_count: int = field(description="Messages not yet given out.")
    in_hand_count: int = field(description="Messages in the hands of a handler.")
    repeated_count: int = field(description="Messages of these that had been given out before.")


@strawberry.type(description="A stream of NATS: messages between the services.")
class MessageStream:
    """A stream with its counts."""

    name: str = field(description='For example "EMBED_WORK".')
    message_count: int = field(description="Messages that it holds.")
    size_bytes: BigInt = field(description="What they take.")
    created_at: datetime | None = field(description="When it was made; null where it is not there.")
    consumers: list[StreamConsumer] = field(description="Who works it off.")

    @classmethod
    def from_message(cls, message: work_pb2.Stream) -> Self:
        """Translate social's message."""
        return cls(
            name=message.name,
            message_count=message.message_count,
            size_bytes=BigInt(message.size_bytes),
            created_at=to_datetime(message.created_at) if message.HasField("created_at") else None,
            consumers=[
                StreamConsumer(
                    name=each.name,
                    waiting_count=each.waiting_count,
                    in_hand_count=each.in_hand_count,
                    repeated_count=each.repeated_count,
                )
                for each in message.consumers
            ],
        )


@strawberry.type(description="A message that nobody could work off. Its payload is kept, so that it can be replayed.")
class DeadLetter:
    """A letter with its reason."""

    letter_id: strawberry.ID = field(description="For `replayDeadLetters`; void once the letter is gone.")
    stream: str = field(description="Stream on which it lay.")
    attempt_count: int = field(description="Deliveries without success.")
    code: str = field(description="gRPC code of the last error; UNKNOWN where handlers were lost with their process.")
    reason: str = field(description="Stable code of the last error.")
    message: str = field(description="Sentence for people.")
    set_aside_at: datetime = field(description="When it was set aside.")
    track_id: strawberry.ID | None = field(description="UUID of the track that it is about; null where it tells none.")
    encoder_id: str | None = field(description="Encoder that it is about.")
    request_id: str = field(description="Request that caused it, as logs have it.")
    payload_bytes: int = field(description="Bytes of the payload.")

    @resolver("The track, null where it is gone.")
    async def track(self, info: Info) -> Track | None:
        """Load it together with all others of the document."""
        return None if self.track_id is None else await load_track(info.context, self.track_id)

    @classmethod
    def from_message(cls, message: work_pb2.DeadLetter) -> Self:
        """Translate social's message."""
        return cls(
            letter_id=strawberry.ID(message.letter_id),
            stream=message.stream,
            attempt_count=message.attempt_count,
            code=message.code,
            reason=message.reason,
            message=message.message,
            set_aside_at=to_datetime(message.set_aside_at),
            track_id=strawberry.ID(message.track_id) if message.track_id else None,
            encoder_id=message.encoder_id or None,
            request_id=message.request_id,
            payload_bytes=message.payload_bytes,
        )


@strawberry.enum(description="What a replay did.")
class ReplayOutcome(Enum):
    """Social's outcomes."""

    SENT = member(work_pb2.REPLAY_OUTCOME_SENT, "It is on its way again.")
    SETTLED = member(work_pb2.REPLAY_OUTCOME_SETTLED, "What it asked for is done, under way, or not wanted any more.")
    GONE = member(work_pb2.REPLAY_OUTCOME_GONE, "There is no such letter: it was replayed before.")
    KEPT = member(work_pb2.REPLAY_OUTCOME_KEPT, "It cannot be tried again now, and stays; see the reason.")


@strawberry.type(description="A letter of a replay.")
class ReplayedLetter:
    """What became of it."""

    letter_id: strawberry.ID = field(description="The letter.")
    outcome: ReplayOutcome = field(description="What happened.")
    reason: str | None = field(description="Stable code where it was kept.")
    message: str | None = field(description="Sentence for people.")

    @classmethod
    def from_message(cls, message: work_pb2.ReplayedLetter) -> Self:
        """Translate social's message."""
        return cls(
            letter_id=strawberry.ID(message.letter_id),
            outcome=ReplayOutcome(message.outcome),
            reason=message.reason or None,
            message=message.message or None,
        )


@strawberry.input(description="What to try again.")
class ReplayDeadLettersInput:
    """For `replayDeadLetters`."""

    letter_ids: list[strawberry.ID] = field(description="At most 100.")


@strawberry.type(description="Each letter was looked at.")
class ReplayDeadLettersSuccess:
    """Of `replayDeadLetters`."""

    letters: list[ReplayedLetter] = field(description="What became of each, in the order of the input.")


ReplayDeadLettersResult = Annotated[ReplayDeadLettersSuccess | Refusal, strawberry.union("ReplayDeadLettersResult")]


@strawberry.type
class WorkQuery:
    """Queries about work."""

    @resolver("What every stream holds and who works it off. Admins only.")
    async def streams(self, info: Info) -> list[MessageStream] | None:
        """Ask social."""
        method = info.context.parts.upstream.work.ListStreams
        answer = await info.context.call(method, work_pb2.ListStreamsRequest())
        return [MessageStream.from_message(each) for each in answer.streams]

    @resolver("Messages that nobody could work off, newest first. Admins only.")
    async def dead_letters(self, info: Info, first: First = 20, after: After = None) -> Connection[DeadLetter] | None:
        """List them."""
        page = page_request(first, after)
        request = work_pb2.ListDeadLettersRequest(page_size=page.size, page_token=page.token)
        answer = await info.context.call(info.context.parts.upstream.work.ListDeadLetters, request)
        nodes = [DeadLetter.from_message(letter) for letter in answer.letters]
        return connection_from_page(page, nodes, answer.next_page_token)


@strawberry.type
class WorkMutation:
    """Mutations of work."""

    @mutation("Has dead letters tried again; doing it again does nothing. Admins only.")
    async def replay_dead_letters(self, info: Info, input: ReplayDeadLettersInput) -> ReplayDeadLettersResult:
        """Pass it on."""
        if len(input.letter_ids) > MAX_REPLAYS:
            raise InvalidArgument(
                f"{len(input.letter_ids)} letters, the limit is {MAX_REPLAYS}",
                reason="TOO_MANY_LETTERS",
                field="letterIds",
                value=len(input.letter_ids),
                limit=MAX_REPLAYS,
            )
        request = work_pb2.ReplayDeadLettersRequest(letter_ids=list(input.letter_ids))
        answer = await info.context.call(info.context.parts.upstream.work.ReplayDeadLetters, request)
        return ReplayDeadLettersSuccess(letters=[ReplayedLetter.from_message(each) for each in answer.letters])
