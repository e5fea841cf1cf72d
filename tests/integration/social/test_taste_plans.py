"""Statements of listening, taste, badges and trends find their rows by an index, however large their tables are."""

import pytest

from services.social.store import badges, charts, listened, listening, pairs, tastes, trends
from services.social.store.counts import TOUCH_PEOPLE
from tests.integration.social.conftest import Sql
from tests.integration.social.test_job_plans import plan_of, scans

ID, NOW, DAY = "'01a20150-0000-7000-8000-000000000000'::uuid", "now()", "'2026-11-20'::date"
IDS = f"ARRAY[{ID}]"
SINCE = (charts.SINCE_DAY, charts.SINCE_MONTH, charts.SINCE_EVER)
STATEMENTS: dict[str, tuple[str, list[str]]] = {
    "heard tracks": (listening.SELECT_HEARD_TRACKS, [IDS]),
    "played playlists": (listening.SELECT_PLAYED_PLAYLISTS, [IDS, ID]),
    "known plays": (listening.SELECT_KNOWN_PLAYS, [IDS]),
    "near": (listening.SELECT_COUNTED_NEAR, [ID, IDS, f"ARRAY[{NOW}]", "'5 minutes'"]),
    "heard on": (listening.SELECT_HEARD_ON, [ID, f"ARRAY[{NOW}]"]),
    "count on": (listening.COUNT_ON, [ID, f"ARRAY[{NOW}]", "5000"]),
    "history": (listening.SELECT_HISTORY, [ID, NOW, ID, "50"]),
    "delete plays": (listening.DELETE_PLAYS, [ID, IDS]),
    "delete some": (listening.DELETE_SOME, [ID, NOW, "100"]),
    "listening": (listened.SELECT_LISTENING, [ID, IDS]),
    "counted of tracks": (listened.SELECT_COUNTED_OF_TRACKS, [ID, IDS]),
    "genres": (charts.SELECT_GENRES, [ID, DAY]),
    **{
        f"{name} {number}": (statement.format(heard=heard), [ID, DAY, "10"])
        for number, heard in enumerate(SINCE)
        for name, statement in (("top tracks", charts.TOP_TRACKS), ("top artists", charts.TOP_ARTISTS))
    },
    "made": (charts.SELECT_MADE, [ID, "false", "100"]),
    "genres of each": (charts.SELECT_GENRES_OF_EACH, [IDS]),
    "people": (charts.SELECT_SEEN_PERSON, [IDS, ID]),
    "touch": (TOUCH_PEOPLE, [IDS]),
    "touched": (tastes.SELECT_TOUCHED, [NOW, "100"]),
    "heaviest": (tastes.SELECT_HEAVIEST, [ID, "1000"]),
    "mix": (tastes.SELECT_MIX, [ID, DAY]),
    "old mixes": (tastes.SWEEP_MIXES, [DAY, "100"]),
    "metrics": (badges.SELECT_METRICS, [ID]),
    "earned": (badges.SELECT_EARNED, [IDS]),
    "tracks of a day": (pairs.SELECT_HEARD_TRACKS, [DAY, "''", "10"]),
    "pairs": (pairs.INSERT_PAIRS, [ID, "500", "200", "3", "50", "10.0"]),
    "behaviour": (pairs.SELECT_BEHAVIOUR, [ID, "400"]),
    "popular": (pairs.SELECT_POPULAR, [DAY, DAY, "400"]),
    "allowed": (pairs.SELECT_ALLOWED, [ID, IDS]),
    "heard of": (pairs.SELECT_HEARD_OF, [ID, IDS]),
    "excluded": (pairs.SELECT_EXCLUDED_PEOPLE, [ID]),
    "recommendable": (pairs.SELECT_RECOMMENDABLE, [ID, IDS]),
    "period": (trends.SELECT_PERIOD, ["'TRACK'", DAY, DAY, "''", "500"]),
    "period of subject": (trends.SELECT_PERIOD_OF_SUBJECT, ["'TRACK'", DAY, DAY, "''", "500", "'x'"]),
    **{f"labels of {name.lower()}s": (statement, [IDS]) for name, statement in trends.LABELS.items()},
}


@pytest.mark.parametrize("name", STATEMENTS)
async def test_statement_reads_no_table_to_its_end(sql: Sql, name: str) -> None:
    assert scans(await plan_of(sql, *STATEMENTS[name])) == []
