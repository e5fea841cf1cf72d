"""Mails that transactions promised leave once or are tried again, up to a bound; SMTP against a real server."""

import asyncio
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from pydantic import SecretStr

from services.social.domain.accounts import NewAccount
from services.social.domain.ids import UserId, new_id
from services.social.domain.mail_tokens import MailTokens, Purpose, hash_mail_token
from services.social.errors.mail import MailAway, MailRefused
from services.social.mail.mail import Mail
from services.social.mail.smtp import Relay, SmtpMail
from services.social.mail.texts import MailKind
from services.social.store import accounts, mail
from services.social.store.database import Database
from services.social.workers.background import Nudge
from services.social.workers.mailer import MOST_ATTEMPTS, Mailer
from tests.conftest import free_port
from tests.integration.social.conftest import Mesh, Sql, until

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TOKENS = MailTokens([b"k" * 32])


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@dataclass
class FakePort:
    """Keeps mails, or fails as the test says."""

    failure: Exception | None = None
    sent: list[Mail] = field(default_factory=list)
    tries: int = 0

    async def send(self, mail: Mail) -> None:
        self.tries += 1
        if self.failure is not None:
            raise self.failure
        self.sent.append(mail)

    def close(self) -> None:
        pass


def mailer(database: Database, port: FakePort, clock: Clock, tokens: MailTokens = TOKENS) -> Mailer:
    return Mailer(database, port, tokens, "https://museed.example", Nudge(), clock)


async def person(database: Database, name: str = "jay", locale: str = "en") -> UserId:
    user_id = UserId(new_id())
    async with database.transaction() as connection:
        account = NewAccount(name, name, f"{name}@example.org")
        await accounts.insert_user(connection, user_id, account, "hash", NOW)
        await connection.execute("UPDATE users SET locale = $2 WHERE user_id = $1", user_id, locale)
    return user_id


async def promise(database: Database, user_id: UserId, count: int = 1) -> None:
    async with database.transaction() as connection:
        for _ in range(count):
            await mail.promise(connection, MailKind.PASSWORD_CHANGED, "jay@example.org", NOW, user_id)


async def promise_link(database: Database, user_id: UserId, purpose: Purpose) -> None:
    async with database.transaction() as connection:
        await mail.promise_link(connection, TOKENS, purpose, user_id, "jay@example.org", NOW)


async def left(sql: Sql) -> int:
    return int(await sql.fetchval("SELECT count(*) FROM mails"))


async def test_promised_mails_are_sent_once_by_many_senders(database: Database, sql: Sql) -> None:
    await promise(database, await person(database), count=35)
    ports = [FakePort() for _ in range(3)]
    clock = Clock()
    counts = await asyncio.gather(*(mailer(database, port, clock).send_due() for port in ports))
    sent = [one.mail_id for port in ports for one in port.sent]
    assert (len(sent), len(set(sent)), sum(counts), await left(sql)) == (35, 35, 35, 0)


async def test_mail_of_a_transaction_that_fails_is_never_sent(database: Database) -> None:
    user_id = await person(database)
    with contextlib.suppress(ZeroDivisionError):
        async with database.transaction() as connection:
            await mail.promise(connection, MailKind.PASSWORD_CHANGED, "jay@example.org", NOW, user_id)
            raise ZeroDivisionError
    port = FakePort()
    assert await mailer(database, port, Clock()).send_due() == 0


async def test_link_of_a_mail_is_the_one_whose_hash_is_kept(database: Database) -> None:
    await promise_link(database, await person(database, locale="ko"), Purpose.VERIFY)
    port = FakePort()
    await mailer(database, port, Clock()).send_due()
    [sent] = port.sent
    assert sent.subject == "이메일 주소를 확인해 주세요"
    start = "https://museed.example/verify-email#token="
    token = sent.text[sent.text.index(start) + len(start) :].split()[0]
    async with database.transaction() as connection:
        used = await mail.use_token(connection, hash_mail_token(token), [Purpose.VERIFY], NOW)
    assert used == (Purpose.VERIFY, "jay@example.org")


