"""What mails say, in each language."""

from dataclasses import dataclass
from enum import StrEnum


class MailKind(StrEnum):
    """What a mail is about."""

    VERIFY = "VERIFY"
    RESET = "RESET"
    CHANGE_EMAIL = "CHANGE_EMAIL"
    EMAIL_TAKEN = "EMAIL_TAKEN"
    EMAIL_CHANGED = "EMAIL_CHANGED"
    PASSWORD_CHANGED = "PASSWORD_CHANGED"


# Of a link that a mail of this kind carries.
PATHS = {
    MailKind.VERIFY: "verify-email",
    MailKind.CHANGE_EMAIL: "verify-email",
    MailKind.RESET: "reset-password",
}


@dataclass(frozen=True, slots=True)
class Text:
    """Subject and body; `{name}` is the username, `{link}` the link."""

    subject: str
    body: str


_ENGLISH = {
    MailKind.VERIFY: Text(
        "Confirm your e-mail address",
        "Hello {name},\n\nopen this link within a day to confirm your address:\n\n{link}\n\n"
        "If you have no account here, ignore this mail.\n",
    ),
    MailKind.RESET: Text(
        "Set a new password",
        "Hello {name},\n\nopen this link within an hour to set a new password:\n\n{link}\n\n"
        "It ends all your sessions and API tokens. If you did not ask for it, ignore this mail.\n",
    ),
    MailKind.CHANGE_EMAIL: Text(
        "Confirm your new e-mail address",
        "Hello {name},\n\nopen this link within a day to make this the address of your account:\n\n{link}\n\n"
        "If you did not ask for it, ignore this mail.\n",
    ),
    MailKind.EMAIL_TAKEN: Text(
        "Somebody wanted to use your e-mail address",
        "Hello {name},\n\nsomebody with another account asked to use this address, which is yours."
        " Nothing has changed.\n",
    ),
    MailKind.EMAIL_CHANGED: Text(
        "Your e-mail address was changed",
        "Hello {name},\n\nyour account has another e-mail address now. If that was not you,"
        " tell the people who run this service.\n",
    ),
    MailKind.PASSWORD_CHANGED: Text(
        "Your password was changed",
        "Hello {name},\n\nyour password was changed, and all your sessions and API tokens have ended."
        " If that was not you, set a new password at once.\n",
    ),
}

_KOREAN = {
    MailKind.VERIFY: Text(
        "이메일 주소를 확인해 주세요",
        "{name}님, 안녕하세요.\n\n하루 안에 아래 링크를 열어 주소를 확인해 주세요.\n\n{link}\n\n"
        "계정을 만든 적이 없다면 이 메일을 무시해 주세요.\n",
    ),
    MailKind.RESET: Text(
        "새 비밀번호 설정",
        "{name}님, 안녕하세요.\n\n한 시간 안에 아래 링크를 열어 새 비밀번호를 설정해 주세요.\n\n{link}\n\n"
        "모든 세션과 API 토큰이 종료됩니다. 요청한 적이 없다면 이 메일을 무시해 주세요.\n",
    ),
    MailKind.CHANGE_EMAIL: Text(
        "새 이메일 주소를 확인해 주세요",
        "{name}님, 안녕하세요.\n\n하루 안에 아래 링크를 열면 이 주소가 계정의 주소가 됩니다.\n\n{link}\n\n"
        "요청한 적이 없다면 이 메일을 무시해 주세요.\n",
    ),
    MailKind.EMAIL_TAKEN: Text(
        "누군가 회원님의 이메일 주소를 사용하려고 했습니다",
        "{name}님, 안녕하세요.\n\n다른 계정에서 회원님의 이 주소를 사용하려고 했습니다. 변경된 것은 없습니다.\n",
    ),
    MailKind.EMAIL_CHANGED: Text(
        "이메일 주소가 변경되었습니다",
        "{name}님, 안녕하세요.\n\n계정의 이메일 주소가 변경되었습니다."
        " 직접 변경하지 않았다면 서비스 운영자에게 알려 주세요.\n",
    ),
    MailKind.PASSWORD_CHANGED: Text(
        "비밀번호가 변경되었습니다",
        "{name}님, 안녕하세요.\n\n비밀번호가 변경되어 모든 세션과 API 토큰이 종료되었습니다."
        " 직접 변경하지 않았다면 바로 새 비밀번호를 설정해 주세요.\n",
    ),
}

TEXTS = {"en": _ENGLISH, "ko": _KOREAN}


def written(kind: MailKind, locale: str, name: str, link: str = "") -> Text:
    """Return what a mail says; a language that is not known is English.

    Args:
        kind: What it is about.
        locale: "en" or "ko".
        name: The username, which holds no line break.
        link: For kinds that have one.
    """
    text = TEXTS.get(locale, _ENGLISH)[kind]
    return Text(text.subject, text.body.format(name=name, link=link))
