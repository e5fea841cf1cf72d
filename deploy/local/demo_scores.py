"""The pieces of the demo's library: which score, played on what, how fast and how high; it renders nothing.

Every composer has been dead for more than a hundred years, and no encoding of music21's corpus that is used here asks
for more than its encoder's name. An album is one sound, with scores of several composers: alike things stand together,
and a limit of tracks per artist leaves a playlist enough to choose from.
"""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum


class Backing(StrEnum):
    """What accompanies the notes of a score."""

    NONE = "none"
    BEAT = "beat"  # a synthesizer's bass and a drum kit on every quarter
    DRUMS = "drums"  # the score's own rhythm on a drum kit, and no notes at all


@dataclass(frozen=True, slots=True)
class Score:
    """A score of music21's corpus.

    Attributes:
        path: Below the corpus folder.
        title: Of the work.
        composer: Who wrote it.
        genre: One of the sixteen top-level genres, when played on the instruments it was written for or their like.
        year: When it was written or printed; None where nobody knows.
    """

    path: str
    title: str
    composer: str
    genre: str
    year: int | None


@dataclass(frozen=True, slots=True)
class Style:
    """A sound: an album of the library.

    Attributes:
        album: Name of the album.
        suffix: Stands in brackets behind a title, so that no two titles are the same.
        programs: General MIDI programs, 0 to 127, of the parts from the highest down, repeated as needed.
        backing: What accompanies the notes.
        genre: Overrides the score's own.
    """

    album: str
    suffix: str
    programs: tuple[int, ...]
    backing: Backing = Backing.NONE
    genre: str | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """One recording to render.

    Attributes:
        score: What is played.
        style: On what.
        tempo_qpm: Quarter notes per minute.
        transpose: Semitones up.
        duration_s: Length of the recording.
    """

    score: Score
    style: Style
    tempo_qpm: int
    transpose: int
    duration_s: int

    @property
    def title(self) -> str:
        """Title of the recording, unique in the library."""
        return f"{self.score.title} ({self.style.suffix})"

    @property
    def genre(self) -> str:
        """One of the sixteen top-level genres."""
        return self.style.genre or self.score.genre

    @property
    def file_name(self) -> str:
        """Path below the library's folder: the album's folder and an ASCII name."""
        return f"{_ascii(self.style.album)}/{_ascii(self.title)}.ogg"


def _ascii(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.replace("ß", "ss").replace("/", "-"))
    return re.sub(r"[^A-Za-z0-9 ().,'-]", "", plain)


_BACH, _MOZART, _HAYDN = "Johann Sebastian Bach", "Wolfgang Amadeus Mozart", "Joseph Haydn"
_CLARA, _ROBERT = "Clara Schumann", "Robert Schumann"
_CLASSICAL, _FOLK, _OLD = "Classical", "Folk", "Old-Time / Historic"


def _tune(name: str, title: str) -> Score:
    # Printed in Ryan's Mammoth Collection, Boston 1883; composers unknown.
    return Score(f"ryansMammoth/{name}.abc", title, "Traditional", _FOLK, 1883)


