"""Which of the 16 genres a file's own words belong to."""

import pytest

from services.social.domain.genres import GENRES, GenreMatch, match_genre


@pytest.mark.parametrize("genre", GENRES)
def test_top_level_genres_are_themselves(genre: str) -> None:
    assert match_genre(genre) == GenreMatch(genre, is_known=True)
    assert match_genre(genre.upper()) == GenreMatch(genre, is_known=True)


@pytest.mark.parametrize(
    ("genre", "names"),
    [
        ("Pop", "Pop,Indie,Pop-Rock,Dream Pop,Synthpop"),
        ("Rock", "Rock,Post-Punk,New Wave,Punk"),
        ("Electronic", "Electronic,House,Dance,Dubstep,Chillout,8bit,IDM,Techno,Ambient Electronic"),
        ("Soul-RnB", "RnB,Soul,Funk,R&B"),
        ("Folk", "Folk,Psych-Folk,Freak-Folk"),
        ("Jazz", "Jazz"),
        ("Instrumental", "New Age,Film Score"),
        ("Experimental", "Ambient"),
        ("Hip-Hop", "Hip-Hop,hiphop,Hip Hop"),
        ("Country", "Country"),
        ("Old-Time / Historic", "Old-Time / Historic"),
    ],
)
def test_tags_of_jamendo_and_sub_genres_of_fma_are_mapped(genre: str, names: str) -> None:
    assert {name: match_genre(name) for name in names.split(",")} == {
        name: GenreMatch(genre, is_known=True) for name in names.split(",")
    }


def test_no_tag_is_experimental_and_an_unknown_one_pop_and_both_are_marked() -> None:
    assert match_genre("") == match_genre("  ") == GenreMatch("Experimental", is_known=False)
    assert match_genre("Zeuhl") == GenreMatch("Pop", is_known=False)


def test_first_known_of_a_list_counts() -> None:
    assert match_genre("Zeuhl; Techno, Rock") == GenreMatch("Electronic", is_known=True)
    # Not "indie folk", "folk metal" or "ambient electronic".
    names = ("Indie; Folk", "Folk;Metal", "Ambient|Electronic", "Pop/Rock", "Big Band/Swing", "Rock, Jazz")
    assert [match_genre(name).genre for name in names] == ["Pop", "Folk", "Experimental", "Pop", "Jazz", "Rock"]


def test_case_accents_and_punctuation_do_not_matter() -> None:
    assert match_genre("  mÜsique_concrète! ") == GenreMatch("Experimental", is_known=True)
    assert match_genre("Rock & Roll") == match_genre("rock and roll") == GenreMatch("Rock", is_known=True)
