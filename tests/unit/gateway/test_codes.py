"""Every code that a client can meet has its texts, and no text is of a code that does not exist."""

import json
import re

import pytest

from examples.api import sources
from examples.api.sources import UNSEEN, UnreadReason, raised_codes
from services.chassis.errors import Code
from services.gateway import codes
from services.gateway.codes import CODES, GROUPS

HANGUL = re.compile(r"[가-힣]")


def test_every_code_of_the_sources_has_its_texts_or_is_never_seen() -> None:
    missing = {name: sorted(one.places) for name, one in raised_codes().items() if name not in {*CODES, *UNSEEN}}
    assert missing == {}, "say each in services/gateway/codes.json, then run: python -m examples.api --texts"


def test_no_text_is_of_a_code_that_does_not_exist() -> None:
    assert {*CODES, *UNSEEN} - raised_codes().keys() == set()
    assert CODES.keys() & UNSEEN.keys() == set()


def test_every_code_is_said_in_both_languages() -> None:
    assert {name for name, code in CODES.items() if code.group not in GROUPS} == set()
    assert {name for name, code in CODES.items() if not code.en.endswith(".") or HANGUL.search(code.en)} == set()
    assert {name for name, code in CODES.items() if not code.ko.endswith(".") or not HANGUL.search(code.ko)} == set()
    assert {name for name, code in CODES.items() if not code.do.endswith((".", ")."))} == set()
    # They stand in tables.
    assert {name for name, code in CODES.items() if "|" in code.en + code.ko + code.do} == set()


def test_a_code_that_is_said_twice_is_refused() -> None:
    text = '{"A": {"group": "input", "en": "", "ko": "", "do": ""}, "A": {"group": "input"}}'
    with pytest.raises(ValueError, match="twice"):
        json.loads(text, object_pairs_hook=codes._once)


def test_codes_are_found_wherever_they_are_written() -> None:
    found = raised_codes()
    # A class of its own; one with a field in its name; a parameter; a constant; a row of a loop; a result.
    assert found["VERSION_CONFLICT"].kinds == {Code.ABORTED}
    assert found["EMAIL_TAKEN"].statuses == {("ALREADY_EXISTS", 409)}
    assert found["UPLOAD_OFFSET_INVALID"].statuses == {("INVALID_ARGUMENT", 400)}
    assert found["TOO_MANY_ALIASES"].statuses == {("RESOURCE_EXHAUSTED", 429)}
    assert found["UPLOAD_CHECKSUM_MISMATCH"].statuses == {("INVALID_ARGUMENT", 460)}
    assert found["REFRESH_TOKEN_REUSED"].kinds == {Code.UNAUTHENTICATED}
    assert (found["JOB_ABANDONED"].kinds, found["JOB_ABANDONED"].statuses) == (set(), set())
    assert found["EMBEDDING_FAILED"].places == {"embedder/consumer.py"}


def test_a_reason_that_cannot_be_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sources.COMPUTED, ("gateway/limits.py", "reason"))
    raised_codes.cache_clear()
    with pytest.raises(UnreadReason, match=r"services/gateway/limits\.py: reason=reason"):
        raised_codes()
    raised_codes.cache_clear()
