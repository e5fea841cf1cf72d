"""A playlist's life beyond its making, over the whole mesh: rules, reasons, suggestions, once more, by itself."""

from typing import Any

import pytest

from deploy.local.client import ClientError, GatewayClient
from deploy.local.playlists import search_tracks
from tests.e2e.conftest import ERROR_FIELDS, RunningMesh
from tests.e2e.waiting import ended

JOB = "job { jobId kind state failureReason stage { unit done total } etaSeconds }"
ENTRIES = """entries { nodes { isSeed trackId addedById track { artist }
  reason { similarity quantile nearestPlace nearestSeed { trackId }
    seedSimilarities { place similarity seed { trackId weight } } } } }"""
GENERATE = f"""mutation($input: GeneratePlaylistInput!) {{ generatePlaylist(input: $input) {{ __typename
  ... on GeneratePlaylistSuccess {{ {JOB} }} {ERROR_FIELDS} }} }}"""
REGENERATE = f"""mutation($input: RegeneratePlaylistInput!) {{ regeneratePlaylist(input: $input) {{ __typename
  ... on RegeneratePlaylistSuccess {{ {JOB} }} {ERROR_FIELDS} }} }}"""
EXTEND = f"""mutation($input: ExtendPlaylistInput!) {{ extendPlaylist(input: $input) {{ __typename
  ... on ExtendPlaylistSuccess {{ {JOB} }} {ERROR_FIELDS} }} }}"""
JUDGE = f"""mutation($input: JudgeSuggestionsInput!) {{ judgeSuggestions(input: $input) {{ __typename
  ... on JudgeSuggestionsSuccess {{ addedEntryIds playlist {{ version {ENTRIES} }} }} {ERROR_FIELDS} }} }}"""
SCHEDULE = f"""mutation($input: SchedulePlaylistInput!) {{ schedulePlaylist(input: $input) {{ __typename
  ... on SchedulePlaylistSuccess {{ schedule {{ every lastJobId }} playlist {{ schedule {{ every }} }} }}
  {ERROR_FIELDS} }} }}"""
UNSCHEDULE = f"""mutation($input: UnschedulePlaylistInput!) {{ unschedulePlaylist(input: $input) {{ __typename
  ... on UnschedulePlaylistSuccess {{ playlist {{ schedule {{ every }} }} }} {ERROR_FIELDS} }} }}"""
PLAYLIST = f"""query($id: ID!) {{ playlist(id: $id) {{ hasRecipe version {ENTRIES}
  recipe {{ encoderId length maxPerArtist includeSeed arrangement temperature randomSeed requireLength
    seeds {{ place trackId weight track {{ title }} }} filter {{ blockedArtists durationSeconds {{ min max }} }}
    path {{ toTrackId }} }} schedule {{ every }} }} }}"""
SUGGESTIONS = """query($id: ID!, $state: SuggestionState!) { suggestions(playlistId: $id, state: $state) {
  nodes { trackId state similarity track { title } } } }"""


def succeeded(client: GatewayClient, job: dict[str, Any]) -> dict[str, Any]:
    """Wait for a job's good end."""
    found = ended(client, job["jobId"])
    assert (found["state"], found["failureReason"]) == ("SUCCEEDED", None)
    return found


def made(client: GatewayClient, **wanted: Any) -> dict[str, Any]:
    """Generate a playlist and return it."""
    job = succeeded(client, client.mutate(GENERATE, wanted)["job"])
    found: dict[str, Any] = client.query(PLAYLIST, id=job["playlistId"])["playlist"]
    return {"id": job["playlistId"], **found}


def tracks(playlist: dict[str, Any]) -> list[str]:
    return [entry["trackId"] for entry in playlist["entries"]["nodes"]]


