"""Finds public playlists by their titles and by who owns them.

Ranking is what costs, so only candidates are ranked: at most 50 of the very title; those of the 500 made public last,
and else at most 200, whose title has every word; where these are fewer than 20, at most 100 that nearly have what was
typed; and of at most 20 people whose name begins so, or is one of the words, 20 lists each that have the other words.
"""

from dataclasses import dataclass
from functools import lru_cache

from services.social.domain import paging
from services.social.domain.accounts import folded
from services.social.domain.folding import like_pattern, like_start, query_words
from services.social.domain.ids import PlaylistId, UserId, is_id
from services.social.store.database import Connection
from services.social.store.visibility import blocked, listed

# Of fewer signs a trigram index knows beginnings of words alone, and too many people's names begin so.
_SHORTEST_INSIDE = 3
# Of fewer signs in all, one wrong letter is too much.
_SHORTEST_LOOSE = 4

# As for tracks (`search.py`); and who owns a list is looked up list by list, so that nothing is read beyond a limit.
PLAN = """
SELECT set_config('plan_cache_mode', 'force_custom_plan', true), set_config('enable_seqscan', 'off', true),
    set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)
"""
FOLD = "SELECT search_words($1)"
_TEXT = "search_words(p.title)"
_COLUMNS = "p.playlist_id, p.listed_at, p.text"
_PUBLIC = "p.visibility = 'PUBLIC' AND p.hidden_at IS NULL"
_ROWS = f"""SELECT p.playlist_id, p.owner_id, p.listed_at, p.visibility, p.hidden_at, {_TEXT} AS text
    FROM playlists AS p WHERE {_PUBLIC}"""
_SEEN = f"p JOIN users AS o ON o.user_id = p.owner_id WHERE {listed('$1::uuid')}"
# $2 is what was typed, $3 and $4 how names begin, $5 words that are whole names, $6 to $8 the last of the page before.
# What is looked for by words stands apart from its limit, which ends it nevertheless: a planner that knows of the limit
# takes a rare word for a common one now and then, and walks through all lists for it. Lower ranks are better, so that
# one row comparison continues a page; of equal ones, those made public last come first.
_FIND = f"""
WITH named AS MATERIALIZED ({_ROWS} AND {_TEXT} = $2::text
), same AS MATERIALIZED (
    SELECT {_COLUMNS} FROM named AS {_SEEN} LIMIT 50
), last AS MATERIALIZED (
    {_ROWS} ORDER BY p.listed_at DESC, p.playlist_id DESC LIMIT 500
), latest AS MATERIALIZED (
    SELECT {_COLUMNS} FROM last AS {_SEEN} AND {{latest}} LIMIT 200
), with_words AS MATERIALIZED ({_ROWS} AND {{inside}}
), inside AS MATERIALIZED (
    SELECT {_COLUMNS} FROM with_words AS {_SEEN} AND (SELECT count(*) FROM latest) < 200 LIMIT 200
), alike AS MATERIALIZED ({_ROWS} AND {{nearly}}
), nearly AS MATERIALIZED (
    SELECT {_COLUMNS} FROM alike AS {_SEEN}
        AND (SELECT count(*) FROM latest) + (SELECT count(*) FROM inside) < 20 LIMIT 100
), owners AS MATERIALIZED (
    SELECT u.user_id, search_words(u.username || ' ' || u.nickname) AS name FROM users AS u
    WHERE (
        u.username_key LIKE $3 OR lower(u.nickname) LIKE lower($4)
        OR u.username_key = ANY ($5::text[]) OR lower(u.nickname) = ANY ($5)
    ) AND u.suspended_at IS NULL AND u.deleted_at IS NULL AND NOT {blocked("u.user_id", "$1::uuid")}
    ORDER BY u.username_key <> ALL ($5), u.username_key LIMIT 20
), owned AS MATERIALIZED (
    SELECT found.* FROM owners CROSS JOIN LATERAL (
        SELECT p.playlist_id, p.listed_at, owners.name || {_TEXT} AS text FROM playlists AS p
        WHERE p.owner_id = owners.user_id AND {_PUBLIC} AND {{owned}}
        ORDER BY p.playlist_id DESC LIMIT 20
    ) AS found
), matching AS (
    SELECT playlist_id, min(-extract(epoch FROM listed_at)::double precision) AS age, min(-(
        word_similarity($2, text) + similarity($2, text) + CASE WHEN text = $2 THEN 3 ELSE 0 END
    )::double precision) AS rank
    FROM (
        SELECT * FROM same UNION SELECT * FROM latest UNION SELECT * FROM inside UNION SELECT * FROM nearly
        UNION SELECT * FROM owned
    ) AS candidates GROUP BY playlist_id
)
SELECT rank, age, playlist_id FROM matching
WHERE $6::double precision IS NULL OR (rank, age, playlist_id) > ($6, $7::double precision, $8::uuid)
ORDER BY rank, age, playlist_id LIMIT $9
"""


