"""Rules of recipes: bounds, what goes with a path, how they are stored."""

import json
import math
from dataclasses import replace

import pytest

from services.chassis.errors import InvalidArgument
from services.social.domain.ids import TrackId, UploadId
from services.social.domain.jobs import GenerationRequest, Kind, can_older_release
from services.social.domain.playlists import Visibility
from services.social.domain.recipe import Recipe, Seed, check_recipe
from services.social.domain.rules import Arrangement, NumberRange, Rules, TrackFilter, check_filter
from services.social.retriever_requests import Blocks, filter_message
from services.social.servicer.recipe_messages import recipe_message, to_recipe

TRACK = TrackId("0199aaaa-0000-7000-8000-000000000001")
OTHER = TrackId("0199aaaa-0000-7000-8000-000000000002")
SEED = Seed(TRACK, None, 1.0)
EVERYTHING = Rules(
    filter=TrackFilter(
        ("Rock", "Jazz"),
        ("A",),
        ("B",),
        (TRACK,),
        ("guitar",),
        ("noise",),
        NumberRange(60, 300.5),
        NumberRange(1990, None),
        NumberRange(None, 120),
        NumberRange(0, 1),
        NumberRange(-30, -5),
        ("C major",),
    ),
    negative_penalty=2.0,
    weigh_agreement=True,
    artist_window=50,
    diversity=1.0,
    temperature=0.5,
    random_seed=2**64 - 1,
    is_seed_drawn=True,
    arrangement=Arrangement.ENERGY_ARC,
    energy_arc=(0.0, 1.0),
    require_length=True,
    use_my_taste=True,
    profile_weight=1.0,
    hub_damping=1.0,
    allow_near_duplicates=True,
)


def recipe(rules: Rules, *seeds: Seed, **more: object) -> Recipe:
    fields: dict[str, object] = {
        "length": None,
        "max_per_artist": None,
        "include_seed": None,
        "min_similarity": None,
        "exclude_track_ids": [],
    }
    return check_recipe(list(seeds) or [SEED], **{**fields, **more}, rules=rules)  # type: ignore[arg-type]  # any field


def test_every_rule_survives_storing() -> None:
    made = recipe(EVERYTHING, SEED, Seed(None, UploadId(OTHER), -10.0))
    assert made.rules == EVERYTHING
    assert Recipe.from_json(json.loads(json.dumps(made.to_json()))) == made
    request = GenerationRequest(made, "Title", Visibility.PUBLIC)
    assert GenerationRequest.from_json(json.loads(json.dumps(request.to_json()))) == request


@pytest.mark.parametrize("rules", [EVERYTHING, Rules(diversity=0.5), Rules(filter=TrackFilter(tags=("x",)))])
def test_what_an_older_release_reads_is_apart_from_what_it_cannot(rules: Rules) -> None:
    said = GenerationRequest(recipe(rules), "", Visibility.PRIVATE).to_json()
    names = {"seeds", "length", "max_per_artist", "include_seed", "min_similarity", "exclude_track_ids"}
    assert set(said["recipe"]) == names
    assert not can_older_release(Kind.GENERATION, said)


def test_genres_and_keys_are_spelt_as_tracks_have_them() -> None:
    checked = check_filter(TrackFilter(genres=("hip-HOP", "rock"), keys=("c# MINOR",)), "filter")
    assert (checked.genres, checked.keys) == (("Hip-Hop", "Rock"), ("C# minor",))


def test_old_recipe_is_stored_as_it_was_and_anybody_may_take_it() -> None:
    said = GenerationRequest(recipe(Rules()), "", Visibility.PRIVATE).to_json()
    assert set(said) == {"recipe", "title", "visibility"}
    assert can_older_release(Kind.GENERATION, said)
    assert not any(can_older_release(kind, said) for kind in Kind if kind is not Kind.GENERATION)


def test_negative_seed_is_nothing_for_an_older_release() -> None:
    made = recipe(Rules(), SEED, Seed(OTHER, None, -1.0))
    assert not can_older_release(Kind.GENERATION, GenerationRequest(made, "", Visibility.PRIVATE).to_json())
    assert GenerationRequest.from_json(GenerationRequest(made, "", Visibility.PRIVATE).to_json()).recipe == made


