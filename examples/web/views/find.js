// Where everything begins: a search, new playlists, and beside them what the next playlist is made of.

import * as documents from "../documents.js";
import { button, emptiness, make, pages } from "../dom.js";
import { t } from "../texts.js";
import { Maker } from "./making.js";
import { playlistRow, trackRow } from "./tracks.js";
import { uploads } from "./uploads.js";

/** Show what is like a text; without one the new playlists. */
export async function findView(app, text, signal) {
  const maker = new Maker(app, signal);
  const found = await (text ? results(app, text, maker) : latest(app));
  const aside = app.session.viewer
    ? [maker.element, await uploads(app, maker, signal)]
    : [make("p", { textContent: t("guests") }), button(t("logIn"), app.logIn, { className: "main" })];
  if (app.session.viewer) await maker.showOpenJobs();
  return {
    title: t("findTitle"),
    content: [
      searchForm(text),
      make("div", { className: "columns" }, make("section", {}, ...found), make("aside", {}, ...aside)),
    ],
  };
}

function searchForm(text) {
  const input = make("input", { id: "query", type: "search", value: text, autocomplete: "off", enterKeyHint: "search" });
  const form = make("form", { role: "search", className: "search" },
    make("label", { for: "query", textContent: t("searchLabel") }),
    input,
    make("button", { type: "submit", textContent: t("search") }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const wanted = input.value.trim();
    location.hash = wanted ? `#/search/${encodeURIComponent(wanted)}` : "#/";
  });
  return form;
}

async function results(app, text, maker) {
  const list = make("ol", { className: "rows" });
  const tracks = [];
  const read = async (after) => {
    const page = (await app.session.ask(documents.SEARCH, { query: text, first: 20, after })).searchTracks;
    tracks.push(...page.nodes);
    return page;
  };
  const show = (track) => trackRow(
    track,
    () => app.player.start(tracks, tracks.indexOf(track)),
    app.session.viewer && button(t("useAsSeed"), () => maker.add({ trackId: track.trackId, title: track.title }),
      { "aria-label": t("useAsSeedOf", track) }),
  );
  const section = make("div", {}, list);
  await pages(list, read, show, () => emptiness(t("noResults", { text })));
  return [make("h2", { textContent: t("results", { text }), dir: "auto" }), section];
}

async function latest(app) {
  const list = make("ul", { className: "rows" });
  const section = make("div", {}, list);
  const read = async (after) => (await app.session.ask(documents.LATEST, { first: 20, after })).latestPlaylists;
  await pages(list, read, playlistRow, () => emptiness(t("noLatest")));
  return [make("h2", { textContent: t("latest") }), section];
}
