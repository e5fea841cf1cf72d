"""Finds people by how their names begin."""

from services.social.domain.accounts import folded
from services.social.domain.folding import like_start
from services.social.domain.ids import UserId
from services.social.domain.people import Member
from services.social.store.database import Connection
from services.social.store.follows import ACTIVE, MEMBER, member_of
from services.social.store.visibility import blocked

# $1 is the viewer, NULL for a guest. Each branch has an index of its own; addresses are nobody's to look for.
SEARCH = f"""
    SELECT {MEMBER} FROM users AS u
    WHERE (u.username_key LIKE $2 OR lower(u.nickname) LIKE lower($3))
        AND {ACTIVE} AND NOT {blocked("u.user_id", "$1::uuid")} AND ($4::text IS NULL OR u.username_key > $4)
    ORDER BY u.username_key LIMIT $5
"""


async def search(
    connection: Connection, viewer_id: UserId | None, query: str, after: str | None, limit: int
) -> list[Member]:
    """Return whom the viewer may see whose username or nickname begins so, by username, those after `after`."""
    keys, shown = like_start(folded(query)), like_start(query)
    return [member_of(row) for row in await connection.fetch(SEARCH, viewer_id, keys, shown, after, limit)]
