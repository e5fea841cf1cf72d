// What the people do whom one follows: first what there is, then what comes, without a gap and nothing twice.

import * as documents from "../documents.js";
import { complain, emptiness, make, moment, pages } from "../dom.js";
import { t } from "../texts.js";

/** Show the feed, and go on showing it. */
export async function feedView(app, _, signal) {
  const list = make("ul", { className: "rows", "aria-live": "polite", "aria-relevant": "additions" });
  const section = make("div", {}, list);
  const known = new Set();
  const show = (activity) => {
    known.add(activity.activityId);
    return row(activity);
  };
  // Followed before it is read: what happens meanwhile comes both ways, and is shown once.
  const early = [];
  const take = (activity) => {
    if (!activity || known.has(activity.activityId)) return;
    section.replaceChildren(list, ...[...section.children].filter((each) => each.matches(".more")));
    list.prepend(show(activity));
  };
  let isRead = false;
  app.live.follow(documents.FEED_LIVE, { after: null }, {
    next: ({ feed }) => (isRead ? take(feed.activity) : early.push(feed.activity)),
    cursor: ({ feed }) => feed.cursor,
    failed: complain,
  }, signal);
  const read = async (after) => (await app.session.ask(documents.FEED, { first: 20, after })).feed;
  await pages(list, read, show, () => emptiness(t("noFeed")));
  isRead = true;
  early.forEach(take);
  return { title: t("feed"), content: [make("p", { textContent: t("feedHint") }), section] };
}

function row({ kind, at, actor, playlist, user, comment }) {
  const text = t(kind, {
    actor: actor?.nickname ?? t("somebody"),
    user: user?.nickname ?? t("somebody"),
    playlist: playlist?.title ?? t("aPlaylist"),
    comment: comment?.text,
  });
  const said = playlist
    ? make("a", { href: `#/playlist/${playlist.playlistId}`, textContent: text, dir: "auto" })
    : make("span", { textContent: text, dir: "auto" });
  return make("li", { className: "activity" }, said, moment(at));
}