def test_playlist_is_ruled_explained_extended_and_made_again(mesh: RunningMesh) -> None:
    with mesh.person("gina") as client:
        near, far = (search_tracks(client, f"Piece {artist}-1", 1)[0].track_id for artist in (1, 3))
        playlist = made(
            client,
            seeds=[{"trackId": near, "weight": 2.0}, {"trackId": far, "weight": -1.0}],
            length=4,
            maxPerArtist=2,
            arrangement="SIMILARITY",
            temperature=0.2,
            filter={"blockedArtists": ["Artist 2"], "durationSeconds": {"min": 30}},
        )
        entries = playlist["entries"]["nodes"]
        assert entries[0]["isSeed"]
        assert "Artist 2" not in {entry["track"]["artist"] for entry in entries}
        chosen = [entry["reason"] for entry in entries if not entry["isSeed"]]
        assert len(chosen) == 4
        for reason in chosen:
            assert (reason["nearestPlace"], reason["nearestSeed"]) == (0, {"trackId": near})
            first, second = reason["seedSimilarities"]
            assert first["seed"] == {"trackId": near, "weight": 2.0}
            assert (second["place"], second["seed"]["trackId"]) == (1, far)
            assert -1 <= first["similarity"] <= 1
        kept = playlist["recipe"]
        assert kept.pop("encoderId")
        assert kept.pop("randomSeed").isdigit()
        assert kept == {
            "length": 4,
            "maxPerArtist": 2,
            "includeSeed": True,
            "arrangement": "SIMILARITY",
            "temperature": 0.2,
            "requireLength": False,
            "seeds": [
                {"place": 0, "trackId": near, "weight": 2.0, "track": {"title": "Piece 1-1"}},
                {"place": 1, "trackId": far, "weight": -1.0, "track": {"title": "Piece 3-1"}},
            ],
            "filter": {"blockedArtists": ["Artist 2"], "durationSeconds": {"min": 30.0, "max": None}},
            "path": None,
        }

        extension = succeeded(client, client.mutate(EXTEND, {"playlistId": playlist["id"], "count": 3})["job"])
        assert (extension["kind"], extension["playlistId"]) == ("EXTENSION", playlist["id"])
        proposed = client.query(SUGGESTIONS, id=playlist["id"], state="PROPOSED")["suggestions"]["nodes"]
        assert len(proposed) == 3
        assert not {one["trackId"] for one in proposed} & set(tracks(playlist))
        taken, refused = proposed[0]["trackId"], proposed[1]["trackId"]
        judgement = {"playlistId": playlist["id"], "acceptTrackIds": [taken], "rejectTrackIds": [refused]}
        judged = client.mutate(JUDGE, judgement)
        assert len(judged["addedEntryIds"]) == 1
        assert tracks(judged["playlist"]) == [*tracks(playlist), taken]
        assert client.mutate(JUDGE, judgement)["addedEntryIds"] == []
        rejected = client.query(SUGGESTIONS, id=playlist["id"], state="REJECTED")["suggestions"]["nodes"]
        assert [one["trackId"] for one in rejected] == [refused]

        again = succeeded(client, client.mutate(REGENERATE, {"playlistId": playlist["id"], "replace": True})["job"])
        assert (again["kind"], again["playlistId"]) == ("REGENERATION", playlist["id"])
        renewed = client.query(PLAYLIST, id=playlist["id"])["playlist"]
        # What was accepted is the owner's, and stays at the end.
        assert (tracks(renewed)[0], tracks(renewed)[-1]) == (near, taken)
        assert renewed["version"] > judged["playlist"]["version"]

        planned = client.mutate(SCHEDULE, {"playlistId": playlist["id"], "every": "WEEKLY"})
        assert planned["schedule"] == {"every": "WEEKLY", "lastJobId": None}
        assert planned["playlist"]["schedule"] == {"every": "WEEKLY"}
        assert client.mutate(UNSCHEDULE, {"playlistId": playlist["id"]})["playlist"]["schedule"] is None

        path = made(client, seeds=[{"trackId": near}], path={"toTrackId": far}, length=4)
        assert (tracks(path)[0], tracks(path)[-1], len(tracks(path))) == (near, far, 4)
        assert path["recipe"]["path"] == {"toTrackId": far}

        mine = client.query("{ myJobs { nodes { kind state playlist { title } } } }")["myJobs"]["nodes"]
        assert [job["kind"] for job in mine] == ["GENERATION", "REGENERATION", "EXTENSION", "GENERATION"]
        assert all(job["playlist"] is not None for job in mine)


