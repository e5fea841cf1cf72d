"""Settings of the database."""

from pydantic import Field, SecretStr

from services.chassis.settings import Settings


class DatabaseSettings(Settings):
    """Where PostgreSQL is, and how many connections this process may hold.

    With their defaults a process holds at most 25: both pools, and one for the publisher's locks; one more migrates at
    its start. A local PostgreSQL has 26 for each process, for one that stands in, and 8 for an operator.
    """

    database_url: SecretStr
    # Of a copy that follows the first, for public lists; empty reads them from the first.
    database_replica_url: SecretStr = SecretStr("")
    # Of requests; as many again go to the replica where there is one.
    database_pool_size: int = Field(16, ge=4, le=200)
    # Of everything that this process does on its own, so that requests never wait for it.
    background_pool_size: int = Field(8, ge=4, le=200)
    statement_timeout_ms: int = Field(5_000, ge=100, le=600_000)
