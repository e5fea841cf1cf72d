"""Recipes over HTTP: every rule is sent and read back, entries tell why they are there, playlists are made again."""

from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor

from museed.social.v1 import jobs_pb2, jobwork_pb2
from services.chassis.errors import FailedPrecondition, InvalidArgument
from services.gateway.schema import make_schema
from tests.fakes.upstreams import new_id
from tests.integration.gateway.conftest import Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

ERROR = "... on UserError { code message field value limit }"
GENERATE = f"""mutation($input: GeneratePlaylistInput!) {{ generatePlaylist(input: $input) {{ __typename
  ... on GeneratePlaylistSuccess {{ job {{ kind state }} }} {ERROR} }} }}"""
REGENERATE = f"""mutation($input: RegeneratePlaylistInput!) {{ regeneratePlaylist(input: $input) {{ __typename
  ... on RegeneratePlaylistSuccess {{ job {{ jobId kind state }} playlist {{ title }} }} {ERROR} }} }}"""
RANGES = "durationSeconds { min max } year { min max } tempoBpm { min max } energy { min max } loudnessLufs { min max }"
RECIPE = f"""query($id: ID!) {{ playlist(id: $id) {{ hasRecipe recipe {{
  encoderId seeds {{ place trackId uploadId weight track {{ title }} }} length maxPerArtist includeSeed minSimilarity
  excludeTrackIds negativePenalty weighAgreement artistWindow diversity temperature randomSeed arrangement energyArc
  requireLength useMyTaste profileWeight hubDamping allowNearDuplicates path {{ toTrackId toTrack {{ title }} }}
  filter {{ genres artists blockedArtists trackIds tags blockedTags keys {RANGES} }} }} }} }}"""
RULES = {
    "length": 40,
    "maxPerArtist": 2,
    "includeSeed": False,
    "minSimilarity": 0.1,
    "negativePenalty": 0.7,
    "weighAgreement": True,
    "artistWindow": 5,
    "diversity": 0.3,
    "temperature": 0.2,
    "arrangement": "ENERGY_ARC",
    "energyArc": [0.1, 0.9, 0.4],
    "requireLength": True,
    "useMyTaste": True,
    "profileWeight": 0.4,
    "hubDamping": 0.6,
    "allowNearDuplicates": True,
}
FILTER = {
    "genres": ["Rock", "Jazz"],
    "artists": ["아이유"],
    "blockedArtists": ["Nobody"],
    "tags": ["guitar"],
    "blockedTags": ["drums"],
    "durationSeconds": {"min": 60.0, "max": 300.5},
    "year": {"min": 1990.0, "max": None},
    "tempoBpm": {"min": None, "max": 140.0},
    "energy": {"min": 0.0, "max": 0.0},
    "loudnessLufs": {"min": -20.0, "max": -6.0},
    "keys": ["C major"],
}


def camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


def recipe_of(gateway: Gateway) -> jobs_pb2.Recipe:
    """A recipe with everything in it that RULES and FILTER have."""
    gateway.social.add_tracks(4)
    first, second, excluded, allowed = gateway.social.tracks
    return jobs_pb2.Recipe(
        seeds=[
            jobs_pb2.GenerationSeed(track_id=first, weight=2.5),
            jobs_pb2.GenerationSeed(track_id=second, weight=-1.25),
            jobs_pb2.GenerationSeed(upload_id=new_id(), weight=1),
        ],
        length=40,
        max_per_artist=2,
        include_seed=False,
        min_similarity=0.1,
        exclude_track_ids=[excluded],
        filter=jobs_pb2.TrackFilter(
            genres=["Rock", "Jazz"],
            artists=["아이유"],
            blocked_artists=["Nobody"],
            track_ids=[allowed],
            tags=["guitar"],
            blocked_tags=["drums"],
            duration_seconds=jobs_pb2.NumberRange(min=60, max=300.5),
            year=jobs_pb2.NumberRange(min=1990),
            tempo_bpm=jobs_pb2.NumberRange(max=140),
            energy=jobs_pb2.NumberRange(min=0, max=0),
            loudness_lufs=jobs_pb2.NumberRange(min=-20, max=-6),
            keys=["C major"],
        ),
        negative_penalty=0.7,
        weigh_agreement=True,
        artist_window=5,
        diversity=0.3,
        temperature=0.2,
        random_seed=2**64 - 1,
        arrangement=jobs_pb2.ARRANGEMENT_ENERGY_ARC,
        energy_arc=[0.1, 0.9, 0.4],
        require_length=True,
        use_my_taste=True,
        profile_weight=0.4,
        hub_damping=0.6,
        allow_near_duplicates=True,
    )


