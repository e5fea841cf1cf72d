"""Generation jobs: what may be asked for, names, stages, and when a failure is the end."""

import json
import math
from dataclasses import replace

import pytest

from services.chassis.errors import (
    DeadlineExceeded,
    DomainError,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unavailable,
)
from services.social.domain.idempotency import check_key
from services.social.domain.ids import TrackId, UploadId, new_id
from services.social.domain.jobs import GenerationRequest, JobState, backoff_s, is_given_up, is_transient, title_after
from services.social.domain.playlists import Visibility
from services.social.domain.recipe import Recipe, Seed, check_recipe, check_seed

TRACK = "0199aaaa-0000-7000-8000-000000000001"
UPLOAD = "0199aaaa-0000-7000-8000-000000000002"
SEED = Seed(TrackId(TRACK), None, 1.0)


def recipe(**more: object) -> Recipe:
    fields: dict[str, object] = {
        "seeds": [SEED],
        "length": None,
        "max_per_artist": None,
        "include_seed": None,
        "min_similarity": None,
        "exclude_track_ids": [],
    }
    return check_recipe(**{**fields, **more})  # type: ignore[arg-type]  # any field


def test_open_fields_take_their_defaults() -> None:
    assert recipe() == Recipe((SEED,), 25, 3, True, None, ())


def test_recipe_survives_storing() -> None:
    made = recipe(
        seeds=[SEED, Seed(None, UploadId(UPLOAD), 2.5)],
        length=500,
        max_per_artist=1,
        include_seed=False,
        min_similarity=-0.5,
        exclude_track_ids=[TRACK],
    )
    assert Recipe.from_json(json.loads(json.dumps(made.to_json()))) == made
    assert (made.track_ids, made.upload_ids) == ([TRACK], [UPLOAD])


@pytest.mark.parametrize(
    ("change", "reason", "field", "value", "limit"),
    [
        ({"seeds": []}, "REQUIRED", "recipe.seeds", "", None),
        ({"seeds": [SEED] * 21}, "OUT_OF_RANGE", "recipe.seeds", "21", "20"),
        ({"length": 0}, "OUT_OF_RANGE", "recipe.length", "0", "1"),
        ({"length": 10_000}, "OUT_OF_RANGE", "recipe.length", "10000", "500"),
        ({"length": -1}, "OUT_OF_RANGE", "recipe.length", "-1", "1"),
        ({"max_per_artist": 0}, "OUT_OF_RANGE", "recipe.max_per_artist", "0", "1"),
        ({"max_per_artist": 501}, "OUT_OF_RANGE", "recipe.max_per_artist", "501", "500"),
        ({"min_similarity": 1.5}, "OUT_OF_RANGE", "recipe.min_similarity", "1.5", "1"),
        ({"min_similarity": math.nan}, "MALFORMED", "recipe.min_similarity", "NaN", "a number"),
        ({"exclude_track_ids": [TRACK, "x"]}, "MALFORMED", "recipe.exclude_track_ids[1]", "x", "a UUID"),
        ({"exclude_track_ids": [TRACK] * 1_001}, "OUT_OF_RANGE", "recipe.exclude_track_ids", "1001", "1000"),
    ],
)
def test_wrong_recipe_names_field_value_and_limit(
    change: dict[str, object], reason: str, field: str, value: str, limit: str | None
) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        recipe(**change)
    error = refusal.value
    assert (error.reason, error.field, error.value, error.limit) == (reason, field, value, limit)


def test_bounds_themselves_are_allowed() -> None:
    assert recipe(length=1).length == 1
    assert recipe(length=500).length == 500
    assert recipe(min_similarity=-1.0).min_similarity == -1.0


