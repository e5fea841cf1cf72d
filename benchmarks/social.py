"""How fast is what people do with each other, at the size MUSEED was designed for, and does anything get lost?

Loads 100,000 people with 1,000,000 follows, 200,000 playlists, 2,500,000 likes, 2,500,000 plays and 106,574 tracks into
a PostgreSQL of its own (nine minutes; `--kept FOLDER` keeps it), runs social as the process that it is, and prints what
this machine can do at all (fsync, commit, publish, echo) beside what is measured.

Usage: python -m benchmarks.social [--scale 1.0] [--kept FOLDER] [--only PART] [--seconds 5]
"""

import argparse
import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.people import reads
from benchmarks.people.calibration import calibrate
from benchmarks.people.population import Sizes
from benchmarks.people.service import Social, running_social
from benchmarks.people.writes import burst, mixed
from benchmarks.retrieval.run import Row
from services.chassis.bus import Bus

_SETTLED_SUBJECT = "museed.social.v1.session_revoked"


def floor(social: Social, seconds: float) -> list[Row]:
    """What this machine can do, in the same run."""

    async def run() -> list[Row]:
        bus = await Bus.connect(social.bus, "social")
        try:
            found = await calibrate(social.database_url, social.folder, bus, _SETTLED_SUBJECT)
        finally:
            await bus.close()
        return [
            Row("fsyncs of 4 KiB", f"{found.fsyncs:.0f}/s"),
            Row("commits of one row: one after another; 16 at a time", _two(found.commits, found.joined_commits)),
            Row("confirmed publishes: one after another; 128 at a time", _two(found.publishes, found.joined_publishes)),
            Row("echo over the loopback, p50", f"{1e3 * found.echo_s:.2f} ms"),
        ]

    return asyncio.run(run())


def _two(one: float, many: float) -> str:
    return f"{one:.0f}/s; {many:.0f}/s"


def five_reads(social: Social, seconds: float) -> list[Row]:
    """Latencies of what people wait for, by two callers, and whether PostgreSQL read large tables from end to end."""

    async def run() -> list[Row]:
        rows = []
        kinds = reads.reads(social)
        for read in kinds:
            found = await reads.measure(social, read, seconds)
            figure = f"{1e3 * found.percentile_s(50):.1f} ms, {1e3 * found.percentile_s(95):.1f} ms"
            if found.refused:
                figure = next(iter(found.refused))[:60]
            rows.append(Row(f"{read.name}: p50, p95 of {len(found.latencies_s)}", figure, "≤ 50 ms"))
        await reads.show_plans(social)
        try:
            for read in kinds:
                since = social.postgres_log.stat().st_size
                await reads.measure(social, read, min(seconds, 1.0))
                scanned = await reads.long_scans(social, since)
                rows.append(
                    Row(f"{read.name}: large tables read from end to end", ", ".join(scanned) or "none", "none")
                )
        finally:
            await reads.hide_plans(social)
        return rows

    return asyncio.run(run())


PARTS: dict[str, Callable[[Social, float], Sequence[Row]]] = {
    "floor": floor,
    "reads": five_reads,
    "mixed": mixed,
    "burst": burst,
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="of the population")
    parser.add_argument("--kept", type=Path, help="folder where the loaded database stays")
    parser.add_argument("--only", choices=PARTS)
    parser.add_argument("--seconds", type=float, default=5, help="of each read")
    chosen = parser.parse_args()
    with running_social(Sizes().scaled(chosen.scale), chosen.kept) as social:
        population = social.population
        counts = ", ".join(f"{count:,} {table}" for table, count in population.rows.items())
        print(counts, flush=True)
        for name, part in PARTS.items():
            if chosen.only in (None, name):
                for row in part(social, chosen.seconds):
                    print(f"{row.what:<72} {row.figure:>40} {row.goal:>9}", flush=True)


if __name__ == "__main__":
    main()
