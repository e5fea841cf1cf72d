"""What somebody may ask of an API token."""

from datetime import UTC, datetime, timedelta

import pytest

from services.chassis.errors import DomainError
from services.chassis.scopes import Scope
from services.social.domain.accounts import Role
from services.social.domain.api_tokens import check_token, hash_secret, new_secret

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_wish_is_cleaned() -> None:
    wanted = check_token(" radio ", [Scope.READ, Scope.WRITE], NOW + timedelta(days=366), Role.USER, NOW)
    assert (wanted.name, wanted.scopes) == ("radio", frozenset({Scope.READ, Scope.WRITE}))
    assert check_token("radio", [Scope.ADMIN], None, Role.ADMIN, NOW).expires_at is None


@pytest.mark.parametrize(
    ("name", "scopes", "expires_at", "reason", "field"),
    [
        ("", [Scope.READ], None, "REQUIRED", "name"),
        ("n" * 101, [Scope.READ], None, "OUT_OF_RANGE", "name"),
        ("n", [], None, "REQUIRED", "scopes"),
        ("n", [Scope.READ, Scope.READ], None, "MALFORMED", "scopes"),
        ("n", [Scope.READ, Scope.ADMIN], None, "PERMISSION_DENIED", "scopes"),
        ("n", [Scope.READ], NOW, "OUT_OF_RANGE", "expires_at"),
        ("n", [Scope.READ], NOW + timedelta(days=366, microseconds=1), "OUT_OF_RANGE", "expires_at"),
    ],
)
def test_wrong_wish_names_the_field(
    name: str, scopes: list[Scope], expires_at: datetime | None, reason: str, field: str
) -> None:
    with pytest.raises(DomainError) as refusal:
        check_token(name, scopes, expires_at, Role.USER, NOW)
    assert (refusal.value.reason, refusal.value.field) == (reason, field)


def test_same_wish_has_the_same_digest_in_whatever_order() -> None:
    first = check_token("n", [Scope.READ, Scope.WRITE], None, Role.USER, NOW)
    second = check_token("n", [Scope.WRITE, Scope.READ], None, Role.USER, NOW + timedelta(hours=1))
    assert first.digest() == second.digest()
    assert first.digest() != check_token("m", [Scope.READ, Scope.WRITE], None, Role.USER, NOW).digest()
    assert first.digest() != check_token("n", [Scope.READ], None, Role.USER, NOW).digest()


def test_secrets_differ_and_say_what_they_are() -> None:
    first, second = new_secret(), new_secret()
    assert first != second
    assert first.startswith("museed_")
    assert len(first) == len("museed_") + 43
    assert len(hash_secret(first)) == len(hash_secret("\ud800")) == 32
