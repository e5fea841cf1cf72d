"""Turns what somebody types into a prompt that MuQ-MuLan understands: Korean through a table, the rest as it is.

The text tower knows a hundred languages by its pre-training (XLM-RoBERTa) and music in two, English and Chinese:
nobody has shown that Korean finds what it means, so Korean never reaches it. A text is covered by words of `moods.tsv`
in any of their forms, by words that say nothing of the sound (노래, 추천), by particles, and by what is not Korean.
What is left over makes the whole text refused, because half a wish ("not sad") is often the opposite of it.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from services.embedder.errors import TextInvalid, WordsUnknown
from services.embedder.korean import forms, is_hangul

MAX_CHARACTERS = 500
# Longest text that is folded at all: a syllable is up to three jamo, and composing takes a time that grows with the
# square of a run of accents, hours for 8 MiB of them.
MAX_UNFOLDED_CHARACTERS = 4 * MAX_CHARACTERS
TABLE_FILE = Path(__file__).with_name("moods.tsv")

# Blanks, and not control characters.
_LINE_CONTROLS = "\t\n\r"
# In the place of a fragment: words that say nothing of the sound, and endings that never begin a word.
_NOTHING, _PARTICLE = "*", "~"
_UNKNOWN_COST = 1000


@dataclass(frozen=True, slots=True)
class MoodTable:
    """What the table says, by forms without blanks and in lower case.

    Attributes:
        fragments: English of each form of each word.
        fillers: Words that say nothing of the sound.
        particles: Endings that stand behind another word and never begin one.
        longest: Letters of the longest of all these.
    """

    fragments: dict[str, str]
    fillers: frozenset[str]
    particles: frozenset[str]
    longest: int


@dataclass(frozen=True, slots=True)
class _Piece:
    """A stretch of a text without its blanks: `end` is exclusive; `fragment` is its English, None for nothing."""

    start: int
    end: int
    fragment: str | None
    is_known: bool


def fold(text: str) -> str:
    """Bring a text into Unicode's composed form, with single blanks and without invisible characters.

    Raises:
        TextInvalid: Nothing is left, more than 500 characters are, more than 2,000 were there, or one of them is a
            control character.
    """
    _check_length(len(text), range(MAX_UNFOLDED_CHARACTERS + 1))
    for letter in text:
        if unicodedata.category(letter) == "Cc" and letter not in _LINE_CONTROLS:
            raise TextInvalid(
                f"the text has the control character U+{ord(letter):04X}", field="text", value=f"U+{ord(letter):04X}"
            )
    composed = unicodedata.normalize("NFC", text)
    visible = "".join(letter for letter in composed if unicodedata.category(letter) != "Cf")
    folded = " ".join(visible.split())
    _check_length(len(folded), range(1, MAX_CHARACTERS + 1))
    return folded


def _check_length(characters: int, allowed: range) -> None:
    if characters in allowed:
        return
    raise TextInvalid(
        f"the text has {characters} characters, 1 to {MAX_CHARACTERS} are allowed",
        field="text",
        value=characters,
        limit=f"1..{MAX_CHARACTERS}",
    )


def to_prompt(folded: str) -> str:
    """Return the prompt for a folded text: itself where it has no Korean, else the English of the table.

    Raises:
        WordsUnknown: The text has Korean that the table does not cover; the message names known and unknown words.
    """
    if not any(is_hangul(letter) for letter in folded):
        return folded
    pieces = _cover(folded)
    fragments = list(dict.fromkeys(piece.fragment for piece in pieces if piece.fragment))
    if not fragments or not all(piece.is_known for piece in pieces):
        raise _unknown(folded, pieces)
    return ", ".join(fragments)


@cache
def table() -> MoodTable:
    """Read `moods.tsv`.

    Raises:
        ValueError: A line has no tab, or a form stands for two things; both are faults of the table.
    """
    found: dict[str, str] = {}
    for line in TABLE_FILE.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        fragment, tab, words = line.partition("\t")
        if not tab:
            raise ValueError(f"{TABLE_FILE}: no tab in {line!r}")
        for word in words.split(","):
            for form in word_forms(word):
                if found.setdefault(form, fragment) != fragment:
                    raise ValueError(f"{TABLE_FILE}: {form} of {word} stands for {found[form]!r} and {fragment!r}")
    return MoodTable(
        fragments={form: fragment for form, fragment in found.items() if fragment not in (_NOTHING, _PARTICLE)},
        fillers=frozenset(form for form, fragment in found.items() if fragment == _NOTHING),
        particles=frozenset(form for form, fragment in found.items() if fragment == _PARTICLE),
        longest=max(map(len, found)),
    )


def word_forms(word: str) -> frozenset[str]:
    """Return the forms that a word of the table stands for, without blanks and in lower case."""
    plain = re.sub(r"\s", "", unicodedata.normalize("NFC", word)).casefold()
    if not plain.endswith("-"):
        return frozenset([plain])
    # Of one syllable, they are other words too: 쉰 is fifty.
    return frozenset(form for form in forms(plain[:-1]) if len(form) > 1)


def _cover(folded: str) -> list[_Piece]:
    """Cover a text by as few pieces as possible, so that longer words win; unknown letters are pieces of their own."""
    letters, begins_word, places = _without_blanks(folded)
    unreached: tuple[int, _Piece | None] = (len(letters) * _UNKNOWN_COST + 1, None)
    best = [(0, None), *[unreached] * len(letters)]
    for start in range(len(letters)):
        for piece in _pieces_at(letters, start, begins_word[start]):
            cost = best[start][0] + (1 if piece.is_known else _UNKNOWN_COST)
            if cost < best[piece.end][0]:
                best[piece.end] = (cost, piece)
    pieces: list[_Piece] = []
    end = len(letters)
    while end:
        last = best[end][1]
        assert last is not None  # an unknown letter is always a way on
        pieces.append(last)
        end = last.start
    pieces.reverse()
    return [_with_text(piece, folded, places) for piece in pieces]


def _without_blanks(folded: str) -> tuple[str, list[bool], list[int]]:
    """Return the letters in lower case, whether each begins a word, and where each stands in the folded text."""
    places = [place for place, letter in enumerate(folded) if letter != " "]
    begins_word = [place == 0 or folded[place - 1] == " " for place in places]
    # Letter by letter, because some grow when folded and would move the others.
    letters = "".join(low if len(low := folded[place].casefold()) == 1 else folded[place] for place in places)
    return letters, begins_word, places


def _pieces_at(letters: str, start: int, begins_word: bool) -> list[_Piece]:
    found: list[_Piece] = []
    words = table()
    for end in range(start + 1, min(len(letters), start + words.longest) + 1):
        stretch = letters[start:end]
        if stretch in words.fragments:
            found.append(_Piece(start, end, words.fragments[stretch], True))
        elif stretch in words.fillers or (stretch in words.particles and not begins_word):
            found.append(_Piece(start, end, None, True))
    if is_hangul(letters[start]):
        found.append(_Piece(start, start + 1, None, False))
    else:
        end = next((place for place in range(start, len(letters)) if is_hangul(letters[place])), len(letters))
        found.append(_Piece(start, end, "", True))
    return found


def _with_text(piece: _Piece, folded: str, places: list[int]) -> _Piece:
    """Give a piece that is not Korean its own text; punctuation alone says nothing."""
    if piece.fragment != "":
        return piece
    text = folded[places[piece.start] : places[piece.end - 1] + 1]
    says_something = any(letter.isalnum() for letter in text)
    return _Piece(piece.start, piece.end, text.strip(",.;:!?~ ") if says_something else None, True)


def _unknown(folded: str, pieces: list[_Piece]) -> WordsUnknown:
    """Tell which words are known and which are not; a word is what stands between blanks."""
    _, _, places = _without_blanks(folded)
    lost = {places[piece.start] for piece in pieces if not piece.is_known}
    meant = {place for piece in pieces if piece.fragment for place in places[piece.start : piece.end]}
    known, unknown = [], []
    for match in re.finditer(r"\S+", folded):
        word = set(range(*match.span()))
        if word & lost:
            unknown.append(match[0])
        elif word & meant:
            known.append(match[0])
    message = "the text has no word of mood, style or instrument"
    if unknown:
        others = f"known are {', '.join(known)}" if known else "no other word tells a sound"
        message = f"these Korean words are not in the table of moods: {', '.join(unknown)}; {others}"
    return WordsUnknown(
        f"{message}: use other words, English or Chinese", field="text", value=", ".join(unknown) or None
    )
