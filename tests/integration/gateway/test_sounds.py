"""Words as seeds and queries, and previews: what social is asked, what comes out, and how it is paged."""

import base64
from typing import Any

import pytest

from museed.social.v1 import jobs_pb2, sound_pb2
from services.chassis.errors import FailedPrecondition, InvalidArgument, ResourceExhausted
from tests.fakes.upstreams import new_id
from tests.integration.gateway.conftest import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

SEARCH = """query($words: String!, $first: Int! = 20, $after: String, $filter: TrackFilterInput,
    $leave: Boolean! = false) {
  searchByWords(words: $words, first: $first, after: $after, filter: $filter, leaveOutBlocked: $leave) {
    encoderId prompt pageInfo { hasNextPage hasPreviousPage endCursor }
    nodes { title } edges { cursor similarity node { title } } } }"""
PREVIEW = """query($recipe: RecipeInput!, $first: Int! = 25, $after: String) {
  playlistPreview(recipe: $recipe) { trackCount encoderId randomSeed removed { rule count }
    tracks(first: $first, after: $after) { pageInfo { hasNextPage hasPreviousPage endCursor }
      nodes { position trackId isSeed similarity quantile sharedTags nearestPlace seedSimilarities
        track { title } } } } }"""
WORDS = "calm piano"


def put_matches(gateway: Gateway, track_ids: list[str]) -> None:
    def answer(request: sound_pb2.SearchByWordsRequest) -> sound_pb2.SearchByWordsResponse:
        matches = [sound_pb2.WordMatch(track_id=each, similarity=0.1) for each in track_ids]
        return sound_pb2.SearchByWordsResponse(
            matches=matches[: request.count], encoder_id="mulan", prompt="calm piano music"
        )

    gateway.social.answers["SearchByWords"] = answer


def put_preview(gateway: Gateway, track_ids: list[str], random_seed: int | None = None) -> None:
    tracks = [
        sound_pb2.PreviewTrack(track_id=each, similarity=0.1, seed_similarities=[0.1, -0.5], shared_tags=["guitar"])
        for each in track_ids
    ]
    tracks[0].is_seed = True
    tracks[1].quantile, tracks[1].nearest_seed = 0.992, 0
    gateway.social.answers["GetPlaylistPreview"] = sound_pb2.GetPlaylistPreviewResponse(
        tracks=tracks,
        recipe=jobs_pb2.Recipe(random_seed=random_seed),
        encoder_id="mulan",
        removed=[sound_pb2.RuleCount(rule="max_per_artist", count=4)],
    )


async def search(gateway: Gateway, **variables: Any) -> Any:
    return (await gateway.data(SEARCH, {"words": WORDS} | variables, gateway.bearer()))["searchByWords"]


async def preview(gateway: Gateway, recipe: dict[str, Any], **variables: Any) -> Any:
    return (await gateway.data(PREVIEW, {"recipe": recipe} | variables, gateway.bearer()))["playlistPreview"]


async def test_words_find_tracks(gateway: Gateway) -> None:
    first, last = gateway.social.add_tracks(2)
    put_matches(gateway, [first.track_id, last.track_id])
    found = await search(gateway, leave=True, filter={"genres": ["Jazz"]})
    assert found == {
        "encoderId": "mulan",
        "prompt": "calm piano music",
        "pageInfo": {"hasNextPage": False, "hasPreviousPage": False, "endCursor": found["edges"][1]["cursor"]},
        "nodes": [{"title": "Track 000"}, {"title": "Track 001"}],
        "edges": [
            {"cursor": found["edges"][0]["cursor"], "similarity": 0.1, "node": {"title": "Track 000"}},
            {"cursor": found["edges"][1]["cursor"], "similarity": 0.1, "node": {"title": "Track 001"}},
        ],
    }
    asked = gateway.social.requests["SearchByWords"]
    assert (asked.words, asked.count, asked.leave_out_blocked, list(asked.filter.genres)) == (WORDS, 21, True, ["Jazz"])
    assert gateway.behind.spent() == {"SearchByWords": 1, "BatchGetTracks": 1}


async def test_matches_are_walked_through_to_the_last_of_two_hundred(gateway: Gateway) -> None:
    tracks = gateway.social.add_tracks(230)
    put_matches(gateway, [track.track_id for track in tracks])
    del gateway.social.tracks[tracks[99].track_id]
    titles: list[str] = []
    after, counts = None, []
    while True:
        page = await search(gateway, first=100, after=after)
        counts.append(gateway.social.requests["SearchByWords"].count)
        titles += [node["title"] for node in page["nodes"]]
        assert page["pageInfo"]["hasPreviousPage"] == (after is not None)
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    assert titles == [f"Track {number:03}" for number in range(200) if number != 99]
    assert counts == [101, 200]
    body = await gateway.run(SEARCH, {"words": WORDS, "after": base64.b64encode(b"0:200").decode()}, gateway.bearer())
    assert body["errors"][0]["extensions"]["reason"] == "CURSOR_INVALID"


