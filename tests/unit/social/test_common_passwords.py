"""Passwords that whoever guesses tries first."""

import pytest

from services.social.domain.accounts import check_email, check_password, check_profile
from services.social.domain.common_passwords import is_frequent, is_name
from services.social.errors.credentials import PasswordCommon
from services.social.errors.input import Malformed, Missing, OutOfRange


@pytest.mark.parametrize("password", ["password", "PassWord", "12345678", "qwertyuiop", "iloveyou"])
def test_frequent_passwords_are_known_whatever_their_case(password: str) -> None:
    assert is_frequent(password) is True


@pytest.mark.parametrize("password", ["correct horse battery", "password of nobody else", "비밀번호 아홉 글자"])
def test_others_are_not(password: str) -> None:
    assert is_frequent(password) is False


@pytest.mark.parametrize("password", ["Jay.Yoon", "jay@example.org", " JAY@Example.ORG ", "jay"])
def test_own_names_are_known_whatever_their_case(password: str) -> None:
    assert is_name(password, ("jay.yoon", "Jay@example.org")) is True
    assert is_name(f"{password}!", ("jay.yoon", "Jay@example.org")) is False


@pytest.mark.parametrize(
    ("password", "what"),
    [
        ("PASSWORD", "one of the most frequent passwords"),
        ("jay.yoon", "the username or the e-mail address"),
        ("someone.else", "the username or the e-mail address"),
        ("someone.else@example.org", "the username or the e-mail address"),
    ],
)
def test_refusal_names_the_field_and_repeats_no_password(password: str, what: str) -> None:
    with pytest.raises(PasswordCommon) as refusal:
        check_password(password, "new_password", ("Jay.Yoon", "someone.else@example.org"))
    error = refusal.value
    assert (error.reason, error.field, error.value) == ("PASSWORD_COMMON", "new_password", None)
    assert error.message == f"new_password is {what}, choose another one"


@pytest.mark.parametrize(
    "email",
    [
        "a,b@example.org",
        "a;b@example.org",
        "<a@example.org",
        "a@example.org>",
        '"a"@example.org',
        "a(b)@example.org",
        "group:a@example.org",
        "a@[127.0.0.1]",
        "a\\b@example.org",
        "a@example.org, b",
        "a b@example.org",
        "a@example.org\r\nBcc: b@example.org",
        "a@example.org\nb",
    ],
)
def test_what_would_be_more_than_one_address_in_a_header_is_refused(email: str) -> None:
    with pytest.raises(Malformed) as refusal:
        check_email(email)
    assert refusal.value.field == "email"


@pytest.mark.parametrize("email", ["a+b@example.org", "o'neil@example.co.kr", "ünal@ä.de", "a_b-c.d@localhost"])
def test_plain_addresses_are_taken(email: str) -> None:
    assert check_email(f" {email} ") == email


def test_profile_is_checked_field_by_field() -> None:
    assert check_profile(None, None, None).nickname is None
    edit = check_profile(" 하늘 ", "ko", False)
    assert (edit.nickname, edit.locale, edit.is_listed) == ("하늘", "ko", False)
    with pytest.raises(Missing):
        check_profile(" ", None, None)
    with pytest.raises(OutOfRange):
        check_profile("n" * 51, None, None)
    with pytest.raises(Malformed) as refusal:
        check_profile(None, "fr", None)
    assert (refusal.value.field, refusal.value.value, refusal.value.limit) == ("locale", "fr", "en or ko")