@dataclass(frozen=True, slots=True)
class Found:
    """A playlist, with what the list is ordered by: rank (lower is better), and how long it is public, negated."""

    rank: float
    age: float
    playlist_id: PlaylistId


def decode(scope: str, token: str) -> Found | None:
    """Return where a page of `search` begins; None at the start.

    Raises:
        Malformed: Not a token of this very list.
    """
    key = paging.decode_token(scope, token, [paging.is_number, paging.is_number, is_id])
    return None if key is None else Found(float(key[0]), float(key[1]), PlaylistId(str(key[2])))


def key_of(found: Found) -> tuple[float, float, str]:
    """Return what a page's token holds of its last item."""
    return found.rank, found.age, found.playlist_id


async def search(
    connection: Connection, viewer_id: UserId | None, query: str, after: Found | None, limit: int
) -> list[Found]:
    """Return public playlists that the viewer may see, best first; none where no letter and no digit was typed.

    Args:
        connection: In a transaction of its own, whose plans it changes.
        viewer_id: None for a guest.
        query: As it was typed.
        after: The last of the page before; None starts.
        limit: How many are wanted.
    """
    asked = await connection.fetchval(FOLD, query)
    words = [word for word in query_words(asked) if any(sign.isalnum() for sign in word)]
    if not words:
        return []
    await connection.execute(PLAN)
    key = folded(query)
    begins = len(key) >= _SHORTEST_INSIDE
    rank, age, playlist_id = (None, None, None) if after is None else key_of(after)
    rows = await connection.fetch(
        search_sql(len(words), is_loose=len(asked) > _SHORTEST_LOOSE),
        viewer_id,
        asked,
        like_start(key) if begins else None,
        like_start(query) if begins else None,
        query_words(key),
        rank,
        age,
        playlist_id,
        limit,
        *(part for word in words for part in _parts(word)),
    )
    return [Found(row["rank"], row["age"], PlaylistId(row["playlist_id"])) for row in rows]


@lru_cache(maxsize=16)
def search_sql(word_count: int, *, is_loose: bool) -> str:
    """Return the statement for so many words, which may be misspelt or not."""
    inside = [f"{_TEXT} LIKE ${10 + 2 * place}" for place in range(word_count)]
    owned = [f"({one} OR owners.name LIKE ${11 + 2 * place})" for place, one in enumerate(inside)]
    return _FIND.format(
        latest=" AND ".join(inside).replace(_TEXT, "p.text"),
        inside=" AND ".join(inside),
        nearly=f"$2 <% {_TEXT}" if is_loose else "false",
        owned=" AND ".join(owned),
    )


def _parts(word: str) -> list[str]:
    """Return the patterns of a word, in the order in which `search_sql` numbers them: in titles, and in names."""
    begins = like_pattern(f" {word}")
    return [like_pattern(word) if len(word) >= _SHORTEST_INSIDE else begins, begins]
