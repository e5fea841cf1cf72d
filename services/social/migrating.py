"""`python -m services.social.migrate`: brings the database to this release's schema, or waits until somebody has."""

import argparse
import asyncio
import logging

from services.chassis.settings import load, settings_config
from services.chassis.telemetry import configure_logging
from services.social.migrate import LOST, Migration, connect, ledger, migrate, missing_of, read_migrations
from services.social.settings.database import DatabaseSettings

logger = logging.getLogger(__name__)

_WAIT_S = 2.0


class MigrationSettings(DatabaseSettings):
    """Those of social that migrating needs."""

    model_config = settings_config("SOCIAL_")

    log_level: str = "INFO"


async def lacking(url: str, migrations: list[Migration]) -> list[str]:
    """Return the names of the migrations that a database does not have; waits for a server that is not there.

    Raises:
        MigrationError: One that it has was edited since.
    """
    connection = await connect(url)
    try:
        return [migration.name for migration in missing_of(migrations, await ledger(connection))]
    finally:
        await connection.close()


async def wait_for_schema(url: str, migrations: list[Migration], interval_s: float = _WAIT_S) -> None:
    """Return when the database has them all, however long that takes; changes nothing."""
    told: list[str] = []
    while True:
        try:
            missing = await lacking(url, migrations)
        except LOST as error:
            logger.warning("database_lost", extra={"error": repr(error)})
        else:
            if not missing:
                return
            if missing != told:
                logger.info("schema_waits", extra={"missing": len(missing), "next": missing[0]})
                told = missing
        await asyncio.sleep(interval_s)


def main() -> None:
    """Migrate, or wait with `--wait`; tells what was done in the log."""
    parser = argparse.ArgumentParser(prog="python -m services.social.migrate", description=__doc__)
    parser.add_argument("--wait", action="store_true", help="Change nothing; return when the schema is there.")
    only_waits = parser.parse_args().wait
    settings = load(MigrationSettings)
    configure_logging("migrate", settings.log_level)
    url, migrations = settings.database_url.get_secret_value(), read_migrations()
    if only_waits:
        asyncio.run(wait_for_schema(url, migrations))
    else:
        count = asyncio.run(migrate(url, migrations))
        logger.info("schema_is_there", extra={"applied": count})
