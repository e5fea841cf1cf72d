"""Mails: links that can be made again, texts in two languages, headers that nothing can be slipped into."""

import io
from email import message_from_bytes
from email.policy import SMTP, default
from pathlib import Path

import pytest

from services.social.domain.ids import MailTokenId
from services.social.domain.mail_tokens import MailTokens, hash_mail_token
from services.social.domain.tokens import TokenIssuer, new_signing_key
from services.social.errors.mail import MailAway, MailRefused
from services.social.mail.mail import Mail, composed
from services.social.mail.opening import open_mail
from services.social.mail.places import ConsoleMail, FolderMail, NoMail
from services.social.mail.smtp import SmtpMail
from services.social.mail.texts import PATHS, TEXTS, MailKind, written
from services.social.workers.mailer import pause_after

SENDER = "museed@example.org"
MAIL = Mail("0199aaaa-0000-7000-8000-000000000001", "jay@example.org", "새 비밀번호 설정", "안녕하세요\n")


def test_link_is_made_again_by_the_key_that_made_it_and_no_other() -> None:
    old, new = b"o" * 32, b"n" * 32
    token_id = MailTokenId("0199aaaa-0000-7000-8000-000000000001")
    token = MailTokens([old]).make(token_id)
    assert len(token) == 43
    assert MailTokens([new, old]).make_again(token_id, hash_mail_token(token)) == token
    assert MailTokens([new, old]).make(token_id) != token
    assert MailTokens([new]).make_again(token_id, hash_mail_token(token)) is None
    assert MailTokens([old]).make(MailTokenId("another")) != token


def test_keys_of_links_follow_from_the_signing_keys_and_differ_by_purpose() -> None:
    first, second = new_signing_key(), new_signing_key()
    keys = TokenIssuer([second, first]).derived_keys("mail tokens")
    assert keys == TokenIssuer([second, first]).derived_keys("mail tokens")
    assert keys[1:] == TokenIssuer([first]).derived_keys("mail tokens")
    others = {*TokenIssuer([second, first]).derived_keys("another"), first.private_bytes, second.private_bytes}
    assert not set(keys) & others
    assert [len(key) for key in keys] == [32, 32]


def test_every_language_has_every_text() -> None:
    for locale, texts in TEXTS.items():
        assert set(texts) == set(MailKind)
        for kind in MailKind:
            found = written(kind, locale, "jay", "https://museed.example/x#token=y")
            assert "jay" in found.body
            assert ("https://museed.example/x#token=y" in found.body) == (kind in PATHS)
            assert "{" not in found.subject + found.body
            assert "\n" not in found.subject
    assert written(MailKind.RESET, "fr", "jay", "l") == written(MailKind.RESET, "en", "jay", "l")
    assert written(MailKind.RESET, "ko", "jay", "l") != written(MailKind.RESET, "en", "jay", "l")


def test_mail_travels_whole() -> None:
    read = message_from_bytes(composed(MAIL, SENDER).as_bytes(), policy=default)
    assert (read["To"], read["From"], read["Subject"]) == (
        "jay@example.org",
        "MUSEED <museed@example.org>",
        "새 비밀번호 설정",
    )
    assert read["Message-ID"] == "<0199aaaa-0000-7000-8000-000000000001@example.org>"
    assert read.get_content() == "안녕하세요\r\n"


@pytest.mark.parametrize(
    "address",
    [
        "a@example.org\r\nBcc: b@example.org",
        "a@example.org\nSubject: x",
        "a@example.org, b@example.org",
        "a <b@example.org>",
        "",
        "a@",
    ],
)
def test_nothing_is_slipped_into_a_header_by_an_address(address: str) -> None:
    with pytest.raises(MailRefused):
        composed(Mail("m", address, "s", "t"), SENDER)


def test_line_break_in_a_subject_is_a_fault_of_ours() -> None:
    with pytest.raises(MailRefused):
        composed(Mail("m", "a@example.org", "s\r\nBcc: b@example.org", "t"), SENDER)


def test_places_are_those_of_the_settings(tmp_path: Path) -> None:
    assert isinstance(open_mail("", SENDER), NoMail)
    assert isinstance(open_mail("console:", SENDER), ConsoleMail)
    assert isinstance(open_mail(f"file://{tmp_path}", SENDER), FolderMail)
    smtp = open_mail("smtps://us%40er:p%2Fw@mail.example.org:2525", SENDER)
    assert isinstance(smtp, SmtpMail)
    relay = smtp._relay
    assert (relay.host, relay.port, relay.username, relay.password) == ("mail.example.org", 2525, "us@er", "p/w")
    assert relay.is_tls_first is True
    assert "p/w" not in repr(relay)
    smtp.close()


@pytest.mark.parametrize("url", ["mailto:a@b", "file://host/x", "file:relative", "smtp://", "secret"])
def test_other_places_are_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(ValueError, match="SOCIAL_MAIL_URL must be") as refusal:
        open_mail(url, SENDER)
    assert "secret" not in str(refusal.value)


async def test_folder_holds_one_file_a_mail(tmp_path: Path) -> None:
    port = FolderMail(tmp_path / "mails", SENDER)
    await port.send(MAIL)
    await port.send(MAIL)
    [file] = (tmp_path / "mails").iterdir()
    assert message_from_bytes(file.read_bytes(), policy=SMTP)["To"] == "jay@example.org"
    assert (tmp_path / "mails").stat().st_mode & 0o777 == 0o700


async def test_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "mails").write_text("a file")
    with pytest.raises(MailAway):
        await FolderMail(tmp_path / "mails", SENDER).send(MAIL)


async def test_console_prints_whole_mails_and_nowhere_refuses() -> None:
    out = io.StringIO()
    await ConsoleMail(SENDER, out).send(MAIL)
    assert out.getvalue() == "mail to jay@example.org: 새 비밀번호 설정\n\n안녕하세요\n\n"
    with pytest.raises(MailRefused):
        await NoMail().send(MAIL)


def test_pauses_grow_to_an_hour() -> None:
    assert [pause_after(attempts).total_seconds() for attempts in range(1, 9)] == [30, 120, 480, 1920] + [3600] * 4
