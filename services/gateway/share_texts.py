"""What the page of a shared playlist says, in English and Korean. Pure."""

import re
from dataclasses import dataclass

from services.gateway.codes import CODES

_LANGUAGE = re.compile(r"\s*([a-z]{2,3})(?:-[a-z0-9-]+)?\s*(?:;\s*q=([01](?:\.\d{0,3})?))?\s*", re.IGNORECASE)
_LONGEST_HEADER = 200


@dataclass(frozen=True, slots=True)
class Texts:
    """The sentences of one language."""

    language: str
    locale: str
    take_along: str
    not_found: str
    unavailable: str
    by_form: str
    count_forms: tuple[str, str]
    more_form: str
    hours_form: str
    minutes_form: str

    def by(self, nickname: str) -> str:
        """Say who made it; empty where nobody is known."""
        return self.by_form.format(nickname) if nickname else ""

    def count(self, tracks: int) -> str:
        """Say how many tracks there are."""
        return self.count_forms[tracks != 1].format(tracks)

    def more(self, tracks: int) -> str:
        """Say how many tracks are not on the page."""
        return self.more_form.format(tracks)

    def length(self, seconds: float) -> str:
        """Say how long it plays, by the minute; empty where nothing does."""
        hours, minutes = divmod(max(1, round(seconds / 60)), 60)
        if seconds <= 0:
            return ""
        said = [self.hours_form.format(hours)] if hours else []
        return " ".join(said + ([self.minutes_form.format(minutes)] if minutes else []))


ENGLISH = Texts(
    language="en",
    locale="en_US",
    take_along="Take it along",
    not_found=CODES["PLAYLIST_NOT_FOUND"].en.removesuffix("."),
    unavailable=CODES["UNAVAILABLE"].en.removesuffix("."),
    by_form="by {}",
    count_forms=("{} track", "{} tracks"),
    more_form="and {} more",
    hours_form="{} h",
    minutes_form="{} min",
)
KOREAN = Texts(
    language="ko",
    locale="ko_KR",
    take_along="가져가기",
    not_found=CODES["PLAYLIST_NOT_FOUND"].ko.removesuffix("."),
    unavailable=CODES["UNAVAILABLE"].ko.removesuffix("."),
    by_form="{} 님의 플레이리스트",
    count_forms=("{}곡", "{}곡"),
    more_form="외 {}곡",
    hours_form="{}시간",
    minutes_form="{}분",
)


def texts_for(accept_language: str) -> Texts:
    """Return the language that a browser wants most, English where it wants neither."""
    wanted: dict[str, float] = {}
    for part in accept_language[:_LONGEST_HEADER].split(","):
        if found := _LANGUAGE.fullmatch(part):
            wanted.setdefault(found[1].lower(), float(found[2] or 1))
    return KOREAN if wanted.get("ko", 0.0) > wanted.get("en", 0.0) else ENGLISH
