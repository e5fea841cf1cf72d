"""gRPC in: what is found by sound at once, without a job."""

import grpc

from museed.social.v1 import sound_pb2, sound_pb2_grpc
from services.chassis.auth import require_viewer
from services.social.actions.previewing import Previewer
from services.social.actions.word_search import DEFAULT_MATCHES, MOST_MATCHES, Wanted, WordSearch
from services.social.domain import fields
from services.social.domain.ids import UserId
from services.social.domain.playlists import ChosenTrack
from services.social.domain.recipe import LONGEST_WORDS
from services.social.domain.rules import check_filter
from services.social.servicer.recipe_messages import recipe_message, to_filter, to_recipe


class SoundServicer(sound_pb2_grpc.SoundServiceServicer):
    """Serves SoundService.

    Args:
        words: Searches by words.
        previewer: Follows recipes without keeping anything.
    """

    def __init__(self, words: WordSearch, previewer: Previewer) -> None:
        self._words = words
        self._previewer = previewer

    async def SearchByWords(
        self,
        request: sound_pb2.SearchByWordsRequest,
        context: grpc.aio.ServicerContext[sound_pb2.SearchByWordsRequest, sound_pb2.SearchByWordsResponse],
    ) -> sound_pb2.SearchByWordsResponse:
        """Find tracks that sound as words say."""
        wanted = Wanted(
            fields.line(request.words, "words", longest=LONGEST_WORDS, is_required=True),
            fields.integer(request.count, "count", 0, MOST_MATCHES) or DEFAULT_MATCHES,
            check_filter(to_filter(request.filter), "filter"),
            request.leave_out_blocked,
        )
        found = await self._words.find(UserId(require_viewer().user_id), wanted)
        return sound_pb2.SearchByWordsResponse(
            matches=[sound_pb2.WordMatch(track_id=track_id, similarity=near) for track_id, near in found.tracks],
            encoder_id=found.encoder_id,
            prompt=found.prompt,
        )

    async def GetPlaylistPreview(
        self,
        request: sound_pb2.GetPlaylistPreviewRequest,
        context: grpc.aio.ServicerContext[sound_pb2.GetPlaylistPreviewRequest, sound_pb2.GetPlaylistPreviewResponse],
    ) -> sound_pb2.GetPlaylistPreviewResponse:
        """Say what a recipe would make."""
        made = await self._previewer.preview(UserId(require_viewer().user_id), to_recipe(request.recipe))
        return sound_pb2.GetPlaylistPreviewResponse(
            tracks=[_track(track) for track in made.choice.tracks],
            recipe=recipe_message(made.recipe),
            encoder_id=made.encoder_id,
            removed=[sound_pb2.RuleCount(rule=rule, count=count) for rule, count in made.choice.removed],
        )

    async def DescribeSearch(
        self,
        request: sound_pb2.DescribeSearchRequest,
        context: grpc.aio.ServicerContext[sound_pb2.DescribeSearchRequest, sound_pb2.DescribeSearchResponse],
    ) -> sound_pb2.DescribeSearchResponse:
        """Say what tracks can be found by now."""
        encoder_id, hears_words = await self._words.hears_words()
        return sound_pb2.DescribeSearchResponse(encoder_id=encoder_id, hears_words=hears_words)


def _track(chosen: ChosenTrack) -> sound_pb2.PreviewTrack:
    return sound_pb2.PreviewTrack(
        track_id=chosen.track_id,
        is_seed=chosen.is_seed,
        similarity=chosen.similarity,
        seed_similarities=chosen.seed_similarities,
        shared_tags=chosen.shared_tags,
        nearest_seed=chosen.nearest_seed,
        quantile=chosen.quantile,
    )
