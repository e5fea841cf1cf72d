"""Finds tracks, artists and albums by what people type: every word must be inside of their names, or nearly so.

Ranking is what costs, so only candidates are ranked: at most 200 names that begin with all that was typed; where these
are fewer, at most 200 that have every word as it was typed; where all of them are fewer than 20, at most 100 that have
nearly every word. The very name is always among them.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from services.social.domain import paging
from services.social.domain.folding import like_pattern
from services.social.domain.ids import UserId, is_id
from services.social.domain.terms import Asked, Place, Term
from services.social.store.database import Connection

MOST_CANDIDATES = 200
MOST_NEAR = 100
# As many as a page of what was really typed are better than any guess at what was meant.
FEW = 20
# Plans follow the very words: a common one is looked for along the key, a rare one in the trigram index. Without it a
# word of any frequency would get one plan.
PLAN_BY_WORDS = (
    "SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('enable_seqscan', 'off', true)"
)


@dataclass(frozen=True, slots=True)
class Shelf:
    """What is searched.

    Attributes:
        table: Rows.
        key: Its id column.
        name: Folded name, by which lists without words are ordered.
        text: Everything folded in which words are looked for.
        shown: Condition on `row` for what is there; the parameters $2 (genre or artist) and $3 (whose blocklist) may
            be null.
    """

    table: str
    key: str
    name: str
    text: str
    shown: str

    def column(self, place: Place) -> str:
        """Return the column in which a term is looked for."""
        return self.text if place is Place.TEXT else f"search_{place.value}"


TRACKS = Shelf(
    "tracks",
    "track_id",
    "search_title",
    "search_text",
    """($2::text IS NULL OR row.genre = $2) AND ($3::uuid IS NULL OR NOT EXISTS (
        SELECT FROM blocked_tracks AS blocked WHERE blocked.user_id = $3 AND blocked.track_id = row.track_id
    ) AND NOT EXISTS (
        SELECT FROM blocked_artists AS blocked WHERE blocked.user_id = $3 AND blocked.artist_id = row.artist_id
    ))""",
)
# Whoever has no track any more is nobody's concern.
ARTISTS = Shelf(
    "artists",
    "artist_id",
    "search_name",
    "search_name",
    """$2::uuid IS NULL AND $3::uuid IS NULL
        AND EXISTS (SELECT FROM tracks WHERE tracks.artist_id = row.artist_id)""",
)
ALBUMS = Shelf(
    "albums",
    "album_id",
    "search_title",
    "search_title",
    """($2::uuid IS NULL OR row.artist_id = $2) AND $3::uuid IS NULL
        AND EXISTS (SELECT FROM tracks WHERE tracks.album_id = row.album_id)""",
)

LIST_BY_NAME = """
SELECT 0::double precision AS rank, {name} AS name, {key}::text AS found_id FROM {table} AS row
WHERE ($4::double precision IS NULL OR (row.{name}, row.{key}) > ($5::text, $6::uuid)) AND {shown}
ORDER BY row.{name}, row.{key} LIMIT $1
"""
# No folded name goes on with the last sign of Unicode. Lower ranks are better, so that one row comparison continues a
# page; the very name comes first.
FIND = """
WITH named AS MATERIALIZED (
    SELECT {columns} FROM {table} AS row
    WHERE row.{name} >= $7::text AND row.{name} < $7 || chr(1114111) AND {shown}
    ORDER BY row.{name}, row.{key} LIMIT {limit}
), inside AS MATERIALIZED (
    SELECT {columns} FROM {table} AS row
    WHERE (SELECT count(*) FROM named) < {limit} AND {strict} AND {shown}{order} LIMIT {limit}
), nearly AS MATERIALIZED (
    SELECT {columns} FROM {table} AS row
    WHERE (SELECT count(*) FROM named) + (SELECT count(*) FROM inside) < {few} AND {loose} AND {shown} LIMIT {near}
), matching AS (
    SELECT name, found_id, -(
        word_similarity($7, name) + word_similarity($7, text) + similarity($7, name)
        + CASE WHEN name = $7 THEN 3 ELSE 0 END{korean}
    )::double precision AS rank
    FROM (SELECT * FROM named UNION SELECT * FROM inside UNION SELECT * FROM nearly) AS candidates
)
SELECT rank, name, found_id::text FROM matching
WHERE $4::double precision IS NULL OR (rank, name, found_id) > ($4, $5::text, $6::uuid)
ORDER BY rank, name, found_id LIMIT $1
"""
# Typed whole words count more than the same letters inside of others.
KOREAN = """
        + word_similarity($8::text, coalesce(korean, '')) + strict_word_similarity($8, coalesce(korean, ''))"""


@dataclass(frozen=True, slots=True)
class Found:
    """Something that was found, with what the list is ordered by: rank (lower is better), folded name, id."""

    rank: float
    name: str
    found_id: str


def decode(scope: str, token: str) -> Found | None:
    """Return where a page of `search` begins; None at the start.

    Raises:
        Malformed: Not a token of this very list.
    """
    key = paging.decode_token(scope, token, [paging.is_number, paging.is_text, is_id])
    return None if key is None else Found(float(key[0]), str(key[1]), str(key[2]))


def key_of(found: Found) -> tuple[float, str, str]:
    """Return what a page's token holds of its last item."""
    return found.rank, found.name, found.found_id