_SCORES = {
    "haupt": Score("bach/bwv244.54.mxl", "O Haupt voll Blut und Wunden", _BACH, _CLASSICAL, 1727),
    "wachet": Score("bach/bwv140.7.mxl", "Wachet auf, ruft uns die Stimme", _BACH, _CLASSICAL, 1731),
    "burg": Score("bach/bwv80.8.mxl", "Ein feste Burg ist unser Gott", _BACH, _CLASSICAL, None),
    "freude": Score("bach/bwv227.1.mxl", "Jesu, meine Freude", _BACH, _CLASSICAL, None),
    "lag": Score("bach/bwv4.8.mxl", "Christ lag in Todesbanden", _BACH, _CLASSICAL, None),
    "schmuecke": Score("bach/bwv180.7.mxl", "Schmücke dich, o liebe Seele", _BACH, _CLASSICAL, 1724),
    "fluechtig": Score("bach/bwv26.6.mxl", "Ach wie flüchtig, ach wie nichtig", _BACH, _CLASSICAL, 1724),
    "prelude": Score("bach/bwv846.mxl", "Prelude in C major, BWV 846", _BACH, _CLASSICAL, 1722),
    "wq55": Score("cpebach/h186.mxl", "Poco adagio, Wq. 55/4", "Carl Philipp Emanuel Bach", _CLASSICAL, 1779),
    "corelli": Score("corelli/opus3no1/1grave.xml", "Grave, Op. 3 No. 1", "Arcangelo Corelli", _CLASSICAL, 1689),
    "lascia": Score(
        "handel/rinaldo/Lascia_chio_pianga.mxl", "Lascia ch'io pianga", "George Frideric Handel", _CLASSICAL, 1711
    ),
    "lusitano": Score("lusitano/allor_che_ignuda.mxl", "Allor che ignuda", "Vicente Lusitano", _CLASSICAL, 1562),
    "haydn1_2": Score("haydn/opus1no1/movement2.mxl", "Menuetto, Op. 1 No. 1 II", _HAYDN, _CLASSICAL, 1764),
    "haydn1_4": Score("haydn/opus1no1/movement4.mxl", "Menuetto, Op. 1 No. 1 IV", _HAYDN, _CLASSICAL, 1764),
    "haydn74": Score("haydn/opus74no1/movement3.mxl", "Menuetto, Op. 74 No. 1", _HAYDN, _CLASSICAL, 1793),
    "k80": Score("mozart/k80/movement3.mxl", "Menuetto, K. 80", _MOZART, _CLASSICAL, 1770),
    "k155_2": Score("mozart/k155/movement2.mxl", "Andante, K. 155", _MOZART, _CLASSICAL, 1772),
    "k155_3": Score("mozart/k155/movement3.mxl", "Molto allegro, K. 155", _MOZART, _CLASSICAL, 1772),
    "k458": Score("mozart/k458/movement2.mxl", "Menuetto, K. 458", _MOZART, _CLASSICAL, 1784),
    "k545": Score("mozart/k545/movement1_exposition.mxl", "Allegro, K. 545", _MOZART, _CLASSICAL, 1788),
    "beethoven": Score(
        "beethoven/opus18no1/movement3.mxl", "Scherzo, Op. 18 No. 1", "Ludwig van Beethoven", _CLASSICAL, 1801
    ),
    "clara1": Score("schumann_clara/polonaise_op1n1.mxl", "Polonaise, Op. 1 No. 1", _CLARA, _CLASSICAL, 1831),
    "clara2": Score("schumann_clara/polonaise_op1n2.mxl", "Polonaise, Op. 1 No. 2", _CLARA, _CLASSICAL, 1831),
    "clara4": Score("schumann_clara/polonaise_op1n4.mxl", "Polonaise, Op. 1 No. 4", _CLARA, _CLASSICAL, 1831),
    "traenen": Score("schumann_robert/opus48no2.mxl", "Aus meinen Tränen sprießen, Op. 48", _ROBERT, _CLASSICAL, 1840),
    "robert41": Score("schumann_robert/opus41no1/movement2.mxl", "Scherzo, Op. 41 No. 1", _ROBERT, _CLASSICAL, 1842),
    "maple": Score("joplin/maple_leaf_rag.mxl", "Maple Leaf Rag", "Scott Joplin", _OLD, 1899),
    "jeanie": Score("leadSheet/fosterBrownHair.mxl", "Jeanie with the Light Brown Hair", "Stephen Foster", _OLD, 1854),
    "aloha": Score("liliuokalani/aloha_oe.mxl", "Aloha ʻOe", "Liliʻuokalani", "International", 1884),
    "acacia": _tune("AcaciaReel", "Acacia Reel"),
    "arkansas": _tune("ArkansasTravellerReel", "Arkansas Traveller"),
    "college": _tune("CollegeHornpipe", "College Hornpipe"),
    "devil": _tune("DevilsDreamReel", "Devil's Dream"),
    "fisher": _tune("FishersHornpipe", "Fisher's Hornpipe"),
    "garry": _tune("GarryOwenJig", "Garry Owen"),
    "larry": _tune("LarryDownsReel", "Larry Downs' Reel"),
    "marquis": _tune("MarquisHansleysReel", "Marquis Hansley's Reel"),
    "plough": _tune("SpeedThePloughReel", "Speed the Plough"),
    "rickett": _tune("RickettsHornpipe", "Rickett's Hornpipe"),
    "soldier": _tune("SoldiersJoy", "Soldier's Joy"),
}