@pytest.mark.parametrize(
    ("track_id", "upload_id", "weight", "reason", "field"),
    [
        ("", "", 1.0, "REQUIRED", "recipe.seeds[2].track_id"),
        ("nonsense", "", 1.0, "MALFORMED", "recipe.seeds[2].track_id"),
        ("", TRACK.upper(), 1.0, "MALFORMED", "recipe.seeds[2].upload_id"),
        (TRACK, "", -10.5, "OUT_OF_RANGE", "recipe.seeds[2].weight"),
        (TRACK, "", 10.5, "OUT_OF_RANGE", "recipe.seeds[2].weight"),
        (TRACK, "", math.nan, "MALFORMED", "recipe.seeds[2].weight"),
    ],
)
def test_wrong_seed_names_its_field(track_id: str, upload_id: str, weight: float, reason: str, field: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        check_seed(track_id, upload_id, weight, "recipe.seeds[2]")
    assert (refusal.value.reason, refusal.value.field) == (reason, field)


def test_weight_0_means_1() -> None:
    assert check_seed(TRACK, "", 0.0, "seed") == SEED


def test_key_is_bounded() -> None:
    assert check_key("k" * 200) == "k" * 200
    for key in ("", " ", "k" * 201):
        with pytest.raises(InvalidArgument):
            check_key(key)


def test_digest_tells_requests_apart_and_not_their_spelling() -> None:
    request = GenerationRequest(recipe(), "", Visibility.PRIVATE)
    assert request.digest() == GenerationRequest(recipe(length=25), "", Visibility.PRIVATE).digest()
    others = [
        replace(request, recipe=recipe(length=24)),
        replace(request, title="Mine"),
        replace(request, visibility=Visibility.PUBLIC),
    ]
    assert len({request.digest(), *(other.digest() for other in others)}) == 4


@pytest.mark.parametrize(
    ("names", "title"),
    [
        ([("Song", "Band")], "Like “Song” by Band"),
        ([("Song", "")], "Like “Song”"),
        ([("Song", "Band"), ("Other", "B"), ("Third", "")], "Like “Song” and 2 more"),
        ([("S" * 300, "Band")], "Like “" + "S" * 192 + "…”"),
        ([("Song", "B" * 300)], "Like “Song”"),
        ([("S" * 300, ""), ("Other", "")], "Like “" + "S" * 181 + "…” and 1 more"),
    ],
)
def test_playlist_is_named_after_its_seeds(names: list[tuple[str, str]], title: str) -> None:
    assert title_after(names) == title
    assert len(title) <= 200


def test_states_pass_in_one_direction() -> None:
    assert JobState.SEARCHING.is_after(JobState.EMBEDDING)
    assert not JobState.EMBEDDING.is_after(JobState.SEARCHING)
    assert not JobState.SEARCHING.is_after(JobState.SEARCHING)
    assert [state.value for state in JobState if state.is_final] == ["SUCCEEDED", "FAILED", "CANCELLED"]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Unavailable("away"), True),
        (DeadlineExceeded("late"), True),
        (ResourceExhausted("busy", retry_after_ms=100), True),
        (ResourceExhausted("too large", field="body", limit=5), False),
        (InvalidArgument("silent", reason="AUDIO_SILENT"), False),
        (FailedPrecondition("none", reason="NO_CANDIDATES"), False),
        (NotFound("gone"), False),
    ],
)
def test_only_what_may_pass_is_tried_again(error: DomainError, expected: bool) -> None:
    assert is_transient(error) is expected


def test_rest_doubles_up_to_15_seconds() -> None:
    assert [backoff_s(count) for count in (0, 1, 2, 3, 4, 5, 6, 1_000)] == [0.5, 1, 2, 4, 8, 15, 15, 15]


@pytest.mark.parametrize(
    ("age_s", "releases", "give_up_s", "expected"),
    [
        (1_801, 1_000, 1_800, True),
        (1_799, 1_000, 1_800, False),
        # After a night without anything: 0.5 + 1 + 2 + 4 + 8 + 15 + 15 + 15 s.
        (40_000, 0, 1_800, False),
        (40_000, 7, 1_800, False),
        (40_000, 8, 1_800, True),
        (1.5, 1, 1, False),
        (1.5, 2, 1, True),
    ],
)
def test_job_is_given_up_when_it_is_old_and_was_tried_for_a_minute(
    age_s: float, releases: int, give_up_s: float, expected: bool
) -> None:
    assert is_given_up(age_s, releases, give_up_s) is expected


def test_ids_rise() -> None:
    ids = [new_id() for _ in range(100)]
    assert ids == sorted(ids)
