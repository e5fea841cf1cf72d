"""Deletes what is over in batches: each statement stays within the pool's timeout, however much there is to delete."""

from services.social.store.database import Connection

BATCH_SIZE = 1_000


def some_of(table: str, condition: str) -> str:
    """Return a statement that deletes at most 1,000 rows; what somebody else has locked is left for later."""
    found = f"SELECT ctid FROM {table} WHERE {condition} LIMIT {BATCH_SIZE} FOR UPDATE SKIP LOCKED"
    return f"DELETE FROM {table} WHERE ctid = ANY (ARRAY({found}))"


async def delete_all(connection: Connection, statement: str, *args: object) -> None:
    """Execute a statement of `some_of` until it finds no full batch; outside of a transaction."""
    while await connection.execute(statement, *args) == f"DELETE {BATCH_SIZE}":
        pass