def test_failed_job_is_seen_by_admins_and_replayed_as_its_owners(mesh: RunningMesh) -> None:
    with mesh.person("hana") as hana, mesh.operator() as admin:
        seed = search_tracks(hana, "Piece 0-0", 1)[0].track_id
        asked = {"seeds": [{"trackId": seed}], "length": 400, "requireLength": True}
        job = hana.mutate(GENERATE, asked)["job"]
        found = ended(hana, job["jobId"])
        assert (found["state"], found["failureReason"]) == ("FAILED", "CONSTRAINTS_UNREACHABLE")
        listed = admin.query(
            "{ jobs(state: FAILED, kind: GENERATION) { nodes { owner { username } job { jobId failureReason } } } }"
        )["jobs"]["nodes"]
        assert {
            "owner": {"username": "hana"},
            "job": {"jobId": job["jobId"], "failureReason": found["failureReason"]},
        } in (listed)
        replay = f"""mutation($input: ReplayJobsInput!) {{ replayJobs(input: $input) {{ __typename
          ... on ReplayJobsSuccess {{ jobs {{ jobId newJobId reason }} }} {ERROR_FIELDS} }} }}"""
        (replayed,) = admin.mutate(replay, {"jobIds": [job["jobId"]]})["jobs"]
        assert (replayed["jobId"], replayed["reason"]) == (job["jobId"], None)
        mine = hana.query("{ myJobs(first: 1) { nodes { jobId } } }")["myJobs"]["nodes"]
        assert mine == [{"jobId": replayed["newJobId"]}]


def test_preview_is_what_is_made_of_it_and_words_are_refused_by_an_encoder_of_sounds(mesh: RunningMesh) -> None:
    document = """query($recipe: RecipeInput!, $first: Int! = 25, $after: String) { playlistPreview(recipe: $recipe) {
      trackCount encoderId randomSeed removed { rule count } tracks(first: $first, after: $after) {
        pageInfo { endCursor hasNextPage } nodes { trackId isSeed seedSimilarities track { artist } } } } }"""
    words = {"words": "calm piano on a rainy day"}
    with mesh.person("pia") as client:
        near, far = (search_tracks(client, f"Piece {artist}-1", 1)[0].track_id for artist in (1, 3))
        recipe = {
            "seeds": [{"trackId": near, "weight": 2.0}, {"trackId": far, "weight": -1.0}],
            "length": 4,
            "maxPerArtist": 2,
            "temperature": 1.0,
        }
        shown = client.query(document, recipe=recipe)["playlistPreview"]
        nodes = shown["tracks"]["nodes"]
        assert shown["trackCount"] == len(nodes) == 5
        assert [node["trackId"] for node in nodes if node["isSeed"]] == [near]
        assert [len(node["seedSimilarities"]) for node in nodes] == [2] * 5
        fixed = recipe | {"randomSeed": shown["randomSeed"]}
        again: list[str] = []
        page: dict[str, Any] = {"hasNextPage": True, "endCursor": None}
        while page["hasNextPage"]:
            found = client.query(document, recipe=fixed, first=4, after=page["endCursor"])["playlistPreview"]["tracks"]
            again += [node["trackId"] for node in found["nodes"]]
            page = found["pageInfo"]
        assert again == [node["trackId"] for node in nodes]
        assert client.query("{ myPlaylists { nodes { title } } myJobs { nodes { jobId } } }") == {
            "myPlaylists": {"nodes": []},
            "myJobs": {"nodes": []},
        }
        assert tracks(made(client, **fixed)) == again

        assert client.query("{ searchAbilities { encoderId hearsWords } }")["searchAbilities"] == {
            "encoderId": shown["encoderId"],
            "hearsWords": False,
        }
        with pytest.raises(ClientError) as refusal:
            client.mutate(GENERATE, {"seeds": [{"trackId": near}, words]})
        assert (refusal.value.code, refusal.value.field, refusal.value.value) == (
            "WORDS_NOT_HEARD", "seeds[1].words", shown["encoderId"],
        )  # fmt: skip
        for query, field in (
            ('{ searchByWords(words: "calm piano") { nodes { title } } }', "words"),
            ('{ playlistPreview(recipe: { seeds: [{ words: "calm piano" }] }) { trackCount } }', "seeds[0].words"),
        ):
            with pytest.raises(ClientError) as refusal:
                client.query(query)
            assert (refusal.value.code, refusal.value.field) == ("WORDS_NOT_HEARD", field)
