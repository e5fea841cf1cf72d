// Elements, texts and numbers. Everything that people wrote goes in as text, nothing as markup.

import { language, t } from "./texts.js";

/**
 * Make an element. Names with a dash, `role` and `for` are attributes, `on…` are listeners, the rest properties;
 * what is null or false is left out, of the children as well.
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name.includes("-") || name === "role" || name === "for") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Make a button that is busy while what it does is under way, and shows below it what went wrong. */
export function button(text, act, properties = {}) {
  const made = make("button", { type: "button", textContent: text, ...properties });
  made.addEventListener("click", async () => {
    if (made.ariaDisabled === "true") return;
    // Not `disabled`, which would throw the focus away.
    made.ariaDisabled = "true";
    try {
      await act(made);
    } catch (error) {
      complain(error);
    } finally {
      made.ariaDisabled = null;
    }
  });
  return made;
}

/** Say something to everybody: shown for a while, and read aloud by screen readers. */
export function say(text) {
  const said = document.querySelector("#said");
  said.textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { said.textContent = ""; }, 8000);
}

/** Say what went wrong, until something else does. */
export function complain(error) {
  document.querySelector("#trouble").replaceChildren(problem(error));
}

/** Take back what was said to have gone wrong. */
export function forgive() {
  document.querySelector("#trouble").replaceChildren();
}

/** Return what went wrong and what to do about it, as a paragraph. */
export function problem(error) {
  if (!error.code) console.error(error); // a mistake of ours
  const { what, advice } = t.problem(error);
  return make("p", { className: "problem" }, make("strong", { textContent: what }), " ", advice);
}

/** Return what is shown where a list has nothing in it yet. */
export function emptiness(text, ...more) {
  return make("p", { className: "empty", textContent: text }, ...more);
}

/**
 * Show a list page by page, with a button for the next one behind it.
 *
 * @param list where the items go
 * @param read asked with the cursor to go on behind; returns a connection
 * @param show makes the element of an item
 * @param isEmpty made and shown in place of a list that has no item
 */
export async function pages(list, read, show, isEmpty) {
  const more = button(t("more"), () => next(more.cursor, true), { className: "more" });
  async function next(after, isMore) {
    const page = await read(after);
    const items = page.nodes.map(show);
    list.append(...items);
    more.cursor = page.pageInfo.endCursor;
    more.remove();
    if (page.pageInfo.hasNextPage) list.after(more);
    if (isMore) items[0]?.querySelector("a, button")?.focus();
    if (!list.children.length) list.replaceWith(isEmpty());
  }
  await next(null, false);
}

/** Return 3:07, or 1:02:03. */
export function clock(seconds) {
  const whole = Math.round(seconds);
  const parts = [Math.floor(whole / 60) % 60, whole % 60];
  if (whole >= 3600) parts.unshift(Math.floor(whole / 3600));
  return parts.map((part, place) => (place ? String(part).padStart(2, "0") : part)).join(":");
}

/** Return a number as people write it here. */
export function number(value, options) {
  return new Intl.NumberFormat(language(), options).format(value);
}

/** Return a size as 12.3 MB. */
export function megabytes(bytes) {
  return `${number(bytes / 1e6, { minimumFractionDigits: 1, maximumFractionDigits: 1 })} MB`;
}

/** Return a moment as a <time>. */
export function moment(text) {
  const said = new Intl.DateTimeFormat(language(), { dateStyle: "medium", timeStyle: "short" });
  return make("time", { dateTime: text, textContent: said.format(new Date(text)) });
}

/**
 * Return an address of the gateway as this page reaches it: by the name under which the page itself was opened, which
 * may be another one than the gateway knows for itself.
 */
export function here(address) {
  const { pathname, search } = new URL(address, location.href);
  return pathname + search;
}
