"""Refusals as a whole: a client that knows a reason knows its status."""

import importlib
import pkgutil

from services.chassis.errors import DomainError
from services.social import errors


def refusals() -> set[type[DomainError]]:
    found = set[type[DomainError]]()
    for each in pkgutil.iter_modules(errors.__path__):
        module = importlib.import_module(f"{errors.__name__}.{each.name}")
        found |= {kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, DomainError)}
    return {kind for kind in found if kind.__module__.startswith(errors.__name__)}


def test_each_reason_has_one_status() -> None:
    codes: dict[str, set[str]] = {}
    for kind in refusals():
        if "default_reason" in vars(kind):
            codes.setdefault(kind.default_reason, set()).add(kind.code)
    assert {reason: found for reason, found in codes.items() if len(found) > 1} == {}
    assert codes["USER_BLOCKED"] == {"FAILED_PRECONDITION"}
