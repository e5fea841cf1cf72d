// What the person who is here was told of: read, and marked as read one by one or all at once.

import * as documents from "../documents.js";
import { button, emptiness, make, moment, pages } from "../dom.js";
import { t } from "../texts.js";

/** Return what a notification says. */
export function noticeText({ kind, actor, playlist, badge }) {
  const names = { actor: actor?.nickname ?? t("somebody"), playlist: playlist?.title ?? t("aPlaylist"), badge };
  return t(`news.${kind}`, names);
}

/** Show the list, and go on showing it. */
export async function noticesView(app, _, signal) {
  const list = make("ul", { className: "rows", "aria-live": "polite", "aria-relevant": "additions" });
  const section = make("div", {}, list);
  const rows = new Map();
  const mark = async (input) => {
    const { notifications, unreadCount } = await app.session.change(documents.MARK_READ, input);
    // More than a hundred at once are all that stand here.
    for (const { notificationId, readAt } of notifications) rows.get(notificationId)?.read(readAt);
    if (input.upToId) for (const [id, row] of rows) if (id <= input.upToId) row.read(true);
    app.showUnread(unreadCount);
  };
  const show = (notice) => {
    const made = noticeRow(notice, () => mark({ notificationIds: [notice.notificationId] }));
    rows.set(notice.notificationId, made);
    return made.element;
  };
  const take = ({ detail }) => {
    if (rows.has(detail.notificationId)) return;
    section.replaceChildren(list, ...[...section.children].filter((each) => each.matches(".more")));
    list.prepend(show(detail));
  };
  // Heard before it is read: what comes meanwhile is shown once.
  const early = [];
  let isRead = false;
  app.told.addEventListener("notice", (event) => (isRead ? take(event) : early.push(event)), { signal });
  const read = async (after) => (await app.session.ask(documents.NOTICES, { first: 20, after })).notifications;
  await pages(list, read, show, () => emptiness(t("noNotices")));
  isRead = true;
  early.forEach(take);
  const all = button(t("markAll"), async () => {
    const newest = [...rows.keys()].sort().at(-1);
    if (newest) await mark({ upToId: newest });
  });
  return { title: t("notices"), content: [make("p", { className: "actions" }, all), section] };
}

function noticeRow(notice, markIt) {
  const text = noticeText(notice);
  const said = notice.playlist
    ? make("a", { href: `#/playlist/${notice.playlist.playlistId}`, textContent: text, dir: "auto" })
    : make("span", { textContent: text, dir: "auto" });
  const marker = button(t("markRead"), markIt, { "aria-label": t("markReadOf", { text }) });
  const element = make("li", { className: "notice" },
    make("span", { className: "name" }, said, notice.comment && make("q", { textContent: notice.comment.text, dir: "auto" })),
    moment(notice.at), marker);
  const read = (readAt) => {
    element.classList.toggle("is-unread", !readAt);
    if (readAt) marker.remove();
  };
  read(notice.readAt);
  return { element, read };
}
