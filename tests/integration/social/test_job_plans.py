"""Statements of jobs, schedules and uploads find their rows by an index, however large their tables are."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.social.domain.ids import new_id
from services.social.domain.jobs import Kind
from services.social.store import (
    blocks,
    dead_letters,
    job_lists,
    jobs,
    remaking,
    schedules,
    suggestions,
    switch_jobs,
    upload_blobs,
    uploads,
)
from tests.integration.social.conftest import Sql

ID, NOW = "'01a20150-0000-7000-8000-000000000000'::uuid", "now()"
DIGEST = r"'\x00'::bytea"
STATEMENTS: dict[str, tuple[str, list[str]]] = {
    "claim": (jobs.CLAIM, ["15.0", f"ARRAY{[kind.value for kind in Kind]}::text[]", "2"]),
    "count open": (jobs.COUNT_OPEN, [ID]),
    "mine": (job_lists.SELECT_MINE, [ID, ID, "NULL", "20"]),
    "mine, open": (job_lists.SELECT_MINE_OPEN, [ID, ID, "NULL", "20"]),
    "all": (job_lists.SELECT_ALL, [ID, "NULL", "'EXTENSION'", "NULL", "20"]),
    "switch": (switch_jobs.SELECT_ENCODERS, []),
    "due": (schedules.SELECT_DUE, [NOW, NOW, ID, "50"]),
    "schedules of a person": (schedules.COUNT_OTHERS, [ID, ID]),
    "dead letters": (dead_letters.SELECT_SOME, ["''", "100"]),
    "old dead letters": (dead_letters.DELETE_OLD, [NOW, "100"]),
    "suggestions": (suggestions.SELECT_PAGE, [ID, "'PROPOSED'", "0.5", ID, "20"]),
    "judged": (suggestions.SELECT_JUDGED, [ID, "'ACCEPTED'", "500"]),
    "proposed": (suggestions.DELETE_PROPOSED, [ID]),
    "added": (remaking.SELECT_ADDED, [ID]),
    "generated": (remaking.DELETE_GENERATED, [ID]),
    "blocked tracks": (blocks.SELECT_TRACKS, [ID]),
    "blocked artists": (blocks.SELECT_ARTISTS, [ID, "100"]),
    "uploads": (uploads.SELECT_MINE, [ID, NOW, "NULL", "20"]),
    "sweep": (uploads.SWEEP, [NOW, "100"]),
    "forget": (uploads.FORGET, [NOW, "100"]),
    "released": (upload_blobs.LOCK_RELEASED, ["100"]),
    "nobody's": (upload_blobs.SELECT_NOBODYS, [f"ARRAY[{DIGEST}]"]),
    "orphans": (upload_blobs.TAKE_ORPHANS, [f"ARRAY[{DIGEST}]", NOW]),
}


async def plan_of(sql: Sql, statement: str, values: list[str]) -> dict[str, Any]:
    """How a statement would be done where reading a table to its end is what costs most."""
    filled = re.sub(r"\$(\d+)", lambda found: values[int(found[1]) - 1], statement)
    await sql.execute("SET enable_seqscan = off")
    plan: dict[str, Any] = json.loads(await sql.fetchval(f"EXPLAIN (FORMAT JSON) {filled}"))[0]["Plan"]
    return plan


def scans(plan: dict[str, Any]) -> list[str]:
    """Tables that a plan reads from their beginning to their end."""
    own = [plan["Relation Name"]] if plan["Node Type"] == "Seq Scan" else []
    return own + [table for child in plan.get("Plans", []) for table in scans(child)]


@pytest.mark.parametrize("name", STATEMENTS)
async def test_statement_reads_no_table_to_its_end(sql: Sql, name: str) -> None:
    assert scans(await plan_of(sql, *STATEMENTS[name])) == []


def test_id_of_a_time_is_below_those_that_are_made_then() -> None:
    before, made, after = datetime.now(UTC) - timedelta(milliseconds=2), new_id(), datetime.now(UTC)
    assert job_lists.first_id(before) < made < job_lists.first_id(after + timedelta(milliseconds=2))
