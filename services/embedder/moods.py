"""Turns what somebody types into a prompt that MuQ-MuLan understands: Korean through a table, the rest as it is.

The text tower knows a hundred languages by its pre-training (XLM-RoBERTa) and music in two, English and Chinese: nobody
has shown that Korean finds what it means. So Korean never reaches it. A text is covered by words of `moods.tsv` in any
of their forms, by words that say nothing of the sound (노래, 추천), by particles, and by what is not Korean; what is left
over makes the whole text refused, because half a wish ("not sad") is often the opposite of it.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from services.embedder.errors import TextInvalid, WordsUnknown
from services.embedder.korean import forms, is_hangul

MAX_CHARACTERS = 500
TABLE_FILE = Path(__file__).with_name("moods.tsv")

# Blanks, and not control characters.
_LINE_CONTROLS = "\t\n\r"
_FILLERS = frozenset(
    "노래 노래들 음악 음악들 뮤직 곡 곡들 송 브금 배경음악 플레이리스트 플리 재생목록 믹스 모음 추천 추천해줘 추천해주세요 추천해 추천좀"
    " 들려줘 들려주세요 틀어줘 틀어주세요 찾아줘 찾아주세요 골라줘 만들어줘 해줘 해주세요 좀 듣기 듣는 듣고 들을 들을만한 들으면 들으면서 듣고싶어 듣고싶은"
    " 듣고싶을 듣고싶다 좋은 좋을 좋아 어울리는 어울릴 맞는 느낌 느낌의 느낌이 분위기 분위기의 무드 스타일 계열 장르 같은 때 할때 하면서 하며 하는 하기 할 한"
    " 날 날에 날엔 중 중에 싶은 싶을 싶어 싶다 싶을때 기분 기분에 마음 순간 시간 요즘 오늘 계절 사람 사람들 친구 친구들 잘 내 나의 너무 아주 정말 진짜 매우 조금 약간 완전 그리고 또 또는"
    " 있는 있을 되는 될 나오는 나올 ㅋ ㅎ ㅠ ㅜ".split()
)
# Stand behind another word and never begin one.
_PARTICLES = frozenset(
    "에 에서 에는 에서는 에도 엔 에선 의 을 를 이 가 은 는 와 과 랑 이랑 도 로 으로 인 만 용 풍 적인 적 처럼 하고 까지 부터 보다 들 한 스러운 같이".split()
)
_UNKNOWN_COST = 1000


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
        TextInvalid: Nothing is left, more than 500 characters are, or one of them is a control character.
    """
    for letter in text:
        if unicodedata.category(letter) == "Cc" and letter not in _LINE_CONTROLS:
            raise TextInvalid(
                f"the text has the control character U+{ord(letter):04X}", field="text", value=f"U+{ord(letter):04X}"
            )
    composed = unicodedata.normalize("NFC", text)
    visible = "".join(letter for letter in composed if unicodedata.category(letter) != "Cf")
    folded = " ".join(visible.split())
    if not 1 <= len(folded) <= MAX_CHARACTERS:
        raise TextInvalid(
            f"the text has {len(folded)} characters, 1 to {MAX_CHARACTERS} are allowed",
            field="text",
            value=len(folded),
            limit=f"1..{MAX_CHARACTERS}",
        )
    return folded


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
def table() -> dict[str, str]:
    """Return the English fragment of every form of every Korean word, by the form without blanks.

    Raises:
        ValueError: A line has no tab, or a form stands for two fragments; both are faults of the table.
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
    return found


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
    best: list[tuple[int, _Piece | None]] = [(0, None)] + [(len(letters) * _UNKNOWN_COST + 1, None)] * len(letters)
    for start in range(len(letters)):
        for piece in _pieces_at(letters, start, begins_word[start]):
            cost = best[start][0] + (1 if piece.is_known else _UNKNOWN_COST)
            if cost < best[piece.end][0]:
                best[piece.end] = (cost, piece)
    pieces: list[_Piece] = []
    end = len(letters)
    while end:
        piece = best[end][1]
        assert piece is not None  # an unknown letter is always a way on
        pieces.append(piece)
        end = piece.start
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
    words, longest = table(), _longest_form()
    for end in range(start + 1, min(len(letters), start + longest) + 1):
        stretch = letters[start:end]
        if stretch in words:
            found.append(_Piece(start, end, words[stretch], True))
        elif stretch in _FILLERS or (stretch in _PARTICLES and not begins_word):
            found.append(_Piece(start, end, None, True))
    if is_hangul(letters[start]):
        found.append(_Piece(start, start + 1, None, False))
    else:
        end = next((place for place in range(start, len(letters)) if is_hangul(letters[place])), len(letters))
        found.append(_Piece(start, end, "", True))
    return found


@cache
def _longest_form() -> int:
    return max(map(len, table()))


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
    return WordsUnknown(f"{message}: use other words, English or Chinese", field="text", value=", ".join(unknown) or None)
