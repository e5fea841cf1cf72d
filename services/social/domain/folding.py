"""Folds names for searching, so that case, accents and Unicode form do not matter; rows and queries alike."""

import re
import unicodedata

LONGEST_QUERY = 200
_MOST_WORDS = 8

# Letters that Unicode does not take apart.
_LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h", "ŧ": "t", "ŋ": "n"}
)


def folded(text: str) -> str:
    """Return text without case, accents, punctuation and doubled space; only punctuation stays as it is ("!!!").

    Done here and not by PostgreSQL's `unaccent`, so that it does not depend on the database's locale. Hangul comes
    apart in the compatibility form and is put together again: its jamo are letters and not accents.
    """
    compatible = unicodedata.normalize("NFKD", text).casefold()
    apart = unicodedata.normalize("NFKD", compatible).translate(_LETTERS)
    plain = "".join(letter for letter in apart if not unicodedata.combining(letter))
    words = re.findall(r"[^\W_]+", unicodedata.normalize("NFC", plain)) or text.casefold().split()
    return " ".join(words)


def query_words(query: str) -> list[str]:
    """Return the different words of a folded query, at most eight: each must be found."""
    return list(dict.fromkeys(query.split()))[:_MOST_WORDS]


def like_pattern(word: str) -> str:
    """Return the LIKE pattern that finds a folded word inside a text."""
    return "%" + re.sub(r"([\\%_])", r"\\\1", word) + "%"