async def test_refusals_name_what_was_typed(gateway: Gateway) -> None:
    (track,) = gateway.social.add_tracks(1)
    seeds = [{"trackId": track.track_id}, {"words": WORDS}]
    for method, document, variables, field, told in (
        ("SearchByWords", SEARCH, {"words": WORDS}, "words", "words"),
        ("GetPlaylistPreview", PREVIEW, {"recipe": {"seeds": seeds}}, "recipe.seeds[1].words", "seeds[1].words"),
    ):
        for error in (
            FailedPrecondition("no words", reason="WORDS_NOT_HEARD", field=field, value="mini"),
            InvalidArgument("which?", reason="WORDS_UNKNOWN", field=field, value=WORDS),
        ):
            gateway.social.faults[method] = error
            body = await gateway.run(document, variables, gateway.bearer())
            found = body["errors"][0]["extensions"]
            assert (found["reason"], found["field"], found["value"]) == (error.reason, told, error.value)
        gateway.social.faults[method] = ResourceExhausted("wait", reason="TOO_MANY", limit=2, retry_after_ms=500)
        found = (await gateway.run(document, variables, gateway.bearer()))["errors"][0]["extensions"]
        assert (found["code"], found["retryAfterMs"], found["limit"]) == ("RESOURCE_EXHAUSTED", 500, "2")
        found = (await gateway.run(document, variables))["errors"][0]["extensions"]
        assert found["reason"] == "LOGIN_REQUIRED"


async def test_whether_words_are_heard_is_told_to_guests(gateway: Gateway) -> None:
    gateway.social.answers["DescribeSearch"] = sound_pb2.DescribeSearchResponse(encoder_id="mini", hears_words=False)
    found = await gateway.data("{ searchAbilities { encoderId hearsWords } }")
    assert found == {"searchAbilities": {"encoderId": "mini", "hearsWords": False}}


async def test_preview_asks_what_a_generation_asks(gateway: Gateway) -> None:
    tracks = gateway.social.add_tracks(2)
    put_preview(gateway, [track.track_id for track in tracks], random_seed=2**64 - 1)
    recipe = {
        "seeds": [{"words": WORDS, "weight": 2}, {"trackId": tracks[0].track_id, "weight": -1}, {"uploadId": new_id()}],
        "length": 40,
        "includeSeed": False,
        "minSimilarity": 0.25,
        "filter": {"year": {"min": 1990}},
        "temperature": 0.5,
        "arrangement": "ENERGY_ARC",
        "energyArc": [0.25, 0.5],
        "useMyTaste": True,
    }
    shown = await preview(gateway, recipe)
    assert shown == {
        "trackCount": 2,
        "encoderId": "mulan",
        "randomSeed": "18446744073709551615",
        "removed": [{"rule": "max_per_artist", "count": 4}],
        "tracks": {
            "pageInfo": {
                "hasNextPage": False,
                "hasPreviousPage": False,
                "endCursor": shown["tracks"]["pageInfo"]["endCursor"],
            },
            "nodes": [
                {
                    "position": 0,
                    "trackId": tracks[0].track_id,
                    "isSeed": True,
                    "similarity": 0.1,
                    "quantile": None,
                    "sharedTags": ["guitar"],
                    "nearestPlace": None,
                    "seedSimilarities": [0.1, -0.5],
                    "track": {"title": "Track 000"},
                },
                {
                    "position": 1,
                    "trackId": tracks[1].track_id,
                    "isSeed": False,
                    "similarity": 0.1,
                    "quantile": 0.992,
                    "sharedTags": ["guitar"],
                    "nearestPlace": 0,
                    "seedSimilarities": [0.1, -0.5],
                    "track": {"title": "Track 001"},
                },
            ],
        },
    }
    assert gateway.behind.spent() == {"GetPlaylistPreview": 1, "BatchGetTracks": 1}
    previewed = gateway.social.requests["GetPlaylistPreview"].recipe
    assert [seed.WhichOneof("source") for seed in previewed.seeds] == ["words", "track_id", "upload_id"]
    document = "mutation($input: GeneratePlaylistInput!) { generatePlaylist(input: $input) { __typename } }"
    await gateway.data(document, {"input": recipe}, gateway.bearer())
    assert gateway.social.requests["CreateGenerationJob"].recipe == previewed


async def test_preview_is_paged(gateway: Gateway) -> None:
    tracks = gateway.social.add_tracks(5)
    put_preview(gateway, [track.track_id for track in tracks])
    recipe = {"seeds": [{"trackId": tracks[0].track_id}]}
    first = await preview(gateway, recipe, first=3)
    assert (first["trackCount"], first["randomSeed"]) == (5, None)
    assert [node["track"]["title"] for node in first["tracks"]["nodes"]] == ["Track 000", "Track 001", "Track 002"]
    assert first["tracks"]["pageInfo"]["hasNextPage"]
    rest = await preview(gateway, recipe, first=3, after=first["tracks"]["pageInfo"]["endCursor"])
    assert [node["position"] for node in rest["tracks"]["nodes"]] == [3, 4]
    assert (rest["tracks"]["pageInfo"]["hasNextPage"], rest["tracks"]["pageInfo"]["hasPreviousPage"]) == (False, True)


@pytest.mark.parametrize(
    "seed",
    [{}, {"words": "x", "trackId": "0190a000-0000-7000-8000-000000000000"}, {"words": "x", "uploadId": "x"}],
    ids=["none", "words and a track", "words and an upload"],
)
async def test_seed_is_one_thing(gateway: Gateway, seed: dict[str, str]) -> None:
    body = await gateway.run(PREVIEW, {"recipe": {"seeds": [seed]}}, gateway.bearer())
    found = body["errors"][0]["extensions"]
    assert (found["reason"], found["field"]) == ("SEED_AMBIGUOUS", "seeds[0]")
    assert gateway.behind.spent() == {}
