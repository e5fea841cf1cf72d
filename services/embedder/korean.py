"""Conjugates Korean verbs and adjectives by the rules of school grammar. Knows no words and no music."""

_FIRST = ord("가")
# Jamo, compatibility jamo, parenthesised and circled, jamo A, syllables, jamo B, half-width.
_HANGUL = (
    (0x1100, 0x11FF),
    (0x3131, 0x318E),
    (0x3200, 0x321E),
    (0x3260, 0x327E),
    (0xA960, 0xA97C),
    (0xAC00, 0xD7A3),
    (0xD7B0, 0xD7FB),
    (0xFFA0, 0xFFDC),
)
_VOWELS = "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ"
_FINALS = " ㄱㄲㄳㄴㄵㄶㄷㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅄㅅㅆㅇㅈㅊㅋㅌㅍㅎ"
_BRIGHT = "ㅏㅑㅗ"  # these take 아, the others 어
_UNCHANGED = "ㅏㅓㅐㅔㅕㅖ"  # the ending melts into these
_CONTRACTED = {"ㅗ": "ㅘ", "ㅜ": "ㅝ", "ㅣ": "ㅕ"}

_AFTER_STEM = ("다", "고", "게", "지만", "지", "기", "던", "거나")
# These push the ㄹ of 힘들- away.
_AFTER_SOFT_STEM = ("는", "는데", "네", "네요", "니")
_AFTER_INFINITIVE = ("", "요", "서", "도", "지는", "진", "지고", "질", "질때")
_AFTER_PAST = ("다", "던", "어", "어요", "을때")


def forms(stem: str) -> frozenset[str]:
    """Return the forms in which a predicate stands before a noun, beside another predicate, and at a sentence's end.

    Stems in ㅂ count as irregular, like nearly all words of mood (어둡-, 즐겁-); those in ㅡ, 르 and ㄹ follow their
    rules. Verbs and adjectives are not told apart, so a few forms come out that nobody says.

    Args:
        stem: What is left of the dictionary form without 다, in composed syllables, for example "신나".
    """
    soft, nominal = _soft_stem(stem), _before_eu(stem)
    infinitive = _infinitive(stem)
    past = _with_final(infinitive, "ㅆ")
    found = {stem + ending for ending in _AFTER_STEM}
    found |= {soft + ending for ending in _AFTER_SOFT_STEM}
    found |= {_with_final(nominal, "ㄴ"), _with_final(nominal, "ㄴ") + "데", _with_final(nominal, "ㄹ")}
    found |= {_with_final(nominal, "ㄹ") + "때", _noun(stem)}
    found |= {(stem if _final(stem) == "ㄹ" else nominal) + ending for ending in ("면", "면서", "며")}
    found |= {infinitive + ending for ending in _AFTER_INFINITIVE}
    found |= {past + ending for ending in _AFTER_PAST}
    found.add(_with_final(soft, "ㅂ") + "니다" if _final(soft) == " " else stem + "습니다")
    return frozenset(found)


def is_hangul(letter: str) -> bool:
    """Say whether a letter is a Korean syllable or a jamo, of whichever Unicode block."""
    return any(first <= ord(letter) <= last for first, last in _HANGUL)


def _soft_stem(stem: str) -> str:
    return _with_final(stem, " ") if _final(stem) == "ㄹ" else stem


def _before_eu(stem: str) -> str:
    """Return what the endings with 으 stand behind, as an open syllable: 하, 밝으, 어두우, 힘드."""
    match _final(stem):
        case " ":
            return stem
        case "ㄹ":
            return _with_final(stem, " ")
        case "ㅂ":
            return _with_final(stem, " ") + "우"
        case _:
            return stem + "으"


def _noun(stem: str) -> str:
    return _with_final(stem, "ㄻ") if _final(stem) == "ㄹ" else _with_final(_before_eu(stem), "ㅁ")


def _infinitive(stem: str) -> str:
    """Return the form in 아 or 어, which always ends in an open syllable."""
    last = stem[-1]
    if last == "하":
        return stem[:-1] + "해"
    if _final(stem) == "ㅂ":
        return _with_final(stem, " ") + "워"
    if _final(stem) != " ":
        return stem + ("아" if _vowel(last) in _BRIGHT else "어")
    vowel = _vowel(last)
    if vowel in _UNCHANGED:
        return stem
    if vowel == "ㅡ":
        return _without_eu(stem)
    return _with_vowel(stem, _CONTRACTED[vowel]) if vowel in _CONTRACTED else stem + "어"


def _without_eu(stem: str) -> str:
    """Return the infinitive of 슬프-, 아프-, 빠르-: 슬퍼, 아파, 빨라."""
    is_bright = len(stem) > 1 and _vowel(stem[-2]) in _BRIGHT
    if stem.endswith("르") and len(stem) > 1:
        return _with_final(stem[:-1], "ㄹ") + ("라" if is_bright else "러")
    return _with_vowel(stem, "ㅏ" if is_bright else "ㅓ")


def _vowel(syllable: str) -> str:
    return _VOWELS[(ord(syllable) - _FIRST) // len(_FINALS) % len(_VOWELS)]


def _final(word: str) -> str:
    return _FINALS[(ord(word[-1]) - _FIRST) % len(_FINALS)]


def _with_final(word: str, final: str) -> str:
    open_syllable = ord(word[-1]) - (ord(word[-1]) - _FIRST) % len(_FINALS)
    return word[:-1] + chr(open_syllable + _FINALS.index(final))


def _with_vowel(word: str, vowel: str) -> str:
    """Replace the vowel of an open last syllable."""
    consonant = (ord(word[-1]) - _FIRST) // (len(_FINALS) * len(_VOWELS))
    return word[:-1] + chr(_FIRST + (consonant * len(_VOWELS) + _VOWELS.index(vowel)) * len(_FINALS))
