"""What people type becomes a prompt, or is refused with the words that are not known."""

import contextlib
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.embedder import moods
from services.embedder.errors import TextInvalid, WordsUnknown
from services.embedder.moods import fold, table, to_prompt, word_forms

FORMS = sorted(table().fragments)


def prompt_of(text: str) -> str:
    return to_prompt(fold(text))


def refusal(text: str) -> WordsUnknown:
    with pytest.raises(WordsUnknown) as caught:
        prompt_of(text)
    return caught.value


def words_of_the_file() -> list[tuple[str, str]]:
    lines = [line for line in moods.TABLE_FILE.read_text().splitlines() if not line.startswith("#")]
    return [
        (word.strip(), fragment)
        for fragment, words in (line.split("\t") for line in lines)
        for word in words.split(",")
    ]


@pytest.fixture
def own_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    path = tmp_path / "moods.tsv"
    monkeypatch.setattr(moods, "TABLE_FILE", path)
    table.cache_clear()
    yield path
    table.cache_clear()


def test_fragments_are_english_in_ascii_and_stand_once() -> None:
    fragments = [line.split("\t")[0] for line in moods.TABLE_FILE.read_text().splitlines() if not line.startswith("#")]
    english = [fragment for fragment in fragments if fragment not in "*~"]
    assert len(english) >= 100
    assert len(set(english)) == len(english)
    for fragment in english:
        assert fragment.isascii()
        assert fragment == fragment.strip()
        assert sum(letter.isalpha() for letter in fragment) >= 3 or fragment == "K-pop"


def test_every_word_is_a_form_of_itself_and_stands_once() -> None:
    words = [word for word, _ in words_of_the_file()]
    assert len(set(words)) == len(words) >= 300
    assert all(unicodedata.is_normalized("NFC", word) for word in words)


def test_every_form_alone_is_the_prompt_of_its_line() -> None:
    for word, fragment in words_of_the_file():
        if fragment not in "*~":
            assert {to_prompt(form) for form in word_forms(word) if not form.isascii()} <= {fragment}


def test_form_that_stands_for_two_things_is_a_fault_of_the_table(own_table: Path) -> None:
    own_table.write_text("calm music\t잔잔하-\nquiet music\t잔잔한\n")
    with pytest.raises(ValueError, match="잔잔한 of 잔잔"):
        table()


def test_line_without_a_tab_is_a_fault_of_the_table(own_table: Path) -> None:
    own_table.write_text("calm music 잔잔하-\n")
    with pytest.raises(ValueError, match="no tab in 'calm music 잔잔하-'"):
        table()


@pytest.mark.parametrize(
    ("text", "prompt"),
    [
        ("신나는", "exciting upbeat music"),
        ("신나는 노래 추천해줘", "exciting upbeat music"),
        ("잔잔한", "calm gentle music"),
        ("우울할 때", "melancholic gloomy music"),
        ("설레는 음악", "heart-fluttering romantic music"),
        ("몽환적인", "dreamy ethereal music"),
        ("몽환적이고 어두운 음악", "dreamy ethereal music, dark brooding music"),
        ("새벽감성", "late night emotional music, mellow and quiet"),
        ("새벽 감성", "late night emotional music, mellow and quiet"),
        ("비 오는 날", "rainy day music, mellow and melancholic"),
        ("비오는날", "rainy day music, mellow and melancholic"),
        ("비가 오는 날에 듣기 좋은 노래", "rainy day music, mellow and melancholic"),
        ("드라이브", "driving music, breezy and upbeat"),
        ("드라이브할 때 듣는 노래", "driving music, breezy and upbeat"),
        ("운동할 때", "workout music, energetic and driving"),
        ("카페에서", "cozy cafe music, soft jazz and acoustic"),
        ("공부할 때", "study music, calm instrumental"),
        ("공부하면서 듣는 로파이", "study music, calm instrumental, lo-fi beats, mellow"),
        ("가사 없는 피아노", "instrumental, no vocals, piano"),
        ("90년대 댄스 음악", "1990s music, dancing music, strong beat"),
        ("봄비", "spring music, fresh and light, rainy day music, mellow and melancholic"),
        ("집중이 잘 되는 음악", "focus music, calm and steady"),
        ("슬프지만 아름다운", "sad emotional music, beautiful lyrical music"),
        ("슬픈 슬픈 노래ㅠㅠ", "sad emotional music"),
        ("신나는 rock", "exciting upbeat music, rock"),
        ("Hip Hop, 신나는 R&B!", "Hip Hop, exciting upbeat music, R&B"),
        ("lofi한 느낌", "lofi"),
        ("CCM 찬양", "gospel and hymns"),
    ],
)
def test_korean_becomes_english(text: str, prompt: str) -> None:
    assert prompt_of(text) == prompt
    assert prompt_of(unicodedata.normalize("NFD", text)) == prompt
    assert prompt_of(f"  {text.replace(' ', '  ')}\n") == prompt


