// The dialog in which people log in, or make an account.

import * as documents from "../documents.js";
import { button, make, problem, say } from "../dom.js";
import { send, success } from "../graphql.js";
import { t } from "../texts.js";

/** Open the dialog. */
export function account(app, dialog, isNew = false) {
  const form = make("form", { noValidate: false },
    make("h2", { id: "account-title", textContent: t(isNew ? "signUp" : "logIn") }),
    ...(isNew ? newFields() : knownFields()),
  );
  const trouble = make("div", { role: "alert" });
  const submit = make("button", { type: "submit", textContent: t(isNew ? "signUp" : "logIn"), className: "main" });
  const other = button(t(isNew ? "hasAccount" : "noAccount"), () => account(app, dialog, !isNew), { className: "link" });
  const forgot = button(t("forgot"), () => askReset(form), { className: "link" });
  form.append(trouble, submit, other, ...(isNew ? [] : [forgot]),
    button(t("close"), () => dialog.close(), { className: "link" }));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    submit.disabled = true;
    trouble.replaceChildren();
    try {
      const given = Object.fromEntries(new FormData(form));
      await (isNew ? app.session.signUp(given) : app.session.logIn(given.login, given.password));
      dialog.close();
      say(t("welcome", { nickname: app.session.viewer.user.nickname }));
    } catch (error) {
      trouble.replaceChildren(problem(error));
      // To the field that is wrong, where the gateway names one of ours.
      (form.elements[error.field] ?? form.querySelector("input")).focus();
    }
    submit.disabled = false;
  });
  dialog.replaceChildren(form);
  if (!dialog.open) dialog.showModal();
  form.querySelector("input").focus();
}

function knownFields() {
  return [
    field("login", { autocomplete: "username" }),
    field("password", { type: "password", autocomplete: "current-password" }),
  ];
}

function newFields() {
  return [
    field("username", { autocomplete: "username", pattern: "[a-zA-Z0-9_.\\-]{3,30}" }, "usernameRule"),
    field("email", { type: "email", autocomplete: "email" }),
    field("password", { type: "password", autocomplete: "new-password", minLength: 8, maxLength: 128 }, "passwordRule"),
  ];
}

function field(name, properties, rule) {
  const id = `account-${name}`;
  const hint = rule ? make("small", { id: `${id}-rule`, textContent: t(rule) }) : null;
  return make("p", {},
    make("label", { for: id, textContent: t(name) }),
    make("input", { id, name, required: true, "aria-describedby": hint?.id, ...properties }),
    hint);
}

async function askReset(form) {
  const email = form.elements.login.value;
  if (!email.includes("@")) say(t("resetNeedsEmail"));
  else {
    // The answer is the same whether there is such an account or not.
    success(await send(documents.ASK_PASSWORD_RESET, { input: { email } }));
    say(t("resetSent"));
  }
}