async def test_every_rule_is_sent(gateway: Gateway) -> None:
    wanted = recipe_of(gateway)
    seeds = [
        {"trackId": wanted.seeds[0].track_id, "weight": 2.5},
        {"trackId": wanted.seeds[1].track_id, "weight": -1.25},
        {"uploadId": wanted.seeds[2].upload_id},
    ]
    input_ = {
        **RULES,
        "seeds": seeds,
        "filter": {**FILTER, "trackIds": list(wanted.filter.track_ids)},
        "excludeTrackIds": list(wanted.exclude_track_ids),
        "randomSeed": str(2**64 - 1),
    }
    found = await gateway.data(GENERATE, {"input": input_}, gateway.bearer())
    assert found["generatePlaylist"]["job"] == {"kind": "GENERATION", "state": "SUCCEEDED"}
    assert gateway.social.requests["CreateGenerationJob"].recipe == wanted


async def test_path_is_sent_with_its_end(gateway: Gateway) -> None:
    first, last = (track.track_id for track in gateway.social.add_tracks(2))
    input_ = {"seeds": [{"trackId": first}], "path": {"toTrackId": last}, "length": 12}
    await gateway.data(GENERATE, {"input": input_}, gateway.bearer())
    assert gateway.social.requests["CreateGenerationJob"].recipe == jobs_pb2.Recipe(
        seeds=[jobs_pb2.GenerationSeed(track_id=first, weight=1)], length=12, path=jobs_pb2.PathEnd(to_track_id=last)
    )


async def test_recipe_is_read_back_as_it_would_be_asked_for(gateway: Gateway) -> None:
    kept = recipe_of(gateway)
    kept.path.to_track_id = kept.seeds[1].track_id  # no recipe has both; each is told
    playlist = gateway.social.add_playlist([])
    playlist.has_recipe = True
    gateway.social.playlists[playlist.playlist_id].playlist.has_recipe = True
    gateway.social.answers["BatchGetRecipes"] = jobwork_pb2.BatchGetRecipesResponse(
        recipes=[jobwork_pb2.KeptRecipe(playlist_id=playlist.playlist_id, recipe=kept, encoder_id="fake-1")]
    )
    found = (await gateway.data(RECIPE, {"id": playlist.playlist_id}, gateway.bearer()))["playlist"]["recipe"]
    first, second, lent = kept.seeds
    assert found == {
        **RULES,
        "encoderId": "fake-1",
        "seeds": [
            {"place": 0, "trackId": first.track_id, "uploadId": None, "weight": 2.5, "track": {"title": "Track 000"}},
            {
                "place": 1,
                "trackId": second.track_id,
                "uploadId": None,
                "weight": -1.25,
                "track": {"title": "Track 001"},
            },
            {"place": 2, "trackId": None, "uploadId": lent.upload_id, "weight": 1.0, "track": None},
        ],
        "filter": {**FILTER, "trackIds": list(kept.filter.track_ids)},
        "excludeTrackIds": list(kept.exclude_track_ids),
        "randomSeed": "18446744073709551615",
        "path": {"toTrackId": second.track_id, "toTrack": {"title": "Track 001"}},
    }
    assert gateway.behind.spent() == {"GetPlaylist": 1, "BatchGetRecipes": 1, "BatchGetTracks": 1}


async def test_what_a_recipe_leaves_open_is_null(gateway: Gateway) -> None:
    playlist = gateway.social.add_playlist([])
    gateway.social.playlists[playlist.playlist_id].playlist.has_recipe = True
    kept = jobs_pb2.Recipe(length=25, max_per_artist=3, include_seed=True, arrangement=jobs_pb2.ARRANGEMENT_FLOW)
    gateway.social.answers["BatchGetRecipes"] = jobwork_pb2.BatchGetRecipesResponse(
        recipes=[jobwork_pb2.KeptRecipe(playlist_id=playlist.playlist_id, recipe=kept)]
    )
    found = (await gateway.data(RECIPE, {"id": playlist.playlist_id}, gateway.bearer()))["playlist"]["recipe"]
    open_ones = ("minSimilarity", "negativePenalty", "artistWindow", "randomSeed", "profileWeight", "path", "filter")
    assert [found[name] for name in open_ones] == [None] * 7
    assert (found["arrangement"], found["energyArc"], found["diversity"]) == ("FLOW", [], 0.0)


