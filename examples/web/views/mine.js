// The playlists of whoever is here.

import * as documents from "../documents.js";
import { emptiness, make, pages } from "../dom.js";
import { t } from "../texts.js";
import { playlistRow } from "./tracks.js";

/** Show them, newest first. */
export async function mineView(app) {
  const list = make("ul", { className: "rows" });
  const section = make("div", {}, list);
  const read = async (after) => (await app.session.ask(documents.MY_PLAYLISTS, { first: 20, after })).myPlaylists;
  await pages(list, read, playlistRow, () =>
    emptiness(t("noMine"), " ", make("a", { href: "#/", textContent: t("toFind") })));
  return { title: t("mine"), content: [section] };
}