async def test_mail_waits_longer_after_each_failure_and_is_given_up_at_last(database: Database, sql: Sql) -> None:
    await promise(database, await person(database))
    clock, port = Clock(), FakePort(MailAway("the relay answers 451"))
    sender = mailer(database, port, clock)
    pauses = []
    for _ in range(MOST_ATTEMPTS - 1):
        assert await sender.send_due() == 1
        assert await sender.send_due() == 0
        due = await sql.fetchval("SELECT run_after FROM mails")
        pauses.append((due - clock.now).total_seconds())
        clock.now = due
    assert pauses == [30, 120, 480, 1920, 3600, 3600, 3600]
    assert await sql.fetchval("SELECT failure FROM mails") == "the relay answers 451"
    assert await sender.send_due() == 1
    assert (await left(sql), port.tries) == (0, MOST_ATTEMPTS)


async def test_refused_mail_is_given_up_at_once_and_others_go_on(database: Database, sql: Sql) -> None:
    user_id = await person(database)
    await promise(database, user_id)
    async with database.transaction() as connection:
        await mail.promise(connection, MailKind.PASSWORD_CHANGED, "no address", NOW, user_id)

    class Picky(FakePort):
        async def send(self, mail: Mail) -> None:
            self.failure = MailRefused("no") if " " in mail.to_address else None
            await super().send(mail)

    port = Picky()
    await mailer(database, port, Clock()).send_due()
    assert ([one.to_address for one in port.sent], await left(sql)) == (["jay@example.org"], 0)


async def test_mail_of_a_sender_that_died_is_sent_when_its_lease_is_over(database: Database, sql: Sql) -> None:
    await promise(database, await person(database))
    clock, port = Clock(), FakePort()
    async with database.transaction() as connection:
        assert len(await mail.claim(connection, clock.now, clock.now + timedelta(minutes=5), 10)) == 1
    sender = mailer(database, port, clock)
    assert await sender.send_due() == 0
    clock.now += timedelta(minutes=5)
    assert await sender.send_due() == 1
    assert (len(port.sent), await left(sql)) == (1, 0)


async def test_mail_with_which_every_sender_dies_is_given_up_and_others_go_on(database: Database, sql: Sql) -> None:
    user_id = await person(database)
    await promise(database, user_id)
    async with database.transaction() as connection:
        await mail.promise(connection, MailKind.PASSWORD_CHANGED, "poison@example.org", NOW, user_id)

    class Mortal(FakePort):
        async def send(self, mail: Mail) -> None:
            self.failure = RuntimeError("dead") if "poison" in mail.to_address else None
            await super().send(mail)

    clock, port = Clock(), Mortal()
    sender = mailer(database, port, clock)
    for _ in range(MOST_ATTEMPTS):
        with pytest.raises(RuntimeError, match="dead"):
            await sender.send_due()
        assert await left(sql) == 1
        clock.now += timedelta(minutes=5)
    assert [one.to_address for one in port.sent] == ["jay@example.org"]
    assert await sender.send_due() == 1
    assert (await left(sql), port.tries) == (0, 1 + MOST_ATTEMPTS)


@pytest.mark.parametrize("what", ["used_at = created_at", "expires_at = created_at", "token_hash = sha256('x')"])
async def test_link_that_holds_no_more_is_not_sent(database: Database, sql: Sql, what: str) -> None:
    await promise_link(database, await person(database), Purpose.VERIFY)
    await sql.execute(f"UPDATE mail_tokens SET {what}")
    port = FakePort()
    await mailer(database, port, Clock()).send_due()
    assert (port.tries, await left(sql)) == (0, 0)


async def test_reset_that_could_not_be_sent_keeps_its_link(database: Database, sql: Sql) -> None:
    await person(database)
    async with database.transaction() as connection:
        await mail.promise(connection, MailKind.RESET, "JAY@example.org", NOW, None)
    clock, port = Clock(), FakePort(MailAway("away"))
    sender = mailer(database, port, clock)
    await sender.send_due()
    port.failure = None
    clock.now += timedelta(minutes=1)
    await sender.send_due()
    assert [one.to_address for one in port.sent] == ["jay@example.org"]
    assert await sql.fetchval("SELECT count(*) FROM mail_tokens") == 1
    assert "reset-password#token=" in port.sent[0].text


class Handler:
    """What a mail server does with mails."""

    def __init__(self) -> None:
        self.answer = "250 OK"
        self.taken: list[tuple[str, list[str], EmailMessage]] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.answer.startswith("250"):
            content = envelope.content
            assert isinstance(content, bytes)
            message = message_from_bytes(content, policy=default)
            self.taken.append((envelope.mail_from or "", envelope.rcpt_tos, message))
        return self.answer


