"""Every read of playlists, likes, comments, tokens and tracks has an index for it, whatever its parameters."""

from services.social.store import comments, editing, engagement, exchange, follows, playlists, stream_tokens
from tests.integration.social.conftest import Sql

STATEMENTS = {
    "one": playlists.SELECT_PLAYLIST,
    "by slug": playlists.SELECT_BY_SLUG,
    "batch": playlists.SELECT_PLAYLISTS,
    "own": playlists.SELECT_OWN,
    "entries": playlists.SELECT_ENTRIES,
    "count own": playlists.COUNT_OWN,
    "take back": playlists.TAKE_BACK,
    "delete activities": playlists.DELETE_ACTIVITIES,
    "unknown tracks": editing.UNKNOWN_TRACKS,
    "renumber": editing.RENUMBER,
    "delete entries": editing.DELETE_ENTRIES,
    "copy entries": editing.COPY_ENTRIES,
    "liked among": engagement.LIKED_AMONG,
    "likers": engagement.SELECT_LIKERS,
    "copy": engagement.SELECT_COPY,
    "blocks between": follows.BLOCKS_BETWEEN,
    "comments": comments.SELECT_COMMENTS,
    "comments since": comments.COUNT_SINCE,
    "rows of a file": exchange.SELECT_ROWS,
    "by recording": exchange.SELECT_BY_RECORDING,
    "by ISRC": exchange.SELECT_BY_ISRC,
    "by name": exchange.SELECT_BY_NAME,
    "living tokens": stream_tokens.SELECT_LIVING,
    "count tokens": stream_tokens.COUNT_LIVING,
    "is living": stream_tokens.IS_LIVING,
    "resolve": stream_tokens.RESOLVE,
    "expired tokens": stream_tokens.DELETE_EXPIRED,
}
# What bounds a page must bound the index, and not be looked at row by row.
BOUNDS = {
    "own": "(owner_id = $1) AND (playlist_id < COALESCE($2",
    "comments": "(playlist_id = $1) AND (comment_id < COALESCE($2",
    "likers": "(playlist_id = $1) AND (at <= COALESCE($2",
}


async def plan_of(sql: Sql, statement: str) -> str:
    """Return the plan that serves every parameter."""
    await sql.execute(f"PREPARE asked AS {statement}")
    count = await sql.fetchval("SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'asked'")
    rows = await sql.fetch(f"EXPLAIN EXECUTE asked({', '.join(['NULL'] * count)})")
    await sql.execute("DEALLOCATE asked")
    return "\n".join(row[0] for row in rows)


async def test_plans_scan_no_table_and_pages_begin_where_the_index_does(database_url: str, sql: Sql) -> None:
    await sql.execute("SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off")
    for name, statement in STATEMENTS.items():
        plan = await plan_of(sql, statement)
        # There are but a few roots.
        assert [line for line in plan.splitlines() if "Seq Scan" in line and " on roots" not in line] == [], (
            name,
            plan,
        )
    await sql.execute("SET enable_bitmapscan = off; SET enable_sort = off")
    for name, bound in BOUNDS.items():
        plan = await plan_of(sql, STATEMENTS[name])
        assert len([line for line in plan.splitlines() if "Index Cond" in line and bound in line]) == 1, (name, plan)
