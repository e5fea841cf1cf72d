"""The 16 top-level genres, and where the genres that files name belong."""

import re
import unicodedata
from dataclasses import dataclass

GENRES = (
    "Electronic",
    "Experimental",
    "Rock",
    "Pop",
    "Folk",
    "Instrumental",
    "Hip-Hop",
    "International",
    "Jazz",
    "Classical",
    "Blues",
    "Soul-RnB",
    "Spoken",
    "Country",
    "Old-Time / Historic",
    "Easy Listening",
)

_WITHOUT_TAG = "Experimental"
_WITHOUT_MAPPING = "Pop"

# Jamendo's tags as the product defines them (its "Ambient" is Experimental, FMA's "Ambient Electronic" Electronic),
# then the sub-genres of FMA's tree and other names that files carry.
_NAMES: dict[str, str] = {
    "Pop": "pop, indie, pop rock, dream pop, synthpop, synth pop, experimental pop, power pop, indie pop, k pop, "
    "j pop, electropop, britpop, teen pop, kpop, jpop, ballad, bubblegum, new romantic",
    "Rock": "rock, rock and roll, indie rock, post punk, new wave, punk, punk rock, garage, grunge, hard rock, metal, "
    "heavy metal, death metal, black metal, thrash, thrash metal, doom metal, sludge, hardcore, no wave, noise rock, "
    "post rock, progressive, progressive rock, prog rock, psych rock, psychedelic rock, krautrock, shoegaze, stoner, "
    "stoner rock, surf, surf rock, alternative, alternative rock, classic rock, emo, gothic, goth, industrial metal, "
    "industrial rock, math rock, lo fi, loud rock, rock opera, space rock, glam rock, power metal, symphonic metal, "
    "electro punk, oi, grindcore, metalcore, rockabilly, southern rock, soft rock, folk metal, speed metal",
    "Electronic": "electronic, electronica, house, dance, dubstep, chillout, chill out, 8bit, 8 bit, chiptune, "
    "chip music, techno, trance, idm, ambient electronic, drum and bass, drum n bass, dnb, jungle, breakbeat, "
    "breakcore, breakcore hard, bigbeat, big beat, downtempo, glitch, trip hop, minimal electronic, minimal techno, "
    "deep house, tech house, electro, electro house, edm, hardstyle, hardcore techno, gabber, synthwave, retrowave, "
    "vaporwave, darkwave, ebm, industrial, skweee, dub techno, psytrance, goa, goa trance, club, acid, acid house, "
    "future bass, uk garage, grime instrumental, video game, game, chillwave, eurodance, rave, tracker, demoscene",
    "Soul-RnB": "soul rnb, rnb, r b, r and b, soul, funk, disco, neo soul, motown, gospel, rhythm and blues",
    "Folk": "folk, psych folk, freak folk, free folk, british folk, singer songwriter, folk rock, indie folk, "
    "acoustic, traditional, celtic, folklore",
    "Jazz": "jazz, free jazz, jazz out, jazz vocal, jazz fusion, fusion, modern jazz, be bop, bebop, bop, swing, "
    "big band, big band swing, smooth jazz, acid jazz, latin jazz, nu jazz, cool jazz, hard bop, ragtime",
    "Instrumental": "instrumental, new age, film score, soundtrack, score, original soundtrack, cinematic, epic, "
    "trailer, orchestral, piano, relaxation, meditation",
    "Experimental": "experimental, ambient, dark ambient, drone, noise, avant garde, field recordings, "
    "musique concrete, electroacoustic, electro acoustic, sound art, sound collage, improv, "
    "free improvisation, audio collage, novelty, "
    "minimalism, sound effects, lo fi experimental, unclassifiable, plunderphonics",
    "Hip-Hop": "hip hop, hiphop, rap, hip hop beats, alternative hip hop, trap, abstract hip hop, nerdcore, "
    "wonky, boom bap, lofi hip hop, turntablism, gangsta rap, gangsta, underground rap",
    "Country": "country, americana, bluegrass, country and western, western swing, outlaw country, alt country, "
    "honky tonk",
    "International": "international, world, world music, latin, latin america, reggae, dub, ska, dancehall, "
    "reggae dub, reggae dancehall, salsa, bossa nova, samba, cumbia, flamenco, fado, afrobeat, african, balkan, "
    "klezmer, polka, tango, indian, bollywood, asia far east, middle east, brazilian, cuban, french, spanish, europe, "
    "turkish, north african, pacific, romany gypsy, south indian traditional, tropicalia, calypso, ethnic, "
    "latin pop, reggaeton, mambo, merengue, chanson, enka, trot, gugak",
    "Classical": "classical, baroque, romantic, opera, symphony, chamber music, chamber, choral, choral music, "
    "contemporary classical, 20th century classical, composed music, early music, medieval, renaissance, sonata, "
    "string quartet, modern classical, neoclassical, neo classical, concerto",
    "Blues": "blues, delta blues, electric blues, chicago blues, blues rock, country blues",
    "Spoken": "spoken, spoken word, speech, poetry, talk radio, radio, radio art, radio theater, interview, comedy, "
    "audiobook, podcast, banter, spoken weird",
    "Old-Time / Historic": "old time historic, old time, oldtime, historic, tin pan alley, oldies",
    "Easy Listening": "easy listening, lounge, muzak, nostalgia golden age, chanson populaire, elevator music",
}


# Commas and slashes may also stand inside of a name ("Big Band/Swing").
_BETWEEN = re.compile(r"[;|\\\0]")


@dataclass(frozen=True, slots=True)
class GenreMatch:
    """A top-level genre; `is_known` is False where it is only the fallback."""

    genre: str
    is_known: bool


def match_genre(raw: str) -> GenreMatch:
    """Find the top-level genre of what a file says.

    A list ("Indie; Folk") takes the first name that belongs somewhere. No tag is Experimental, and a tag that belongs
    nowhere is Pop, both marked as not known.
    """
    if not _folded(raw):
        return GenreMatch(_WITHOUT_TAG, is_known=False)
    for one in _BETWEEN.split(raw):
        for name in (one, *re.split(r"[,/]", one)):
            if (genre := _GENRE_BY_NAME.get(_folded(name))) is not None:
                return GenreMatch(genre, is_known=True)
    return GenreMatch(_WITHOUT_MAPPING, is_known=False)


def below_top_level(raw: str) -> list[str]:
    """Return the genres that a file names beside the 16."""
    names = (one.strip() for one in _BETWEEN.split(raw))
    return [name for name in names if name and _folded(name) not in _TOP_LEVEL]


def _folded(name: str) -> str:
    """Return a name without case, accents and punctuation: "Rock & Roll" and "rock and roll" are one."""
    plain = unicodedata.normalize("NFKD", name.replace("&", " and ").casefold())
    letters = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return " ".join(re.findall(r"\w+", letters.replace("_", " ")))


def _table() -> dict[str, str]:
    found = {_folded(genre): genre for genre in GENRES}
    for genre, names in _NAMES.items():
        for name in names.split(","):
            found.setdefault(_folded(name), genre)
    return found


_TOP_LEVEL = frozenset(map(_folded, GENRES))
_GENRE_BY_NAME = _table()
