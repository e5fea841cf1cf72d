"""Folds names for searching, so that case, accents and Unicode form do not matter; rows and queries alike."""

import re
import unicodedata

LONGEST_QUERY = 200
_MOST_WORDS = 8
# What lists are ordered by must fit into an entry of an index, beside another key, and into a page's token.
_LONGEST_SORTED_BYTES = 1_000

# Letters that Unicode does not take apart.
_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h", "ŧ": "t", "ŋ": "n"}
)
# Marks that choose a picture of a sign, and say nothing.
_SELECTORS = re.compile("[\u034f\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")


def folded(text: str) -> str:
    """Return text without case, accents, punctuation and doubled space; only punctuation stays as it is ("!!!").

    Done here and not by PostgreSQL's `unaccent`, so that it does not depend on the database's locale. Hangul comes
    apart in the compatibility form and is put together again: its jamo are letters and not accents. Nor are the vowel
    signs of Indic and Thai: they are part of their word.
    """
    compatible = unicodedata.normalize("NFKD", text).casefold()
    apart = _SELECTORS.sub("", unicodedata.normalize("NFKD", compatible).translate(_LETTERS))
    plain = unicodedata.normalize("NFC", "".join(letter for letter in apart if not unicodedata.combining(letter)))
    words = "".join(sign if _is_of_word(sign) else " " for sign in plain).split()
    return " ".join(words if any(sign.isalnum() for sign in plain) else text.casefold().split())


def sort_name(text: str) -> str:
    """Return folded text as lists are ordered by it: cut where it is longer than 1,000 bytes."""
    return folded(text).encode()[:_LONGEST_SORTED_BYTES].decode("utf-8", "ignore").rstrip()


def query_words(query: str) -> list[str]:
    """Return the different words of a folded query, at most eight: each must be found."""
    return list(dict.fromkeys(query.split()))[:_MOST_WORDS]


def like_pattern(word: str) -> str:
    """Return the LIKE pattern that finds a folded word inside a text."""
    return "%" + re.sub(r"([\\%_])", r"\\\1", word) + "%"


def like_start(text: str) -> str:
    """Return the LIKE pattern that finds what begins with a text."""
    return re.sub(r"([\\%_])", r"\\\1", text) + "%"


def _is_of_word(sign: str) -> bool:
    return sign.isalnum() or unicodedata.category(sign) in ("Mn", "Mc")
