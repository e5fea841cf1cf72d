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
# What people type in place of an apostrophe, and the letters of that look, such as the Hawaiian ʻokina: few who search
# type them, or the same one. Some that Unicode would turn into a space and an accent are among them.
_APOSTROPHES = dict.fromkeys(
    map(
        ord,
        "'`\u00b4\u02b9\u02bb\u02bc\u02bd\u02be\u02bf\u02c8\u02ca\u02cb\u0374\u0384\u055a\u05f3"
        "\u1fbd\u1fbf\u1fef\u1ffd\u1ffe\u2018\u2019\u201b\u2032\ua78b\ua78c\uff07\uff40",
    )
)
_FOLDED = _LETTERS | _APOSTROPHES
# Rock'n'Roll is three words. Where the letters before are fewer, the sign is one of the word's own (Uzbek o'n).
_AND = re.compile(r"(?<=[^\W\d_]{3})['`\u00b4\u2018\u2019]n(?![^\W_])", re.IGNORECASE)
# Marks that choose a picture of a sign, and say nothing.
_SELECTORS = re.compile("[\u034f\u180b-\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef]")


def folded(text: str) -> str:
    """Return text without case, accents, punctuation and doubled space; only punctuation stays as it is ("!!!").

    Done here and not by PostgreSQL's `unaccent`, so that it does not depend on the database's locale. Hangul comes
    apart in the compatibility form and is put together again: its jamo are letters and not accents. Nor are the vowel
    signs of Indic and Thai: they are part of their word. An apostrophe parts no word ("Don't" is "dont").
    """
    joined = _AND.sub(" n ", unicodedata.normalize("NFC", text)).translate(_APOSTROPHES)
    compatible = unicodedata.normalize("NFKD", joined).casefold()
    apart = _SELECTORS.sub("", unicodedata.normalize("NFKD", compatible).translate(_FOLDED))
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