async def search(
    connection: Connection,
    shelf: Shelf,
    asked: Asked,
    after: Found | None,
    limit: int,
    *,
    only: str | None = None,
    blocker: UserId | None = None,
) -> list[Found]:
    """Find what is on a shelf, best first.

    Args:
        connection: In a transaction of its own, whose plans it changes.
        shelf: Tracks, artists or albums.
        asked: An empty query lists by name.
        after: The last of the page before; None starts.
        limit: How many are wanted.
        only: Tracks of this genre, albums of this artist; None means all.
        blocker: Tracks and artists that this person blocks are left out of tracks; None leaves nothing out.
    """
    rank, name, found_id = (None, None, None) if after is None else (after.rank, after.name, after.found_id)
    parameters: list[object] = [limit, only, blocker, rank, name, found_id]
    await connection.execute(PLAN_BY_WORDS)
    if asked.query:
        parameters.append(asked.query)
        if asked.korean is not None:
            parameters.append(" ".join(term.text for term in asked.terms if term.place is not Place.TEXT))
        parameters += [part for term in asked.terms for part in _parts(term)]
        parameters += filter(None, [asked.run_together])
    rows = await connection.fetch(search_sql(shelf, asked), *parameters)
    return [Found(row["rank"], row["name"], row["found_id"]) for row in rows]


def search_sql(shelf: Shelf, asked: Asked) -> str:
    """Return the statement that answers a query."""
    if not asked.query:
        return LIST_BY_NAME.format(name=shelf.name, key=shelf.key, table=shelf.table, shown=shelf.shown)
    return _find(shelf, asked.terms, asked.korean, bool(asked.run_together))


@lru_cache(maxsize=256)
def _find(shelf: Shelf, terms: tuple[Term, ...], korean: Place | None, is_run_together: bool) -> str:
    parameters = itertools.count(8 if korean is None else 9)
    conditions = [_conditions(shelf.column(term.place), term, parameters) for term in terms]
    loose = " AND ".join(loose for _, loose in conditions) if any(term.is_loose for term in terms) else "false"
    if is_run_together:
        loose = f"(({loose}) OR ${next(parameters)}::text <% row.{shelf.column(Place.JAMO)})"
    return FIND.format(
        table=shelf.table,
        key=shelf.key,
        name=shelf.name,
        columns=f"row.{shelf.key} AS found_id, row.{shelf.name} AS name, row.{shelf.text} AS text"
        + ("" if korean is None else f", row.{shelf.column(korean)} AS korean"),
        shown=shelf.shown,
        limit=MOST_CANDIDATES,
        few=FEW,
        near=MOST_NEAR,
        strict=" AND ".join(strict for strict, _ in conditions) or "false",
        loose=loose,
        # Along the key a common word is found soon; beginnings of words cost more to compare than to read in any order.
        order=f" ORDER BY row.{shelf.key}" if all(term.is_inside for term in terms) else "",
        korean="" if korean is None else KOREAN,
    )


def _parts(term: Term) -> list[str]:
    """Return the parameters of a term, in the order in which `_conditions` numbers them."""
    return [like_pattern(term.text)] * term.is_inside + [term.text] * (term.is_loose or not term.is_inside)


def _conditions(column: str, term: Term, parameters: Iterator[int]) -> tuple[str, str]:
    """Return what says that a word is there as it was typed, and that it nearly is.

    `<%` finds two signs, or one, at the beginning of a word: of their few trigrams these are more than half.
    """
    inside = f"row.{column} LIKE ${next(parameters)}" if term.is_inside else ""
    nearly = f"${next(parameters)}::text <% row.{column}" if term.is_loose or not term.is_inside else ""
    if inside and nearly:
        return inside, f"({inside} OR {nearly})"
    return inside or nearly, inside or nearly
