"""Finds tracks by what people type: every word must be inside of title, artist or album, or nearly so."""

from dataclasses import dataclass
from functools import lru_cache

from services.social.folding import like_pattern
from services.social.ids import TrackId
from services.social.store.database import Connection

LIST_BY_TITLE = """
SELECT 0::double precision AS rank, search_title, track_id FROM tracks
WHERE ($2::text IS NULL OR (search_title, track_id) > ($2, $3::uuid))
ORDER BY search_title, track_id LIMIT $1
"""
LIST_GENRE_BY_TITLE = """
SELECT 0::double precision AS rank, search_title, track_id FROM tracks
WHERE genre = $4 AND ($2::text IS NULL OR (search_title, track_id) > ($2, $3::uuid))
ORDER BY search_title, track_id LIMIT $1
"""
# Ranked by likeness to the title and to everything; the very title comes first. Lower is better, so that one row
# comparison continues a page.
FIND = """
WITH matching AS (
    SELECT search_title, track_id,
        -(word_similarity($6, search_title) + word_similarity($6, search_text) + similarity($6, search_title)
            + CASE WHEN search_title = $6 THEN 1 ELSE 0 END)::double precision AS rank
    FROM tracks
    WHERE ($4::text IS NULL OR genre = $4){words}
)
SELECT rank, search_title, track_id FROM matching
WHERE $5::double precision IS NULL OR (rank, search_title, track_id) > ($5, $2::text, $3::uuid)
ORDER BY rank, search_title, track_id LIMIT $1
"""
WORD = " AND (search_text LIKE ${pattern} OR ${word}::text <% search_text)"
_FIRST_WORD_PARAMETER = 7


@dataclass(frozen=True, slots=True)
class Found:
    """A track that was found, with what the list is ordered by: rank (lower is better), folded title, id."""

    rank: float
    search_title: str
    track_id: TrackId


async def search_tracks(
    connection: Connection, query: str, words: list[str], genre: str | None, after: Found | None, limit: int
) -> list[Found]:
    """Find tracks, best first.

    Args:
        connection: A connection.
        query: Folded text; empty lists by title.
        words: Its words, at most eight; each must be found.
        genre: Only tracks of this one; None means all.
        after: The last track of the page before; None starts.
        limit: Tracks wanted.
    """
    title, track_id, rank = (None, None, None) if after is None else (after.search_title, after.track_id, after.rank)
    if words:
        patterns = [part for word in words for part in (like_pattern(word), word)]
        sql = _find(len(words))
        rows = await connection.fetch(sql, limit, title, track_id, genre, rank, query, *patterns)
    elif genre is not None:
        rows = await connection.fetch(LIST_GENRE_BY_TITLE, limit, title, track_id, genre)
    else:
        rows = await connection.fetch(LIST_BY_TITLE, limit, title, track_id)
    return [Found(row["rank"], row["search_title"], TrackId(row["track_id"])) for row in rows]


@lru_cache
def _find(word_count: int) -> str:
    parameters = range(_FIRST_WORD_PARAMETER, _FIRST_WORD_PARAMETER + 2 * word_count, 2)
    return FIND.replace("{words}", "".join(WORD.format(pattern=number, word=number + 1) for number in parameters))
