"""What a sign-up must look like, and what becomes of a refresh token."""

import unicodedata
from datetime import UTC, datetime, timedelta

import pytest

from services.chassis.errors import DomainError
from services.social.domain.accounts import (
    NewAccount,
    RefreshVerdict,
    ShownRefreshToken,
    check_sign_up,
    folded,
    judge_refresh,
    login_key,
)
from services.social.domain.ids import SessionId, UserId

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_sign_up_is_cleaned_and_nickname_falls_back_to_username() -> None:
    account = check_sign_up(" Jay.Yoon-1_ ", "", " Jay@Example.ORG ", "long enough")
    assert account == NewAccount("Jay.Yoon-1_", "Jay.Yoon-1_", "Jay@Example.ORG")
    assert (account.username_key, account.email_key) == ("jay.yoon-1_", "jay@example.org")


def test_names_compare_without_case_and_unicode_form() -> None:
    decomposed = unicodedata.normalize("NFD", "Ünal@Ä.de")
    assert folded(decomposed) == folded("ünal@ä.DE") == "ünal@ä.de"


def test_login_is_cut_before_it_is_folded(normalized: list[int]) -> None:
    assert login_key("A\0" + "e\u0301" * 200_000) == "a" + "é" * 253
    assert max(normalized) <= 4 * 254


@pytest.mark.parametrize(
    ("username", "nickname", "email", "password", "reason", "field", "value", "limit"),
    [
        ("", "", "a@b", "long enough", "REQUIRED", "username", "", None),
        ("ab", "", "a@b", "long enough", "OUT_OF_RANGE", "username", "2", "3"),
        ("a" * 31, "", "a@b", "long enough", "OUT_OF_RANGE", "username", "31", "30"),
        ("has space", "", "a@b", "long enough", "MALFORMED", "username", "has space", "made of a–z, 0–9, _, . and -"),
        ("하늘이요", "", "a@b", "long enough", "MALFORMED", "username", "하늘이요", "made of a–z, 0–9, _, . and -"),
        ("abc", "n" * 51, "a@b", "long enough", "OUT_OF_RANGE", "nickname", "51", "50"),
        ("abc", "", "", "long enough", "REQUIRED", "email", "", None),
        ("abc", "", "nobody", "long enough", "MALFORMED", "email", "nobody", "an e-mail address"),
        ("abc", "", "a@b@c", "long enough", "MALFORMED", "email", "a@b@c", "an e-mail address"),
        ("abc", "", "a@.b", "long enough", "MALFORMED", "email", "a@.b", "an e-mail address"),
        ("abc", "", "a@" + "b" * 253, "long enough", "OUT_OF_RANGE", "email", "255", "254"),
        ("abc", "", "a@b", "", "REQUIRED", "password", "", None),
        ("abc", "", "a@b", "1234567", "OUT_OF_RANGE", "password", "7", "8"),
        ("abc", "", "a@b", "x" * 129, "OUT_OF_RANGE", "password", "129", "128"),
    ],
)
def test_wrong_sign_up_names_field_value_and_limit(
    username: str, nickname: str, email: str, password: str, reason: str, field: str, value: str, limit: str | None
) -> None:
    with pytest.raises(DomainError) as refusal:
        check_sign_up(username, nickname, email, password)
    error = refusal.value
    assert (error.reason, error.field, error.value, error.limit) == (reason, field, value, limit)
    assert len(password) < 2 or password not in f"{error.message}{error.metadata}"


GRACE = timedelta(seconds=10)


def shown(**more: datetime | None) -> ShownRefreshToken:
    fields: dict[str, datetime | None] = {"expires_at": NOW + timedelta(days=1), "used_at": None, "revoked_at": None}
    return ShownRefreshToken(SessionId("s"), UserId("u"), **{**fields, **more})  # type: ignore[arg-type]  # times


@pytest.mark.parametrize(
    ("token", "verdict"),
    [
        (None, RefreshVerdict.UNKNOWN),
        (shown(), RefreshVerdict.TRADED),
        (shown(expires_at=NOW), RefreshVerdict.EXPIRED),
        (shown(expires_at=NOW + timedelta(microseconds=1)), RefreshVerdict.TRADED),
        (shown(used_at=NOW), RefreshVerdict.RACED),
        (shown(used_at=NOW - GRACE + timedelta(microseconds=1)), RefreshVerdict.RACED),
        (shown(used_at=NOW - GRACE), RefreshVerdict.REUSED),
        (shown(used_at=NOW - GRACE, expires_at=NOW), RefreshVerdict.REUSED),
        (shown(used_at=NOW, revoked_at=NOW), RefreshVerdict.REVOKED),
    ],
)
def test_refresh_token_is_judged(token: ShownRefreshToken | None, verdict: RefreshVerdict) -> None:
    assert judge_refresh(token, NOW, GRACE) is verdict


def test_refusal_tells_the_verdict_as_reason() -> None:
    assert RefreshVerdict.REUSED.refusal().reason == "REFRESH_TOKEN_REUSED"
