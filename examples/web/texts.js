// What the page says, in English and Korean: the browser's choice, or that of the person who sits there.

import english from "./languages/en.js";
import korean from "./languages/ko.js";

const LANGUAGES = { en: english, ko: korean };
const MEMORY = "museed-language";

let chosen = localStorage.getItem(MEMORY);
// By code: the gateway's own sentences about each error, with what to do; see `readCodes`.
let codes = {};

/** Return "en" or "ko". */
export function language() {
  if (chosen in LANGUAGES) return chosen;
  return navigator.languages.map((each) => each.slice(0, 2)).find((each) => each in LANGUAGES) ?? "en";
}

/** Change it, for the next visits as well. */
export function choose(name) {
  chosen = name;
  localStorage.setItem(MEMORY, name);
}

/** Return a text, also `group.name`; values go in where it has their names in braces. */
export function t(key, values = {}) {
  const texts = LANGUAGES[language()];
  const one = values.count === 1 ? texts[`${key}One`] : undefined;
  const text = one ?? key.split(".").reduce((found, part) => found[part], texts);
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

/** Return what went wrong and what to do about it. */
t.problem = (error) => {
  const own = LANGUAGES[language()].problems[error.code];
  if (own) return { what: own[0], advice: own[1] };
  const known = codes[error.code];
  // `do` is for whoever writes a client: sentences for people say it themselves.
  if (known) return { what: known[language()], advice: "" };
  if (!error.code) return { what: t("broken"), advice: t("reload") };
  // The gateway's own sentence, which states value and limit.
  return { what: error.message, advice: error.isTransient ? t("tryAgain") : "" };
};

/** Fill what stands in the document: `data-text` names a text, `data-label` one for screen readers. */
export function fill(root) {
  document.documentElement.lang = language();
  for (const element of root.querySelectorAll("[data-text]")) element.textContent = t(element.dataset.text);
  for (const element of root.querySelectorAll("[data-label]")) element.ariaLabel = t(element.dataset.label);
}

/** Read the gateway's sentences about errors; without them its English ones are shown. */
export async function readCodes() {
  try {
    const answer = await fetch("codes.json");
    if (answer.ok) codes = await answer.json();
  } catch {
    // There is no connection: what needs one says so.
  }
}
