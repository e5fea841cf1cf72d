"""Passwords and addresses: changed, reset and verified by links that work once, and what ends with them."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from museed.social.v1 import accounts_pb2, people_events_pb2, sessions_pb2
from services.chassis import auth
from services.chassis.errors import (
    AlreadyExists,
    DomainError,
    FailedPrecondition,
    InvalidArgument,
    ResourceExhausted,
    Unauthenticated,
)
from services.social.domain.passwords import PasswordHasher
from tests.integration.social.conftest import TIMEOUT_S, Client, Mesh, Person, Sql, until
from tests.integration.social.mailbox import (
    Mailbox,
    ask_reset,
    credentials,
    log_in,
    reset,
    second_process,
    until_ended,
    view,
)

CONFIRM, RESET, CHANGED = "Confirm your e-mail", "Set a new password", "Your password was changed"
NEW = "another long password"


@pytest.fixture
def mailbox(mesh: Mesh, tmp_path: Path) -> Mailbox:
    return Mailbox.of(mesh, tmp_path / "mails")


@pytest.fixture
async def started(mesh: Mesh, mailbox: Mailbox) -> Client:
    """A social process that sends mails to the mailbox."""
    return await mesh.start()


async def change_password(client: Client, who: Person, current: str, new: str) -> sessions_pb2.ChangePasswordResponse:
    request = sessions_pb2.ChangePasswordRequest(current_password=current, new_password=new)
    return await credentials(client).ChangePassword(request, timeout=TIMEOUT_S, metadata=who.metadata)


async def change_email(client: Client, who: Person, password: str, email: str) -> None:
    request = sessions_pb2.ChangeEmailRequest(password=password, email=email)
    await credentials(client).ChangeEmail(request, timeout=TIMEOUT_S, metadata=who.metadata)


async def verify(client: Client, token: str) -> None:
    await credentials(client).VerifyEmail(sessions_pb2.VerifyEmailRequest(token=token), timeout=TIMEOUT_S)


async def request_verification(client: Client, who: Person) -> None:
    request = sessions_pb2.RequestVerificationRequest()
    await credentials(client).RequestVerification(request, timeout=TIMEOUT_S, metadata=who.metadata)


async def test_changed_password_ends_all_sessions_and_begins_one(started: Client, mailbox: Mailbox, sql: Sql) -> None:
    jay = await started.sign_up("jay")
    other = await log_in(started, "jay", jay.password)
    answer = await change_password(started, jay, jay.password, NEW)
    fresh = Person(jay.user_id, "jay", NEW, answer.tokens.access_token, answer.tokens.refresh_token)
    await until_ended(started, jay)
    await until_ended(started, other)
    assert (await view(started, fresh)).user.user_id == jay.user_id
    with pytest.raises(Unauthenticated):
        await log_in(started, "jay", jay.password)
    await log_in(started, "jay", NEW)
    await mailbox.mail("jay@example.org", CHANGED)
    assert await sql.fetchval("SELECT count(*) FROM sessions WHERE revoked_because = 'PASSWORD_CHANGED'") == 2


async def test_password_is_changed_only_by_who_knows_it_and_to_a_good_one(mesh: Mesh, sql: Sql) -> None:
    mesh.settings = mesh.settings.model_copy(update={"failed_logins_per_window": 2})
    social = await mesh.start()
    jay = await social.sign_up("jay")
    before = await sql.fetchval("SELECT password_hash FROM users")
    for new, reason in (("short", "OUT_OF_RANGE"), ("password1", "PASSWORD_COMMON"), ("jay@example.org",) * 2):
        with pytest.raises(InvalidArgument) as refused:
            await change_password(social, jay, jay.password, new)
        assert (refused.value.reason, refused.value.field) == (
            "PASSWORD_COMMON" if "@" in reason else reason,
            "new_password",
        )
    for _ in range(2):
        with pytest.raises(Unauthenticated) as refusal:
            await change_password(social, jay, "wrong", NEW)
        assert (refusal.value.reason, refusal.value.field) == ("BAD_CREDENTIALS", "current_password")
        assert str(refusal.value) == "current_password is wrong"
    with pytest.raises(ResourceExhausted) as too_many:
        await change_password(social, jay, jay.password, NEW)
    assert too_many.value.reason == "TOO_MANY_ATTEMPTS"
    assert await sql.fetchval("SELECT password_hash FROM users") == before
    assert await sql.fetchval("SELECT count(*) FROM sessions WHERE revoked_at IS NOT NULL") == 0


@pytest.mark.parametrize("how", ["log in", "change"])
async def test_old_password_opens_nothing_where_it_was_changed_meanwhile(
    social: Client, sql: Sql, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """The password is right when it is hashed, and no more when the session would begin."""
    jay = await social.sign_up("jay")
    verified = PasswordHasher.verify

    async def slow(self: PasswordHasher, encoded: str | None, password: str) -> bool:
        answer = await verified(self, encoded, password)
        monkeypatch.undo()
        await change_password(social, jay, jay.password, NEW)
        return answer

    monkeypatch.setattr(PasswordHasher, "verify", slow)
    tried: dict[str, Callable[[], Awaitable[object]]] = {
        "log in": lambda: log_in(social, "jay", jay.password),
        "change": lambda: change_password(social, jay, jay.password, "a third long password"),
    }
    with pytest.raises(Unauthenticated) as refusal:
        await tried[how]()
    field = "current_password" if how == "change" else None
    assert (refusal.value.reason, refusal.value.field) == ("BAD_CREDENTIALS", field)
    await log_in(social, "jay", NEW)
    assert await sql.fetchval("SELECT count(*) FROM sessions WHERE revoked_at IS NULL") == 2


async def test_reset_ends_every_session_at_every_process_and_works_once(mesh: Mesh, mailbox: Mailbox) -> None:
    first = await mesh.start()
    second = await second_process(mesh)
    jay, kim = await first.sign_up("jay"), await first.sign_up("kim")
    other = await log_in(second, "jay", jay.password)
    await ask_reset(first, "JAY@example.org")
    token = await mailbox.token("jay@example.org", RESET)
    await reset(first, token, NEW)
    for who in (jay, other):
        await until_ended(second, who)
    request = accounts_pb2.RefreshSessionRequest(refresh_token=other.refresh_token)
    with pytest.raises(Unauthenticated):
        await second.accounts.RefreshSession(request, timeout=TIMEOUT_S)
    with pytest.raises(Unauthenticated):
        await log_in(second, "jay", jay.password)
    fresh = await log_in(second, "jay", NEW)
    assert (await view(second, kim)).user.user_id == kim.user_id
    # The link came by mail, so it has proved the address.
    assert (await view(second, fresh)).HasField("email_verified_at") is True
    with pytest.raises(InvalidArgument) as refusal:
        await reset(second, token, "a third long password")
    assert (refusal.value.reason, refusal.value.field) == ("MAIL_TOKEN_REFUSED", "token")
    await log_in(first, "jay", NEW)


async def test_of_two_resets_with_one_token_at_once_one_wins(started: Client, mailbox: Mailbox) -> None:
    await started.sign_up("jay")
    await ask_reset(started, "jay@example.org")
    token = await mailbox.token("jay@example.org", RESET)
    passwords = ["first long password", "second long password"]
    results = await asyncio.gather(*(reset(started, token, one) for one in passwords), return_exceptions=True)
    refused = [result for result in results if isinstance(result, DomainError)]
    assert [one.reason for one in refused] == ["MAIL_TOKEN_REFUSED"]
    await log_in(started, "jay", passwords[results.index(None)])


async def test_reset_makes_other_links_void(started: Client, mailbox: Mailbox) -> None:
    await started.sign_up("jay")
    for number in (1, 2):
        await ask_reset(started, "jay@example.org")
        await mailbox.mail("jay@example.org", RESET, number)
    await reset(started, await mailbox.token("jay@example.org", RESET, 1), NEW)
    with pytest.raises(InvalidArgument):
        await reset(started, await mailbox.token("jay@example.org", RESET, 2), "a third long password")
    with pytest.raises(InvalidArgument):
        await verify(started, await mailbox.token("jay@example.org", CONFIRM))


async def test_tokens_that_expired_or_are_for_something_else_are_refused(
    started: Client, mailbox: Mailbox, sql: Sql
) -> None:
    jay = await started.sign_up("jay")
    await ask_reset(started, "jay@example.org")
    token = await mailbox.token("jay@example.org", RESET)
    confirm = await mailbox.token("jay@example.org", CONFIRM)
    tried: list[tuple[Callable[..., Awaitable[None]], tuple[str, ...]]] = [
        (reset, (confirm, NEW)),
        (verify, (token,)),
        (reset, ("", NEW)),
        (verify, ("nonsense",)),
        (reset, ("\x00" + "x" * 5_000, NEW)),
    ]
    for call, arguments in tried:
        with pytest.raises(InvalidArgument) as refusal:
            await call(started, *arguments)
        assert refusal.value.reason == "MAIL_TOKEN_REFUSED"
    await sql.execute("UPDATE mail_tokens SET expires_at = now()")
    for call, arguments in ((reset, (token, NEW)), (verify, (confirm,))):
        with pytest.raises(InvalidArgument) as refusal:
            await call(started, *arguments)
        assert refusal.value.reason == "MAIL_TOKEN_REFUSED"
    await log_in(started, "jay", jay.password)
    assert (await view(started, jay)).HasField("email_verified_at") is False


async def test_bad_password_leaves_the_link_to_be_used(started: Client, mailbox: Mailbox) -> None:
    await started.sign_up("jay")
    await ask_reset(started, "jay@example.org")
    token = await mailbox.token("jay@example.org", RESET)
    with pytest.raises(InvalidArgument) as refusal:
        await reset(started, token, "jay@example.org")
    assert refusal.value.reason == "PASSWORD_COMMON"
    await reset(started, token, NEW)


async def test_asking_for_a_reset_does_the_same_whoever_has_the_address(mesh: Mesh, sql: Sql) -> None:
    """Nobody is looked up before the answer: there is no mail server yet, and the rows are alike."""
    social = await mesh.start()
    await social.sign_up("jay")
    await until(lambda: sql.fetchval("SELECT count(*) = 0 FROM mails"))
    await mesh.stack.aclose()
    await sql.execute("CREATE TABLE kept AS TABLE mails WITH NO DATA")
    await sql.execute(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO kept SELECT NEW.*; RETURN NEW; END $$"
    )
    await sql.execute("CREATE TRIGGER keep AFTER INSERT ON mails FOR EACH ROW EXECUTE FUNCTION keep()")
    again = await second_process(mesh)
    answers = []
    for email in ("jay@example.org", "nobody@example.org"):
        request = sessions_pb2.RequestPasswordResetRequest(email=email)
        answers.append(await credentials(again).RequestPasswordReset(request, timeout=TIMEOUT_S))
    assert answers[0] == answers[1]
    rows = await sql.fetch("SELECT user_id, token_id, kind, to_address, attempts FROM kept ORDER BY to_address")
    assert [tuple(row) for row in rows] == [
        (None, None, "RESET", "jay@example.org", 0),
        (None, None, "RESET", "nobody@example.org", 0),
    ]


async def test_unknown_address_gets_no_mail_and_nobody_more_than_three_an_hour(
    started: Client, mailbox: Mailbox, sql: Sql
) -> None:
    await started.sign_up("jay")
    for _ in range(5):
        await ask_reset(started, "jay@example.org")
        await ask_reset(started, "nobody@example.org")
    await until(lambda: sql.fetchval("SELECT count(*) = 0 FROM mails"))
    # The first of the three was that of the sign-up.
    assert len(mailbox.mails("jay@example.org")) == 3
    assert len(mailbox.mails("nobody@example.org")) == 0
    jay = await log_in(started, "jay", "secret of jay")
    with pytest.raises(ResourceExhausted) as refusal:
        await request_verification(started, jay)
    assert (refusal.value.reason, refusal.value.limit) == ("MAIL_QUOTA_REACHED", "3")


async def test_link_goes_to_the_address_of_the_account_and_to_none_that_compares_alike(
    started: Client, mailbox: Mailbox
) -> None:
    """Case folding makes "ss" of "ß": whoever has the other address must not get the link."""
    await started.sign_up("strass")
    await ask_reset(started, "straß@example.org")
    await mailbox.mail("strass@example.org", RESET)
    assert [mail["To"] for mail in mailbox.mails()] == ["strass@example.org"] * 2


async def test_suspended_person_gets_no_link(started: Client, mailbox: Mailbox, sql: Sql) -> None:
    await started.sign_up("jay")
    await mailbox.mail("jay@example.org", CONFIRM)
    await sql.execute("UPDATE users SET suspended_at = now()")
    await ask_reset(started, "jay@example.org")
    await until(lambda: sql.fetchval("SELECT count(*) = 0 FROM mails"))
    assert len(mailbox.mails("jay@example.org")) == 1


async def test_address_is_verified_once(started: Client, mailbox: Mailbox) -> None:
    jay = await started.sign_up("jay")
    token = await mailbox.token("jay@example.org", CONFIRM)
    assert (await view(started, jay)).HasField("email_verified_at") is False
    await request_verification(started, jay)
    await verify(started, token)
    assert (await view(started, jay)).HasField("email_verified_at") is True
    for void in (token, await mailbox.token("jay@example.org", CONFIRM, 2)):
        with pytest.raises(InvalidArgument):
            await verify(started, void)
    with pytest.raises(FailedPrecondition) as refusal:
        await request_verification(started, jay)
    assert refusal.value.reason == "EMAIL_ALREADY_VERIFIED"


async def test_address_changes_when_the_link_to_the_new_one_is_opened(
    started: Client, mailbox: Mailbox, sql: Sql
) -> None:
    jay = await started.sign_up("jay")
    await ask_reset(started, "jay@example.org")
    old_link = await mailbox.token("jay@example.org", RESET)
    with pytest.raises(Unauthenticated):
        await change_email(started, jay, "wrong", "new@example.org")
    await change_email(started, jay, jay.password, "New@example.org")
    token = await mailbox.token("New@example.org", "Confirm your new")
    assert (await view(started, jay)).email == "jay@example.org"
    await verify(started, token)
    seen = await view(started, jay)
    assert (seen.email, seen.HasField("email_verified_at")) == ("New@example.org", True)
    await log_in(started, "new@EXAMPLE.org", jay.password)
    with pytest.raises(Unauthenticated):
        await log_in(started, "jay@example.org", jay.password)
    await mailbox.mail("jay@example.org", "Your e-mail address was changed")
    with pytest.raises(InvalidArgument):
        await reset(started, old_link, NEW)
    # As one that was made for the old address in the moment in which it was changed.
    await sql.execute("UPDATE mail_tokens SET used_at = NULL WHERE email = 'jay@example.org'")
    with pytest.raises(InvalidArgument):
        await reset(started, old_link, NEW)
    await log_in(started, "jay", jay.password)


async def test_address_of_somebody_else_is_answered_alike_and_its_owner_is_told(
    started: Client, mailbox: Mailbox, sql: Sql
) -> None:
    jay = await started.sign_up("jay")
    await started.sign_up("kim")
    await change_email(started, jay, jay.password, "KIM@example.org")
    mail = await mailbox.mail("kim@example.org", "Somebody wanted")
    assert "#token=" not in mail.get_content()
    assert await sql.fetchval("SELECT count(*) FROM mail_tokens WHERE purpose = 'CHANGE_EMAIL'") == 0


async def test_address_that_was_taken_meanwhile_stays_with_its_owner(started: Client, mailbox: Mailbox) -> None:
    jay = await started.sign_up("jay")
    await change_email(started, jay, jay.password, "kim@example.org")
    token = await mailbox.token("kim@example.org", "Confirm your new")
    await started.sign_up("kim")
    with pytest.raises(AlreadyExists) as refusal:
        await verify(started, token)
    assert refusal.value.reason == "EMAIL_TAKEN"
    assert (await view(started, jay)).email == "jay@example.org"


async def test_address_that_would_be_more_than_one_is_refused(social: Client, sql: Sql) -> None:
    jay = await social.sign_up("jay")
    await until(lambda: sql.fetchval("SELECT count(*) = 0 FROM mails"))
    for email in ("a@example.org\r\nBcc: b@example.org", "a@example.org, b@example.org", "<a@example.org>", ""):
        with pytest.raises(InvalidArgument) as refusal:
            await ask_reset(social, email)
        assert refusal.value.field == "email"
        with pytest.raises(InvalidArgument):
            await change_email(social, jay, jay.password, email)
    assert await sql.fetchval("SELECT count(*) FROM mails") == 0


async def test_profile_changes_field_by_field_and_is_told(started: Client, mesh: Mesh, mailbox: Mailbox) -> None:
    jay = await started.sign_up("jay")
    before = await view(started, jay)
    assert (before.locale, before.is_listed, before.user.nickname) == ("en", True, "jay")

    async def update(**fields: object) -> accounts_pb2.Viewer:
        request = sessions_pb2.UpdateProfileRequest(**fields)  # type: ignore[arg-type]  # any field
        answer = await credentials(started).UpdateProfile(request, timeout=TIMEOUT_S, metadata=jay.metadata)
        return answer.viewer

    assert (await update(nickname="하늘")).user.nickname == "하늘"
    changed = await update(locale="ko", is_listed=False)
    assert (changed.user.nickname, changed.locale, changed.is_listed) == ("하늘", "ko", False)
    assert await view(started, jay) == changed
    with pytest.raises(InvalidArgument):
        await update(nickname="", locale="en")
    with pytest.raises(InvalidArgument):
        await update(locale="fr")
    assert await view(started, jay) == changed
    await ask_reset(started, "jay@example.org")
    await mailbox.mail("jay@example.org", "새 비밀번호 설정")
    bus = await mesh.bus("social")

    async def told() -> bool:
        try:
            message = await bus.jetstream.get_last_msg("PEOPLE_EVENTS", "museed.social.v1.user_changed")
        except Exception:
            return False
        return people_events_pb2.UserChanged.FromString(message.data or b"").user_id == jay.user_id

    await until(told)


async def test_resets_of_one_network_are_bounded_whatever_the_address(mesh: Mesh, mailbox: Mailbox, sql: Sql) -> None:
    mesh.settings = mesh.settings.model_copy(update={"mails_per_client_and_hour": 2})
    social = await mesh.start()
    await social.sign_up("jay")

    async def ask(email: str, network: str) -> None:
        request = sessions_pb2.RequestPasswordResetRequest(email=email)
        metadata = ((auth.CLIENT_HEADER, network),)
        await credentials(social).RequestPasswordReset(request, timeout=TIMEOUT_S, metadata=metadata)

    for number in range(2):
        await ask(f"nobody{number}@example.org", "192.0.2.0/24")
    for email in ("nobody@example.org", "jay@example.org"):
        with pytest.raises(ResourceExhausted) as refusal:
            await ask(email, "192.0.2.0/24")
        assert (refusal.value.reason, refusal.value.limit) == ("MAIL_QUOTA_REACHED", "2")
    assert await sql.fetchval("SELECT count(*) FROM quota_windows WHERE scope = 'mail'") == 3
    await ask("jay@example.org", "198.51.100.0/24")
    await mailbox.mail("jay@example.org", RESET)


async def test_what_changes_nothing_is_not_told_and_a_reset_tells_what_it_verified(
    mesh: Mesh, mailbox: Mailbox, sql: Sql
) -> None:
    await sql.execute("CREATE TABLE told AS TABLE outbox WITH NO DATA")
    await sql.execute(
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " INSERT INTO told SELECT NEW.*; RETURN NEW; END $$"
    )
    await sql.execute("CREATE TRIGGER keep AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION keep()")
    social = await mesh.start()
    jay = await social.sign_up("jay")
    count = "SELECT count(*) FROM told WHERE subject = 'museed.social.v1.user_changed'"
    for nickname, told in (("jay", 0), ("Jay", 1), ("Jay", 1)):
        request = sessions_pb2.UpdateProfileRequest(nickname=nickname)
        await credentials(social).UpdateProfile(request, timeout=TIMEOUT_S, metadata=jay.metadata)
        assert await sql.fetchval(count) == told
    for told in (2, 2):  # the second verifies nothing
        await ask_reset(social, "jay@example.org")
        await reset(social, await mailbox.token("jay@example.org", RESET, told - 1), NEW)
        assert await sql.fetchval(count) == told
        await sql.execute("DELETE FROM quota_windows")
        for file in mailbox.folder.glob("*.eml"):
            file.unlink()