@pytest.mark.parametrize(
    "text", ["calm piano, rainy night", "悲伤的音乐", "Café del Mar!", "piano & cello; ~60 bpm", "夜のジャズ"]
)
def test_what_has_no_korean_stays_as_it_is(text: str) -> None:
    assert prompt_of(text) == text


@pytest.mark.parametrize(
    ("text", "unknown", "known"),
    [
        ("슬프지 않은 노래", "않은", "슬프지"),
        ("안 슬픈 노래", "안", "슬픈"),
        ("신나는 도로", "도로", "신나는"),
        ("쉰 살에 쉬면서 듣는 노래", "쉰, 살에", "쉬면서"),
        ("고양이와 비 오는 밤", "고양이와", "비, 오는, 밤"),
        ("발라드 말고 신나는 거", "말고, 거", "발라드, 신나는"),
    ],
)
def test_half_known_korean_is_refused_with_both_halves(text: str, unknown: str, known: str) -> None:
    error = refusal(text)
    assert (error.reason, error.field, error.value) == ("WORDS_UNKNOWN", "text", unknown)
    assert error.message == (
        f"these Korean words are not in the table of moods: {unknown}; known are {known}:"
        " use other words, English or Chinese"
    )


@pytest.mark.parametrize("text", ["노래 추천해줘", "ㅋㅋㅋ", "노래!!"])
def test_words_that_tell_no_sound_are_refused(text: str) -> None:
    assert refusal(text).message.startswith("the text has no word of mood, style or instrument")


def test_unknown_korean_alone_is_refused() -> None:
    assert "not in the table of moods: 아무말; no other word tells a sound" in refusal("아무말").message


@given(
    st.lists(st.sampled_from(FORMS), min_size=1, max_size=5),
    st.sampled_from(["", " "]),
    st.sampled_from(["NFC", "NFD"]),
)
def test_known_words_in_any_order_are_all_told_once(words: list[str], blank: str, form: Literal["NFC", "NFD"]) -> None:
    text = "".join(f"{word}{blank}노래{blank}" for word in words)
    fragments = dict.fromkeys(table().fragments[word] for word in words)
    assert prompt_of(unicodedata.normalize(form, text)) == ", ".join(fragments)


@given(st.lists(st.sampled_from(FORMS), min_size=1, max_size=5))
def test_known_words_written_together_are_covered(words: list[str]) -> None:
    assert prompt_of("".join(words) + "노래").isascii()


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=80))
def test_any_text_gives_a_prompt_or_a_coded_refusal(text: str) -> None:
    with contextlib.suppress(TextInvalid, WordsUnknown):
        folded = fold(text)
        assert fold(folded) == folded
        assert to_prompt(folded).strip()


@pytest.mark.parametrize(
    ("text", "value"),
    [("", "0"), (" \n\t ", "0"), ("\u200b\ufeff", "0"), ("a" * 501, "501"), ("가" * 501, "501")],
    ids=["empty", "blanks", "invisible", "long", "long Korean"],
)
def test_length_is_bounded_after_folding(text: str, value: str) -> None:
    with pytest.raises(TextInvalid) as caught:
        fold(text)
    assert (caught.value.reason, caught.value.value, caught.value.limit) == ("TEXT_INVALID", value, "1..500")


def test_longest_text_is_counted_in_composed_letters() -> None:
    assert fold(unicodedata.normalize("NFD", "각" * 500)) == "각" * 500
    assert fold("  a " + " " * 600 + "b") == "a b"
    assert fold("ab" + "\u200b" * 1998) == "ab"


@pytest.mark.parametrize(
    "text", ["a" + "\u0301" * (4 * 1024 * 1024), "ab" + "\u200b" * 1999], ids=["8 MiB of accents", "one too many"]
)
def test_what_is_far_too_long_is_refused_before_it_is_composed(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Composing the first of these takes hours.
    composing = SimpleNamespace(category=unicodedata.category, normalize=lambda *_: pytest.fail("composed"))
    monkeypatch.setattr(moods, "unicodedata", composing)
    with pytest.raises(TextInvalid) as caught:
        fold(text)
    assert (caught.value.value, caught.value.limit) == (str(len(text)), "1..500")
    assert caught.value.message == f"the text has {len(text)} characters, 1 to 500 are allowed"


@pytest.mark.parametrize("letter", ["\0", "\x07", "\x1b", "\x7f", "\x85", "\x0b"])
def test_control_characters_are_refused(letter: str) -> None:
    with pytest.raises(TextInvalid, match="control character") as caught:
        fold(f"calm{letter}piano")
    assert caught.value.value == f"U+{ord(letter):04X}"


def test_line_breaks_are_blanks() -> None:
    assert fold("calm\r\n\tpiano") == "calm piano"