@pytest.fixture
def handler() -> Handler:
    return Handler()


@pytest.fixture
def smtp_port(handler: Handler) -> Iterator[int]:
    """A mail server on this machine; the port where it listens."""
    controller = Controller(handler, hostname="127.0.0.1", port=free_port(), enable_SMTPUTF8=False)
    controller.start()
    yield controller.port
    controller.stop()


async def test_mail_arrives_by_smtp(mesh: Mesh, handler: Handler, smtp_port: int) -> None:
    mesh.settings = mesh.settings.model_copy(
        update={"mail_url": SecretStr(f"smtp://127.0.0.1:{smtp_port}"), "mail_from": "museed@example.net"}
    )
    social = await mesh.start()
    await social.sign_up("jay")
    await until(lambda: handler.taken)
    [(sender, recipients, message)] = handler.taken
    assert (sender, recipients) == ("museed@example.net", ["jay@example.org"])
    assert (message["To"], message["Subject"]) == ("jay@example.org", "Confirm your e-mail address")
    assert "http://127.0.0.1:8080/verify-email#token=" in message.get_content()


@pytest.mark.parametrize(
    ("answer", "error", "detail"),
    [
        ("451 try later", MailAway, "the relay answers 451"),
        ("550 no such mailbox", MailRefused, "the relay answers 550"),
    ],
)
async def test_answers_of_the_relay_are_for_now_or_for_ever(
    handler: Handler, smtp_port: int, answer: str, error: type[Exception], detail: str
) -> None:
    handler.answer = answer
    port = SmtpMail(Relay("127.0.0.1", smtp_port), "museed@example.net")
    with pytest.raises(error) as refusal:
        await port.send(Mail(new_id(), "jay@example.org", "s", "t"))
    assert refusal.value.message == detail  # type: ignore[attr-defined]  # both are domain errors
    port.close()


async def test_what_the_relay_cannot_is_refused_and_a_relay_that_is_away_is_tried_again(smtp_port: int) -> None:
    port = SmtpMail(Relay("127.0.0.1", smtp_port), "museed@example.net")
    with pytest.raises(MailRefused):
        await port.send(Mail(new_id(), "ünal@ä.de", "s", "t"))
    with pytest.raises(MailRefused):
        await port.send(Mail(new_id(), "a@example.org\r\nRCPT TO:<b@example.org>", "s", "t"))
    port.close()
    # It takes no passwords: what is set wrong is no mail's fault.
    with_password = SmtpMail(Relay("127.0.0.1", smtp_port, "user", "pw"), "museed@example.net")
    with pytest.raises(MailAway):
        await with_password.send(Mail(new_id(), "jay@example.org", "s", "t"))
    with_password.close()
    away = SmtpMail(Relay("127.0.0.1", free_port()), "museed@example.net")
    with pytest.raises(MailAway):
        await away.send(Mail(new_id(), "jay@example.org", "s", "t"))
    away.close()


async def test_relay_takes_name_and_password(handler: Handler) -> None:
    shown: list[tuple[bytes, bytes]] = []

    def authenticate(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object) -> AuthResult:
        shown.append((getattr(data, "login", b""), getattr(data, "password", b"")))
        return AuthResult(success=shown[-1] == (b"user", b"p/w"), handled=False)

    controller = Controller(
        handler, hostname="127.0.0.1", port=free_port(), authenticator=authenticate, auth_require_tls=False
    )
    controller.start()
    try:
        for password, count in (("wrong", 0), ("p/w", 1)):
            port = SmtpMail(Relay("127.0.0.1", controller.port, "user", password), "museed@example.net")
            if not count:
                with pytest.raises(MailAway) as refusal:
                    await port.send(Mail(new_id(), "jay@example.org", "s", "t"))
                assert refusal.value.message == "SMTPAuthenticationError 535"
            else:
                await port.send(Mail(new_id(), "jay@example.org", "s", "t"))
            port.close()
            assert len(handler.taken) == count
    finally:
        controller.stop()


async def test_nothing_is_told_in_plain_to_a_relay_on_another_machine(
    handler: Handler, smtp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.social.mail.smtp._LOOPBACK", ())
    port = SmtpMail(Relay("127.0.0.1", smtp_port), "museed@example.net")
    with pytest.raises(MailAway):
        await port.send(Mail(new_id(), "jay@example.org", "s", "t"))
    port.close()
    assert handler.taken == []
