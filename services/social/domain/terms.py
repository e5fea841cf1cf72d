"""Reads what people type into a search: which words must be found, and where each is looked for."""

from dataclasses import dataclass
from enum import StrEnum

from services.social.domain.folding import query_words
from services.social.domain.hangul import has_hangul, letters, typed_initials

# Three signs in a row are the least that a trigram index can look up inside of a word.
_SHORTEST_INSIDE = 3
_FIRST_OF_EAST_ASIA = "\u2e80"


class Place(StrEnum):
    """Where a word is looked for."""

    TEXT = "text"
    JAMO = "jamo"
    INITIALS = "initials"


@dataclass(frozen=True, slots=True)
class Term:
    """A word that must be found.

    Attributes:
        place: Where.
        text: What is looked for, in the letters of that place.
        is_inside: It may stand inside of a longer word; else only at the beginning of one.
        is_loose: It may be misspelt.
    """

    place: Place
    text: str
    is_inside: bool
    is_loose: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """A folded query and its terms, all of which must be found. Without terms only names that begin with it are."""

    query: str
    terms: tuple[Term, ...]

    @property
    def korean(self) -> Place | None:
        """By which Korean letters found names are ranked; None where nothing Korean was typed."""
        places = {term.place for term in self.terms}
        return next((place for place in (Place.JAMO, Place.INITIALS) if place in places), None)

    @property
    def run_together(self) -> str:
        """Letters of several Korean words without the spaces between; empty where one is of another script.

        One wrong letter is half of a short word, and little of all that was typed.
        """
        is_korean = len(self.terms) > 1 and all(term.place is Place.JAMO for term in self.terms)
        return "".join(term.text for term in self.terms) if is_korean else ""


def asked(query: str) -> Asked:
    """Read a folded query."""
    words = [word for word in query_words(query) if any(sign.isalnum() for sign in word)]
    return Asked(query, tuple(_term(word) for word in words))


def _term(word: str) -> Term:
    if initials := typed_initials(word):
        return Term(Place.INITIALS, initials, is_inside=len(initials) >= _SHORTEST_INSIDE, is_loose=False)
    if has_hangul(word):
        typed = letters(word)
        is_long = len(typed) >= _SHORTEST_INSIDE
        return Term(Place.JAMO, typed, is_inside=is_long, is_loose=is_long)
    is_long = len(word) >= _SHORTEST_INSIDE
    # Who writes without spaces looks for one sign or two inside; no index helps there.
    is_dense = any(sign >= _FIRST_OF_EAST_ASIA for sign in word)
    return Term(Place.TEXT, word, is_inside=is_long or is_dense, is_loose=is_long)
