"""Who holds an advisory lock keeps others from the same thing, and from no other."""

import re
from collections import Counter
from pathlib import Path

import services.social

LOCK = re.compile(r"advisory_(?:xact_)?lock\((\d+, \d+)\)")


def test_no_two_statements_take_the_same_lock() -> None:
    folder = Path(services.social.__path__[0])
    taken = Counter(key for path in sorted(folder.rglob("*.py")) for key in LOCK.findall(path.read_text()))
    assert len(taken) >= 3
    assert [key for key, count in taken.items() if count > 1] == []
