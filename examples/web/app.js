// Starts the page: who is here, which view the address names, and what is around the views.

import * as documents from "./documents.js";
import { button, complain, forgive, make, problem, say } from "./dom.js";
import { Live } from "./live.js";
import { Player } from "./player.js";
import { Session } from "./session.js";
import { choose, fill, language, readCodes, t } from "./texts.js";
import { account } from "./views/account.js";
import { feedView } from "./views/feed.js";
import { findView } from "./views/find.js";
import { mineView } from "./views/mine.js";
import { noticesView, noticeText } from "./views/notices.js";
import { playlistView } from "./views/playlist.js";

// By the first part of the address behind `#/`; each gets the second.
const VIEWS = {
  "": findView, search: findView, playlist: playlistView, mine: mineView, feed: feedView, notices: noticesView,
};

const find = (id) => document.getElementById(id);
const session = new Session();
const live = new Live(session);
const player = new Player(find("audio"), session);
// What views share; `seeds` are those of the next playlist, `uploads` those under way, `told` gets each "notice".
const app = {
  session, live, player, seeds: [], uploads: [], told: new EventTarget(), showUnread,
  logIn: () => account(app, find("account")),
};

let shown = new AbortController();
let heard = new AbortController();

async function show({ isMove = true } = {}) {
  shown.abort(); // ends what the view before follows
  shown = new AbortController();
  const { signal } = shown;
  const main = find("main");
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  for (const link of document.querySelectorAll("nav a")) {
    const isHere = link.hash === `#/${name === "search" ? "" : name}`;
    link.ariaCurrent = isHere ? "page" : null;
  }
  forgive();
  main.ariaBusy = "true";
  try {
    const view = VIEWS[name];
    if (!view) throw Object.assign(new Error(name), { code: "NOWHERE" });
    const { title, content } = await view(app, decodeURIComponent(rest.join("/")), signal);
    if (signal.aborted) return;
    main.replaceChildren(make("h1", { textContent: title, tabIndex: -1 }), ...content);
    document.title = t("pageOf", { title });
    // Who cannot see that another view is here is told.
    if (isMove) main.querySelector("h1").focus();
  } catch (error) {
    if (signal.aborted) return;
    const logIn = error.code === "LOGIN_REQUIRED" ? button(t("logIn"), app.logIn) : null;
    main.replaceChildren(...[problem(error), logIn].filter(Boolean));
  }
  main.ariaBusy = null;
}

function showPerson() {
  const { viewer } = session;
  document.body.classList.toggle("is-guest", !viewer);
  if (!viewer) find("who").replaceChildren(button(t("logIn"), app.logIn));
  else {
    const logOut = button(t("logOut"), async () => {
      await session.logOut();
      say(t("goodbye"));
    });
    const count = make("span", { id: "unread", role: "img", hidden: true });
    find("who").replaceChildren(count, make("span", { id: "nickname", textContent: viewer.user.nickname }), logOut);
  }
}

/** Tell what happens to the person who is here: others follow, like, comment; jobs end. */
function hearNews() {
  heard.abort();
  heard = new AbortController();
  if (!session.viewer) return;
  const next = ({ notifications: { notification, unreadCount } }) => {
    if (unreadCount !== null) showUnread(unreadCount);
    if (!notification) return;
    app.told.dispatchEvent(new CustomEvent("notice", { detail: notification }));
    say(noticeText(notification));
  };
  const cursor = ({ notifications }) => notifications.cursor;
  live.follow(documents.NEWS_LIVE, {}, { next, cursor }, heard.signal);
}

function showUnread(unread) {
  const count = find("unread");
  if (!count) return;
  count.hidden = unread === 0;
  count.textContent = unread;
  count.ariaLabel = t("unread", { count: unread });
}

function showPlayer() {
  const { track } = player;
  find("player").hidden = !track;
  find("now").textContent = track ? [track.title, track.artist].filter(Boolean).join(" · ") : "";
  find("previous").disabled = !player.has(-1);
  find("next").disabled = !player.has(1);
}

function speak() {
  fill(document);
  showPerson();
  document.documentElement.dataset.language = language();
}

session.addEventListener("change", () => {
  if (!session.viewer) {
    // What belongs to whoever was here.
    app.seeds.length = 0;
    for (const upload of app.uploads.splice(0)) upload.pause();
    player.stop();
  }
  showPerson();
  hearNews();
  show({ isMove: false });
});
player.addEventListener("change", showPlayer);
addEventListener("hashchange", () => show());
find("previous").addEventListener("click", () => player.step(-1));
find("next").addEventListener("click", () => player.step(1));
find("language").addEventListener("click", () => {
  choose(language() === "ko" ? "en" : "ko");
  speak();
  show({ isMove: false });
});
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address names the view
  find("main").focus();
});

speak();
await readCodes();
await session.refresh().catch(complain);
if (!session.viewer) show({ isMove: false }); // else "change" has shown it
