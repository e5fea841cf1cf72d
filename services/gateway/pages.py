"""GET /verify-email and /reset-password: what the links of mails open where no web client takes them.

The link's token stands behind `#`, so that it reaches no server but as the input of the mutation that it is for.
"""

import hashlib
import json
from base64 import b64encode
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from services.gateway.codes import CODES

_VERIFY = """mutation($input: VerifyEmailInput!) { result: verifyEmail(input: $input) {
  __typename ... on UserError { code message } } }"""
_RESET = """mutation($input: ResetPasswordInput!) { result: resetPassword(input: $input) {
  __typename ... on UserError { code message } } }"""
# What they can be refused for, in Korean; in English the message is told, with its numbers.
_KOREAN = {
    code: CODES[code].ko
    for code in "MAIL_TOKEN_REFUSED EMAIL_TAKEN PASSWORD_COMMON OUT_OF_RANGE REQUIRED OVERLOADED COST_LIMIT_REACHED"
    " UNAVAILABLE DATABASE_UNAVAILABLE DEADLINE_EXCEEDED INTERNAL".split()
}
_CODES = escape(json.dumps(_KOREAN, ensure_ascii=False))
# What the pages send: trusted wherever the pages are served.
DOCUMENTS = (_VERIFY, _RESET)
_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:28em;margin:4em auto;padding:0 1em}"
    "input,button{font:inherit;padding:.4em .6em;margin:.3em 0;box-sizing:border-box}input{width:100%}"
)
# The token leaves the address at once, so that neither history nor a screenshot has it; nothing is done unasked, since
# programs that look at mails open links, too.
_SCRIPT = """
const token = new URLSearchParams(location.hash.slice(1)).get("token") || "";
history.replaceState(null, "", location.pathname);
const korean = (navigator.language || "").startsWith("ko");
const form = document.querySelector("form"), said = document.querySelector("output");
if (korean) {
  document.documentElement.lang = "ko";
  for (const part of document.querySelectorAll("[data-ko]")) part.textContent = part.dataset.ko;
}
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector("button");
  button.disabled = true;
  said.textContent = "";
  const input = {token};
  for (const field of form.querySelectorAll("input")) input[field.name] = field.value;
  const query = form.dataset.mutation;
  try {
    const response = await fetch("graphql", {method: "POST", headers: {"Content-Type": "application/json"},
      credentials: "omit", body: JSON.stringify({query, variables: {input}})});
    const body = await response.json();
    const result = body.data ? body.data.result : null;
    const isDone = result !== null && result.__typename.endsWith("Success");
    const refusal = result || {code: body.errors[0].extensions.reason, message: body.errors[0].message};
    said.textContent = isDone ? (korean ? form.dataset.doneKo : form.dataset.done)
      : korean && JSON.parse(form.dataset.codesKo)[refusal.code] || refusal.message;
    if (isDone) form.hidden = true;
  } catch (error) {
    said.textContent = korean ? "연결할 수 없습니다. 다시 시도해 주세요." : "There is no connection. Try again.";
  }
  button.disabled = false;
});
"""


def _hash(text: str) -> str:
    return "'sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'"


_POLICY = (
    f"default-src 'none'; script-src {_hash(_SCRIPT)}; style-src {_hash(_STYLE)}; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def _page(title: str, korean: str, form: str) -> str:
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>MUSEED</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f'<body><h1 data-ko="{korean}">{title}</h1>\n{form}\n<p><output></output></p>\n'
        f"<script>{_SCRIPT}</script></body></html>\n"
    )


_PAGES = {
    "/verify-email": _page(
        "Confirm your e-mail address",
        "이메일 주소 확인",
        f"""<form data-mutation="{_VERIFY}" data-codes-ko="{_CODES}"
data-done="Thank you: your address is confirmed." data-done-ko="감사합니다. 주소가 확인되었습니다.">
<button data-ko="확인">Confirm</button></form>""",
    ),
    "/reset-password": _page(
        "Set a new password",
        "새 비밀번호 설정",
        f"""<form data-mutation="{_RESET}" data-codes-ko="{_CODES}"
data-done="Your password is set: log in with it."
data-done-ko="비밀번호가 설정되었습니다. 새 비밀번호로 로그인해 주세요.">
<label><span data-ko="새 비밀번호 (8자 이상)">New password, 8 characters or more</span>
<input name="newPassword" type="password" autocomplete="new-password" minlength="8" maxlength="128" required></label>
<button data-ko="설정">Set</button></form>""",
    ),
}


def pages() -> list[Route]:
    """Return the routes of the pages."""
    return [Route(path, _show, methods=["GET", "HEAD"]) for path in _PAGES]


async def _show(request: Request) -> Response:
    return HTMLResponse(_PAGES[request.url.path], headers={"Content-Security-Policy": _POLICY})