_PIANO = Style("Piano", "piano", (0,))
_SYNTHESIZER = Style("Synthesizer", "synthesizer", (81, 80, 87), Backing.BEAT, "Electronic")

# Of each style: score, quarters per minute, semitones up.
_LIBRARY: tuple[tuple[Style, tuple[tuple[str, int, int], ...]], ...] = (
    (Style("Choir", "choir", (52,)), (("haupt", 60, 0), ("lusitano", 104, 2), ("lascia", 72, -2), ("aloha", 76, -3))),
    (Style("Organ", "organ", (19,)), (("wachet", 66, 0), ("corelli", 56, 0), ("wq55", 52, -2), ("lusitano", 88, -3))),
    (_PIANO, (("prelude", 69, 0), ("k545", 132, 0), ("clara1", 100, 0), ("traenen", 54, -2))),
    (
        Style("Harpsichord", "harpsichord", (6,)),
        (("corelli", 76, 2), ("k80", 128, 0), ("haydn1_4", 144, 0), ("freude", 84, 0)),
    ),
    (
        Style("String Quartet", "strings", (40, 40, 41, 42)),
        (("haydn1_2", 116, 0), ("k458", 108, 0), ("beethoven", 208, 0), ("robert41", 176, 0)),
    ),
    (
        Style("Brass", "brass", (56, 56, 60, 57, 58)),
        (("burg", 92, 0), ("haydn74", 138, -5), ("lascia", 84, -3), ("aloha", 88, -5)),
    ),
    (
        Style("Woodwinds", "woodwinds", (73, 68, 71, 70)),
        (("k155_2", 96, 0), ("schmuecke", 74, 5), ("haydn1_4", 126, 2), ("traenen", 66, 7)),
    ),
    (Style("Guitar", "guitar", (24,)), (("jeanie", 92, -5), ("lag", 72, -2), ("aloha", 84, -7), ("corelli", 72, -8))),
    (
        Style("Marimba", "marimba", (12,)),
        (("maple", 92, -5), ("clara4", 116, -5), ("fluechtig", 104, 0), ("devil", 104, -7)),
    ),
    (
        Style("Music Box", "music box", (10,)),
        (("k545", 96, 12), ("clara1", 84, 12), ("prelude", 60, 19), ("haydn1_2", 104, 12)),
    ),
    (_SYNTHESIZER, (("acacia", 132, -12), ("k155_3", 126, -5), ("maple", 120, -7), ("burg", 138, 0))),
    (Style("Fiddle", "fiddle", (110,)), (("arkansas", 112, 0), ("college", 100, 0), ("maple", 88, 2))),
    (Style("Accordion", "accordion", (21,)), (("fisher", 96, -5), ("garry", 168, -2), ("jeanie", 104, 0))),
    (
        Style("Drums", "drum kit", (0,), Backing.DRUMS, "Instrumental"),
        (("larry", 104, 0), ("beethoven", 180, 0), ("marquis", 88, 0)),
    ),
)

# In no album of the library: what the demo uploads.
_SEEDS = ((_PIANO, "clara2", 104, 0), (_SYNTHESIZER, "soldier", 128, -12))


def _lasting(number: int) -> int:
    return 36 + 7 * number % 20


LIBRARY = tuple(
    Piece(_SCORES[name], style, tempo_qpm, transpose, _lasting(number))
    for number, (style, name, tempo_qpm, transpose) in enumerate(
        (style, *entry) for style, entries in _LIBRARY for entry in entries
    )
)
SEEDS = tuple(Piece(_SCORES[name], style, tempo_qpm, transpose, 40) for style, name, tempo_qpm, transpose in _SEEDS)
