"""Takes Hangul apart into the letters that people type, so that a wrong letter or a missing space is a small thing.

The arithmetic is that of Unicode 17, chapter 3.12. Letters are told as compatibility jamo, in which a consonant is the
same letter at the beginning and at the end of a syllable, and compounds as the two keys that make them on the usual
keyboard: so a word that is half typed is the beginning of the whole one.
"""

import unicodedata
from collections.abc import Iterable

_LEADS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
_VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
_TAILS = "ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"
_KEYS = str.maketrans(
    {"ㅘ": "ㅗㅏ", "ㅙ": "ㅗㅐ", "ㅚ": "ㅗㅣ", "ㅝ": "ㅜㅓ", "ㅞ": "ㅜㅔ", "ㅟ": "ㅜㅣ", "ㅢ": "ㅡㅣ"}
    | {"ㄳ": "ㄱㅅ", "ㄵ": "ㄴㅈ", "ㄶ": "ㄴㅎ", "ㄺ": "ㄹㄱ", "ㄻ": "ㄹㅁ", "ㄼ": "ㄹㅂ", "ㄽ": "ㄹㅅ", "ㄾ": "ㄹㅌ"}
    | {"ㄿ": "ㄹㅍ", "ㅀ": "ㄹㅎ", "ㅄ": "ㅂㅅ"}
)
_SYLLABLES = range(0xAC00, 0xD7A4)
_VOWELS_AND_TAILS = len(_VOWELS) * (len(_TAILS) + 1)
# Jamo outside of syllables, as folding leaves them: those of modern syllables, and what single letters become.
_CONJOINING = {unicodedata.normalize("NFKD", letter): letter for letter in _LEADS + _VOWELS + _TAILS} | {
    chr(first + number): letter
    for first, row in ((0x1100, _LEADS), (0x1161, _VOWELS), (0x11A8, _TAILS))
    for number, letter in enumerate(row)
}
_SHORTEST_INITIALS = 2


def letters(text: str) -> str:
    """Return folded text with its Hangul taken apart into letters; all else stays as it is."""
    return "".join(_apart(sign) for sign in text).translate(_KEYS)


def has_hangul(text: str) -> bool:
    """Say whether there is a Hangul syllable or jamo in folded text."""
    return any(ord(sign) in _SYLLABLES or sign in _CONJOINING for sign in text)


def typed_initials(word: str) -> str:
    """Return the consonants that a folded word consists of, two or more of them; empty where it is any other word."""
    is_initials = len(word) >= _SHORTEST_INITIALS and all(_CONJOINING.get(sign, "ㅏ") not in _VOWELS for sign in word)
    return letters(word) if is_initials else ""


def jamo_text(names: Iterable[str]) -> str:
    """Return what Korean words are searched in: the letters of folded names with and without their spaces.

    Args:
        names: Folded; those without Hangul are left out.
    """
    return _both(letters(name) for name in names if has_hangul(name))


def initials_text(names: Iterable[str]) -> str:
    """Return what initials are searched in: the first consonants of the syllables of folded names, as `jamo_text`."""
    return _both(_initials(name) for name in names if has_hangul(name))


def _apart(sign: str) -> str:
    code = ord(sign)
    if code not in _SYLLABLES:
        return _CONJOINING.get(sign, sign)
    lead, rest = divmod(code - _SYLLABLES.start, _VOWELS_AND_TAILS)
    vowel, tail = divmod(rest, len(_TAILS) + 1)
    return _LEADS[lead] + _VOWELS[vowel] + (_TAILS[tail - 1] if tail else "")


def _initials(name: str) -> str:
    words = ("".join(_apart(sign)[0] for sign in word if ord(sign) in _SYLLABLES) for word in name.split())
    return " ".join(filter(None, words))


def _both(names: Iterable[str]) -> str:
    found: list[str] = []
    for name in names:
        found += [name, name.replace(" ", "")] if " " in name else [name]
    return " ".join(dict.fromkeys(filter(None, found)))