async def test_recipe_is_not_asked_for_where_there_is_none_to_tell(gateway: Gateway) -> None:
    playlist = gateway.social.add_playlist([])
    document = "query($id: ID!) { playlist(id: $id) { hasRecipe recipe { length } schedule { every } } }"
    found = await gateway.data(document, {"id": playlist.playlist_id})
    assert found["playlist"] == {"hasRecipe": False, "recipe": None, "schedule": None}
    gateway.social.playlists[playlist.playlist_id].playlist.has_recipe = True
    found = await gateway.data(document, {"id": playlist.playlist_id})
    assert found["playlist"] == {"hasRecipe": True, "recipe": None, "schedule": None}
    assert gateway.behind.spent() == {"GetPlaylist": 2}
    # Somebody else's is left out by social.
    for name in ("BatchGetRecipes", "BatchGetSchedules"):
        gateway.social.answers[name] = getattr(jobwork_pb2, f"{name}Response")()
    found = await gateway.data(document, {"id": playlist.playlist_id}, gateway.bearer(sub="somebody-else"))
    assert found["playlist"] == {"hasRecipe": True, "recipe": None, "schedule": None}
    assert gateway.behind.spent() == {"GetPlaylist": 1, "BatchGetRecipes": 1, "BatchGetSchedules": 1}


async def test_entries_tell_why_they_are_there(gateway: Gateway) -> None:
    kept = recipe_of(gateway)
    tracks = list(gateway.social.tracks.values())
    playlist = gateway.social.add_playlist(tracks[:3])
    whole = gateway.social.playlists[playlist.playlist_id]
    whole.playlist.has_recipe = True
    why, bare, by_hand = whole.entries
    why.quantile, why.nearest_seed = 0.992, 1
    why.seed_similarities.extend([0.7, 0.8, -0.1])
    why.similarity = 0.75
    by_hand.ClearField("similarity")
    by_hand.added_by = "user-1"
    gateway.social.answers["BatchGetRecipes"] = jobwork_pb2.BatchGetRecipesResponse(
        recipes=[jobwork_pb2.KeptRecipe(playlist_id=playlist.playlist_id, recipe=kept)]
    )
    document = """query($id: ID!) { playlist(id: $id) { entries { nodes { reason {
      similarity quantile sharedTags nearestPlace nearestSeed { track { title } }
      seedSimilarities { place similarity seed { trackId uploadId } } } } } } }"""
    variables = {"id": playlist.playlist_id}
    nodes = (await gateway.data(document, variables, gateway.bearer()))["playlist"]["entries"]["nodes"]
    assert gateway.behind.spent() == {"GetPlaylist": 1, "BatchGetRecipes": 1, "BatchGetTracks": 1}
    seeds = [{"trackId": seed.track_id or None, "uploadId": seed.upload_id or None} for seed in kept.seeds]
    similarities = (0.7, 0.8, -0.1)
    assert nodes == [
        {
            "reason": {
                "similarity": 0.75,
                "quantile": 0.992,
                "sharedTags": ["guitar"],
                "nearestPlace": 1,
                "nearestSeed": {"track": {"title": "Track 001"}},
                "seedSimilarities": [
                    {"place": place, "similarity": similarity, "seed": seeds[place]}
                    for place, similarity in enumerate(similarities)
                ],
            }
        },
        {
            "reason": {
                "similarity": bare.similarity,
                "quantile": None,
                "sharedTags": ["guitar"],
                "nearestPlace": None,
                "nearestSeed": None,
                "seedSimilarities": [],
            }
        },
        {"reason": None},
    ]
    # A guest sees the numbers, and not what they were measured to.
    guest = (await gateway.data(document, variables))["playlist"]["entries"]["nodes"][0]["reason"]
    assert (guest["quantile"], guest["nearestPlace"], guest["nearestSeed"]) == (0.992, 1, None)
    assert [each["seed"] for each in guest["seedSimilarities"]] == [None] * 3


@pytest.mark.parametrize("replace", [True, False])
async def test_playlist_is_made_once_more(gateway: Gateway, replace: bool) -> None:
    playlist = gateway.social.add_playlist([])
    job = jobs_pb2.Job(
        job_id=new_id(),
        kind=jobs_pb2.JOB_KIND_REGENERATION,
        state=jobs_pb2.JOB_STATE_SUCCEEDED,
        playlist_id=playlist.playlist_id,
    )
    gateway.social.answers["CreateRegenerationJob"] = jobwork_pb2.CreateRegenerationJobResponse(job=job)
    input_ = {"playlistId": playlist.playlist_id, "replace": replace, "idempotencyKey": "again"}
    found = (await gateway.data(REGENERATE, {"input": input_}, gateway.bearer()))["regeneratePlaylist"]
    assert found == {
        "__typename": "RegeneratePlaylistSuccess",
        "job": {"jobId": job.job_id, "kind": "REGENERATION", "state": "SUCCEEDED"},
        "playlist": {"title": "Like Track 000"},
    }
    assert gateway.social.requests["CreateRegenerationJob"] == jobwork_pb2.CreateRegenerationJobRequest(
        idempotency_key="again", playlist_id=playlist.playlist_id, replace=replace, wait_ms=1500
    )


