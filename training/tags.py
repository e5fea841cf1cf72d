"""The words that museed-mini gives to tracks, and which of the teachers' tags each is made of."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Word: the teachers' tags that mean it, as (network, tag). Eras and sexes are left out: sound tells them badly.
_MSD, _MTT = "musicnn-msd", "musicnn-mtt"
WORDS: dict[str, tuple[tuple[str, str], ...]] = {
    # genres
    "rock": ((_MSD, "rock"), (_MTT, "rock")),
    "alternative rock": ((_MSD, "alternative rock"),),
    "classic rock": ((_MSD, "classic rock"),),
    "hard rock": ((_MSD, "hard rock"),),
    "progressive rock": ((_MSD, "Progressive rock"),),
    "punk": ((_MSD, "punk"),),
    "metal": ((_MSD, "metal"), (_MTT, "metal")),
    "heavy metal": ((_MSD, "heavy metal"),),
    "pop": ((_MSD, "pop"), (_MTT, "pop")),
    "indie": ((_MSD, "indie"),),
    "electronic": ((_MSD, "electronic"), (_MTT, "electronic")),
    "electro": ((_MSD, "electro"),),
    "house": ((_MSD, "House"),),
    "techno": ((_MTT, "techno"),),
    "dance": ((_MSD, "dance"), (_MTT, "dance")),
    "ambient": ((_MSD, "ambient"), (_MTT, "ambient")),
    "new age": ((_MTT, "new age"),),
    "chillout": ((_MSD, "chillout"),),
    "experimental": ((_MSD, "experimental"),),
    "hip-hop": ((_MSD, "Hip-Hop"),),
    "rnb": ((_MSD, "rnb"),),
    "soul": ((_MSD, "soul"),),
    "funk": ((_MSD, "funk"),),
    "blues": ((_MSD, "blues"),),
    "jazz": ((_MSD, "jazz"),),
    "folk": ((_MSD, "folk"),),
    "country": ((_MSD, "country"), (_MTT, "country")),
    "classical": ((_MTT, "classical"), (_MTT, "classic")),
    "opera": ((_MTT, "opera"),),
    "indian": ((_MTT, "indian"),),
    "easy listening": ((_MSD, "easy listening"),),
    # moods
    "beautiful": ((_MSD, "beautiful"),),
    "mellow": ((_MSD, "Mellow"),),
    "chill": ((_MSD, "chill"),),
    "party": ((_MSD, "party"),),
    "catchy": ((_MSD, "catchy"),),
    "sexy": ((_MSD, "sexy"),),
    "happy": ((_MSD, "happy"),),
    "sad": ((_MSD, "sad"),),
    "weird": ((_MTT, "weird"),),
    "slow": ((_MTT, "slow"),),
    "fast": ((_MTT, "fast"),),
    "loud": ((_MTT, "loud"),),
    "quiet": ((_MTT, "quiet"),),
    "soft": ((_MTT, "soft"),),
    # instruments
    "acoustic": ((_MSD, "acoustic"),),
    "instrumental": ((_MSD, "instrumental"),),
    "guitar": ((_MSD, "guitar"), (_MTT, "guitar")),
    "piano": ((_MTT, "piano"),),
    "harpsichord": ((_MTT, "harpsichord"),),
    "synth": ((_MTT, "synth"),),
    "drums": ((_MTT, "drums"),),
    "beat": ((_MTT, "beat"), (_MTT, "beats")),
    "strings": ((_MTT, "strings"),),
    "violin": ((_MTT, "violin"),),
    "cello": ((_MTT, "cello"),),
    "harp": ((_MTT, "harp"),),
    "flute": ((_MTT, "flute"),),
    "sitar": ((_MTT, "sitar"),),
    "choir": ((_MTT, "choir"), (_MTT, "choral")),
    "vocals": ((_MTT, "vocals"), (_MTT, "vocal"), (_MTT, "voice"), (_MTT, "singing")),
}


def mixing_matrix(names: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
    """Return how words are made of the teachers' tags: the mean of the logits of those that mean it.

    Args:
        names: Network and tag of each column of the teachers' tags.

    Returns:
        Shape (words, tags), float32, rows adding up to 1.

    Raises:
        KeyError: A teacher does not know a tag that a word is made of.
    """
    columns = {name: column for column, name in enumerate(names)}
    matrix = np.zeros((len(WORDS), len(names)), np.float32)
    for row, meanings in enumerate(WORDS.values()):
        for meaning in meanings:
            matrix[row, columns[meaning]] = 1 / len(meanings)
    return matrix