def test_random_seed_is_drawn_anew_unless_it_was_given() -> None:
    assert Rules().drawn(7) == Rules()
    assert Rules(temperature=0.5, random_seed=0).drawn(7).random_seed == 0
    drawn = Rules(temperature=0.5).drawn(7)
    assert drawn.random_seed == 7
    assert drawn.drawn(8).random_seed == 8


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        (Rules(negative_penalty=2.1), "negative_penalty"),
        (Rules(negative_penalty=-0.1), "negative_penalty"),
        (Rules(artist_window=0), "artist_window"),
        (Rules(artist_window=51), "artist_window"),
        (Rules(filter=TrackFilter(genres=("Rock", "Polka"))), "filter.genres[1]"),
        (Rules(filter=TrackFilter(keys=("Db major",))), "filter.keys[0]"),
        (Rules(diversity=1.1), "diversity"),
        (Rules(temperature=math.nan), "temperature"),
        (Rules(hub_damping=-0.1), "hub_damping"),
        (Rules(energy_arc=(0.1, 0.2)), "energy_arc"),
        (Rules(arrangement=Arrangement.ENERGY_ARC, energy_arc=(0.1,)), "energy_arc"),
        (Rules(arrangement=Arrangement.ENERGY_ARC, energy_arc=(0.1,) * 21), "energy_arc"),
        (Rules(arrangement=Arrangement.ENERGY_ARC, energy_arc=(0.1, 1.1)), "energy_arc[1]"),
        (Rules(profile_weight=0.5), "profile_weight"),
        (Rules(use_my_taste=True, profile_weight=0.0), "profile_weight"),
        (Rules(use_my_taste=True, profile_weight=1.1), "profile_weight"),
        (Rules(path_to=TrackId("")), "path.to_track_id"),
        (Rules(path_to=TrackId("x")), "path.to_track_id"),
        (Rules(filter=TrackFilter(genres=("x",) * 17)), "filter.genres"),
        (Rules(filter=TrackFilter(artists=("x",) * 1_001)), "filter.artists"),
        (Rules(filter=TrackFilter(blocked_artists=("x" * 201,))), "filter.blocked_artists[0]"),
        (Rules(filter=TrackFilter(track_ids=(TrackId("x"),))), "filter.track_ids[0]"),
        (Rules(filter=TrackFilter(track_ids=(TRACK,) * 1_001)), "filter.track_ids"),
        (Rules(filter=TrackFilter(tags=("x",) * 21)), "filter.tags"),
        (Rules(filter=TrackFilter(blocked_tags=("ok", " "))), "filter.blocked_tags[1]"),
        (Rules(filter=TrackFilter(keys=("x",) * 25)), "filter.keys"),
        (Rules(filter=TrackFilter(year=NumberRange(2000, 1999))), "filter.year.min"),
        (Rules(filter=TrackFilter(energy=NumberRange(math.nan, None))), "filter.energy.min"),
        (Rules(filter=TrackFilter(tempo_bpm=NumberRange(None, math.inf))), "filter.tempo_bpm.max"),
    ],
)
def test_wrong_rule_names_its_field(rules: Rules, field: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        recipe(rules)
    assert refusal.value.field == f"recipe.{field}"


def test_one_seed_at_least_is_not_negative() -> None:
    with pytest.raises(InvalidArgument) as refusal:
        recipe(Rules(), Seed(TRACK, None, -1.0), Seed(OTHER, None, -2.0))
    assert refusal.value.field == "recipe.seeds[0].weight"


def test_what_is_written_of_a_recipe_is_read_as_the_same() -> None:
    # What was drawn counts as fixed for who sends it again.
    rules = replace(EVERYTHING, is_seed_drawn=False)
    kept = Recipe((Seed(TRACK, None, 2.0), Seed(None, UploadId(OTHER), -0.5)), 30, 4, False, 0.25, (OTHER,), rules)
    assert to_recipe(recipe_message(kept)) == kept
    bare = Recipe((SEED,), 25, 3, True, None, ())
    assert to_recipe(recipe_message(bare)) == bare
    path = Recipe((SEED,), 10, 3, True, None, (), Rules(path_to=OTHER))
    assert to_recipe(recipe_message(path)) == path


def test_texts_are_cleaned() -> None:
    assert check_filter(TrackFilter(tags=(" guitar\n",)), "filter").tags == ("guitar",)


PATH = Rules(path_to=OTHER, filter=TrackFilter(genres=("Rock",)))


def test_path_takes_a_length_an_artist_bound_and_a_filter() -> None:
    made = recipe(PATH, length=3, max_per_artist=100)
    assert (made.rules, made.length, made.max_per_artist) == (PATH, 3, 100)


@pytest.mark.parametrize(
    ("rules", "seeds", "more", "field"),
    [
        (PATH, [SEED, Seed(OTHER, None, 1.0)], {}, "seeds"),
        (PATH, [Seed(None, UploadId(OTHER), 1.0)], {}, "seeds[0].upload_id"),
        (replace(PATH, path_to=TRACK), [SEED], {}, "path.to_track_id"),
        (PATH, [SEED], {"length": 2}, "length"),
        (PATH, [SEED], {"length": 101}, "length"),
        (PATH, [SEED], {"max_per_artist": 101}, "max_per_artist"),
        (PATH, [SEED], {"include_seed": False}, "include_seed"),
        (PATH, [SEED], {"min_similarity": 0.0}, "min_similarity"),
        (PATH, [SEED], {"exclude_track_ids": [OTHER]}, "exclude_track_ids"),
        (replace(PATH, diversity=0.5), [SEED], {}, "diversity"),
        (replace(PATH, require_length=True), [SEED], {}, "require_length"),
        (replace(PATH, use_my_taste=True), [SEED], {}, "use_my_taste"),
    ],
)
def test_what_does_not_go_with_a_path_is_refused(
    rules: Rules, seeds: list[Seed], more: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        recipe(rules, *seeds, **more)
    assert refusal.value.field == f"recipe.{field}"


def test_person_who_blocks_more_artists_than_the_retriever_takes_is_told() -> None:
    wanted = TrackFilter(blocked_artists=("Nobody", "A 1"))
    blocks = Blocks((TRACK,), tuple(f"A {number}" for number in range(9_999)))
    assert len(filter_message(wanted, blocks).blocked_artists) == 10_000
    with pytest.raises(InvalidArgument) as refusal:
        filter_message(wanted, Blocks((), (*blocks.artists, "one more")))
    assert (refusal.value.field, refusal.value.value, refusal.value.limit) == (
        "recipe.filter.blocked_artists",
        "10001",
        "10000",
    )
