"""Searching by words for tracks that sound so."""

from typing import Annotated

import strawberry
from strawberry import field, relay

from museed.social.v1 import sound_pb2
from services.chassis.errors import InvalidArgument
from services.gateway.context import Info
from services.gateway.schema.fields import resolver
from services.gateway.schema.paging import After, First, list_window, page_info, page_request
from services.gateway.schema.paging import cursor as page_cursor
from services.gateway.schema.rules import TrackFilterInput
from services.gateway.schema.track import LeaveOutBlocked, Track
from services.gateway.schema.values import round_single

# As far as social ranks.
MAX_MATCHES = 200

Words = Annotated[
    str,
    strawberry.argument(
        description="For example “calm piano on a rainy day”: English or Chinese, or Korean moods; 1 to 500 characters."
    ),
]
Wanted = Annotated[TrackFilterInput | None, strawberry.argument(description="Which may be found; else all.")]


@strawberry.type(description="A track that sounds as the words say.")
class WordEdge:
    """A match."""

    cursor: str = field(description="Give it as `after` to go on behind this item.")
    node: Track = field(description="The track.")
    similarity: float = field(
        description="Cosine of words and sound, −1 to 1: to compare tracks with each other, since words lie farther "
        "from sounds than sounds from each other."
    )


@strawberry.type(description="Tracks that sound as the words say, nearest first: at most 200.")
class WordConnection:
    """A page of matches."""

    page_info: relay.PageInfo = field(description="Whether and where it goes on.")
    edges: list[WordEdge] = field(description="The tracks with their similarity.")
    nodes: list[Track] = field(description="The tracks alone.")
    encoder_id: str = field(description="Model that compared.")
    prompt: str = field(
        description="What was compared: the words, or for Korean moods what the table says for them in English."
    )


@strawberry.type(description="What tracks can be found by now.")
class SearchAbilities:
    """Of the encoder that is served."""

    encoder_id: str = field(description="Model whose vectors are served.")
    hears_words: bool = field(
        description="Whether `searchByWords` and seeds of words work; else they are WORDS_NOT_HEARD."
    )


@strawberry.type
class WordQuery:
    """The queries by words."""

    @resolver(
        "Tracks whose sound is as the words say, whatever they are called; by their names, `searchTracks` finds them. "
        "Refused as WORDS_NOT_HEARD where `searchAbilities.hearsWords` is false."
    )
    async def search_by_words(
        self,
        info: Info,
        words: Words,
        filter: Wanted = None,
        leave_out_blocked: LeaveOutBlocked = False,
        first: First = 20,
        after: After = None,
    ) -> WordConnection | None:
        """Ask social, which ranks from the beginning for each page; what was deleted in between is left out."""
        start, end = list_window(page_request(first, after))
        if start >= MAX_MATCHES:
            raise InvalidArgument("the list ends before this", reason="CURSOR_INVALID", field="after", value=after)
        request = sound_pb2.SearchByWordsRequest(
            words=words,
            # One more than is shown, which tells whether there is another page.
            count=min(end + 1, MAX_MATCHES),
            filter=filter.to_message() if filter is not None else None,
            leave_out_blocked=leave_out_blocked,
        )
        answer = await info.context.call(info.context.parts.upstream.sound.SearchByWords, request)
        return await _connection(info, start, end, answer)

    @resolver("What tracks can be found by now.")
    async def search_abilities(self, info: Info) -> SearchAbilities | None:
        """Ask social."""
        method = info.context.parts.upstream.sound.DescribeSearch
        answer = await info.context.call(method, sound_pb2.DescribeSearchRequest())
        return SearchAbilities(encoder_id=answer.encoder_id, hears_words=answer.hears_words)


async def _connection(info: Info, start: int, end: int, answer: sound_pb2.SearchByWordsResponse) -> WordConnection:
    matches = answer.matches[start:end]
    found = await info.context.loaders.tracks.load_many([match.track_id for match in matches])
    edges = [
        WordEdge(
            cursor=page_cursor(str(number), 0),
            node=Track.from_message(message),
            similarity=round_single(match.similarity),
        )
        for number, (match, message) in enumerate(zip(matches, found, strict=True), start=start + 1)
        if message is not None
    ]
    has_next_page = len(answer.matches) > end
    shown = page_info([edge.cursor for edge in edges], has_next_page=has_next_page, has_previous_page=start > 0)
    if has_next_page:
        shown.end_cursor = page_cursor(str(end), 0)  # also where the last ones were deleted
    return WordConnection(
        page_info=shown,
        edges=edges,
        nodes=[edge.node for edge in edges],
        encoder_id=answer.encoder_id,
        prompt=answer.prompt,
    )