async def test_what_social_refuses_names_the_input_as_clients_call_it(gateway: Gateway) -> None:
    (seed,) = gateway.social.add_tracks(1)
    gateway.social.faults["CreateGenerationJob"] = InvalidArgument(
        "recipe.filter.tempo_bpm.min is 9, the limit is 8",
        reason="OUT_OF_RANGE",
        field="recipe.filter.tempo_bpm.min",
        value=9,
        limit=8,
    )
    input_ = {"seeds": [{"trackId": seed.track_id}], "filter": {"tempoBpm": {"min": 9, "max": 8}}}
    found = (await gateway.data(GENERATE, {"input": input_}, gateway.bearer()))["generatePlaylist"]
    assert found == {
        "__typename": "InvalidInputError",
        "code": "OUT_OF_RANGE",
        "message": "filter.tempoBpm.min is 9, the limit is 8",
        "field": "filter.tempoBpm.min",
        "value": "9",
        "limit": "8",
    }
    gateway.social.faults["CreateRegenerationJob"] = FailedPrecondition("it has no recipe", reason="NO_RECIPE")
    again = {"playlistId": new_id(), "replace": True}
    found = (await gateway.data(REGENERATE, {"input": again}, gateway.bearer()))["regeneratePlaylist"]
    assert (found["__typename"], found["code"]) == ("ConflictError", "NO_RECIPE")


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"filter": {"trackIds": [None]}}, None),
        ({"filter": {"trackIds": ["x"]}}, "filter.trackIds[0]"),
        ({"path": {"toTrackId": "UGxheWxpc3Q6eA=="}}, "path.toTrackId"),
        ({"randomSeed": -1}, None),
        ({"randomSeed": str(2**64)}, None),
        ({"randomSeed": 1.5}, None),
        ({"randomSeed": True}, None),
        ({"randomSeed": "٣"}, None),
        ({"length": 2**31}, None),
        ({"diversity": "0.1"}, None),
        ({"arrangement": "CHAOS"}, None),
        ({"energyArc": [[0.1]]}, None),
    ],
)
async def test_what_is_no_recipe_is_refused_before_anybody_is_asked(
    gateway: Gateway, more: dict[str, Any], field: str | None
) -> None:
    input_ = {"seeds": [{"trackId": new_id()}], **more}
    body = await gateway.run(GENERATE, {"input": input_}, gateway.bearer())
    if field is None:
        assert body["errors"][0]["extensions"]["reason"] == "DOCUMENT_INVALID"
    else:
        assert body["data"]["generatePlaylist"]["field"] == field
    assert gateway.behind.spent() == {}


async def test_numbers_beyond_single_precision_reach_social_as_out_of_range(gateway: Gateway) -> None:
    (seed,) = gateway.social.add_tracks(1)
    input_ = {"seeds": [{"trackId": seed.track_id, "weight": 1e300}], "diversity": -1e300}
    await gateway.data(GENERATE, {"input": input_}, gateway.bearer())
    sent = gateway.social.requests["CreateGenerationJob"].recipe
    assert (sent.seeds[0].weight, sent.diversity) == (float("inf"), float("-inf"))


@pytest.mark.parametrize(
    ("message", "input_name", "type_name", "more"),
    [
        (
            jobs_pb2.Recipe.DESCRIPTOR,
            "GeneratePlaylistInput",
            "Recipe",
            {"title", "visibility", "idempotencyKey"},
        ),
        (jobs_pb2.TrackFilter.DESCRIPTOR, "TrackFilterInput", "TrackFilter", set()),
        (jobs_pb2.NumberRange.DESCRIPTOR, "NumberRangeInput", "NumberRange", set()),
        (jobs_pb2.PathEnd.DESCRIPTOR, "PathInput", "RecipePath", set()),
    ],
    ids=["recipe", "filter", "range", "path"],
)
async def test_every_rule_of_the_contract_can_be_asked_for_and_read(
    message: Descriptor, input_name: str, type_name: str, more: set[str]
) -> None:
    types = make_schema()._schema.type_map
    rules = {camel(field.name) for field in message.fields}
    assert set(types[input_name].fields) == rules | more  # type: ignore[attr-defined]  # both have fields
    assert rules <= set(types[type_name].fields)  # type: ignore[attr-defined]  # both have fields
