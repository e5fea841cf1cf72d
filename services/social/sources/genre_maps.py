"""Maps of sources from their genres to the 16 top-level ones, where their words differ from those that files use."""

import re
import unicodedata
from collections.abc import Iterable, Mapping

from services.social.domain.genres import GENRES, match_genre
from services.social.sources.rows import SourceError, shown

MOST_NAMES = 10_000

# As the product defines them; 8bit and the like are written in many ways.
_JAMENDO = {
    "Pop": "Pop, Indie, Pop-Rock, Dream Pop, Synthpop",
    "Rock": "Rock",
    "Electronic": "Electronic, House, Dance, Dubstep, Chillout, 8bit",
    "Soul-RnB": "RnB, Soul, Funk",
    "Folk": "Folk",
    "Jazz": "Jazz",
    "Instrumental": "New Age, Film Score",
    "Experimental": "Ambient",
    "Hip-Hop": "Hip-Hop",
    "Country": "Country",
}
# Tags that the MTG set writes without the spaces that the general names have.
_RUN_TOGETHER = {
    "Pop": "instrumentalpop, popfolk, indiepop, kpop, jpop",
    "Rock": "alternativerock, classicrock, hardrock, instrumentalrock, newwave, postrock, punkrock, rocknroll, "
    "progressiverock, psychedelicrock, heavymetal, deathmetal, blackmetal, indierock, hard, psychedelic",
    "Electronic": "deephouse, drumnbass, minimal, triphop, techhouse, futurebass, clubdance",
    "Jazz": "jazzfusion, jazzfunk, acidjazz, smoothjazz, nujazz, latinjazz, freejazz, bigband",
    "Blues": "bluesrock",
    "Folk": "singersongwriter, ethno, folkrock, indiefolk, acousticfolk",
    "International": "bossanova, worldfusion, worldmusic",
    "Experimental": "darkambient, improvisation, fieldrecordings, soundscape",
    "Easy Listening": "easylistening",
    "Classical": "choir, contemporaryclassical, chambermusic, stringquartet",
    "Soul-RnB": "neosoul, rhythmandblues",
    "Hip-Hop": "altrap",
}


def jamendo_genre(tags: Iterable[str]) -> str:
    """Return the top-level genre of the first of Jamendo's genre tags that has one; empty where none has."""
    for tag in tags:
        known = _BY_JAMENDO.get(key_of(tag))
        if known is not None:
            return known
        match = match_genre(tag)
        if match.is_known:
            return match.genre
    return ""


def own_map(given: Mapping[object, object]) -> dict[str, str]:
    """Check a map that somebody wrote from the genres of a catalogue to the 16.

    Returns:
        By `key_of` of the catalogue's genre.

    Raises:
        SourceError: GENRE_MAP_INVALID, where a name is none, or there are more than 10,000.
    """
    if len(given) > MOST_NAMES:
        raise SourceError(
            f"the map of genres has {len(given)} names, limit is {MOST_NAMES}",
            reason="GENRE_MAP_INVALID",
            value=len(given),
            limit=MOST_NAMES,
        )
    found: dict[str, str] = {}
    for name, genre in given.items():
        target = _GENRE_BY_KEY.get(key_of(genre)) if isinstance(genre, str) else None
        if not isinstance(name, str) or not key_of(name) or target is None:
            raise SourceError(
                f"genre {shown(str(name))!r} is mapped to {shown(str(genre))!r}; one of these is expected: "
                f"{', '.join(GENRES)}",
                reason="GENRE_MAP_INVALID",
                value=shown(str(genre)),
            )
        found[key_of(name)] = target
    return found


def key_of(name: str) -> str:
    """Return a genre's name without case, accents, spaces and signs: "Pop-Rock" and "poprock" are one."""
    plain = unicodedata.normalize("NFKD", name[:1_000].casefold())
    return re.sub(r"[\W_]+", "", "".join(letter for letter in plain if not unicodedata.combining(letter)))


_GENRE_BY_KEY = {key_of(genre): genre for genre in GENRES}
_BY_JAMENDO = {
    key_of(name): genre
    for table in (_RUN_TOGETHER, _JAMENDO)
    for genre, names in table.items()
    for name in names.split(",")
}
