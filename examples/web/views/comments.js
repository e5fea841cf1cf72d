// What people say of a playlist, newest first: read, written, deleted; others' words come as they are written.

import * as documents from "../documents.js";
import { button, emptiness, make, moment, pages } from "../dom.js";
import { t } from "../texts.js";

const LONGEST = 2000;

/** Return the comments of a playlist as an element, and what reads them again. */
export async function comments(app, playlist, isMine) {
  const place = make("div", { id: "comments" });
  const me = app.session.viewer?.user.userId;
  const read = async (after) => {
    const data = await app.session.ask(documents.COMMENTS, { id: playlist.playlistId, first: 20, after });
    return data.playlist?.comments ?? { nodes: [], pageInfo: { hasNextPage: false } };
  };
  let turn = 0;
  const again = async () => {
    const mine = ++turn;
    const list = make("ol", { className: "rows" });
    const fresh = make("div", {}, list);
    await pages(list, read, (one) => row(app, one, isMine || one.authorId === me, again),
      () => emptiness(t("noComments")));
    if (mine === turn) place.replaceChildren(fresh); // else a later reading knows more
  };
  await again();
  const heading = make("h2", { textContent: t("comments") });
  return { element: make("section", {}, heading, me && form(app, playlist.playlistId, again), place), again };
}

function row(app, comment, mayDelete, again) {
  const { commentId, author, text, createdAt, isHidden } = comment;
  const nickname = author?.nickname ?? t("somebody");
  const remove = button(t("delete"), async () => {
    await app.session.change(documents.DELETE_COMMENT, { commentId });
    await again();
  }, { "aria-label": t("deleteCommentOf", { nickname }) });
  return make("li", { className: "comment" },
    make("span", { className: "name" },
      make("b", { textContent: nickname, dir: "auto" }),
      make("p", { className: "said", textContent: text, dir: "auto" }),
      isHidden && make("small", { textContent: t("hiddenComment") })),
    moment(createdAt),
    mayDelete && remove);
}

function form(app, playlistId, again) {
  const text = make("textarea", { id: "comment", maxLength: LONGEST, rows: 2, required: true, dir: "auto" });
  // What is sent again because its answer was lost is said once.
  let idempotencyKey = crypto.randomUUID();
  const send = button(t("saySo"), async () => {
    if (!text.value.trim()) return text.focus();
    await app.session.change(documents.ADD_COMMENT, { playlistId, text: text.value.trim(), idempotencyKey });
    idempotencyKey = crypto.randomUUID();
    text.value = "";
    await again();
  });
  text.addEventListener("input", () => { idempotencyKey = crypto.randomUUID(); });
  return make("div", { className: "saying" }, make("label", { for: "comment", textContent: t("yourComment") }), text, send);
}
