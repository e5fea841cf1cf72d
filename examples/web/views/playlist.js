// A playlist: what is in it and why, played, liked, shared; it changes while it is looked at.

import * as documents from "../documents.js";
import { button, clock, complain, emptiness, here, make, number, pages, say } from "../dom.js";
import { ApiError } from "../graphql.js";
import { t } from "../texts.js";
import { comments } from "./comments.js";
import { trackRow } from "./tracks.js";

const VISIBILITIES = ["PRIVATE", "UNLISTED", "PUBLIC"];

/** Show a playlist by its id. */
export async function playlistView(app, id, signal) {
  const { playlist } = await app.session.ask(documents.PLAYLIST, { id });
  if (!playlist) throw new ApiError({ code: "PLAYLIST_NOT_FOUND", message: t("gone") });
  const isMine = playlist.owner?.userId === app.session.viewer?.user.userId;
  const facts = make("p", { className: "facts" });
  const actions = make("p", { className: "actions" });
  const sharing = make("div", { className: "sharing" });
  const tracks = [];
  const list = make("ol", { className: "rows" });

  const show = () => {
    const { entryCount, durationSeconds, likeCount } = playlist;
    facts.textContent = [
      t("trackCount", { count: entryCount }), clock(durationSeconds), t("likes", { count: likeCount }),
    ].join(" · ");
    like.ariaPressed = String(Boolean(playlist.isLiked));
    if (isMine) showSharing(app, playlist, sharing, change);
  };
  const change = (found) => {
    // An event that was under way when a newer answer came is older.
    if (found.version >= playlist.version) Object.assign(playlist, found);
    show();
  };
  const like = button(t("like"), async () => {
    const operation = playlist.isLiked ? documents.UNLIKE : documents.LIKE;
    change((await app.session.change(operation, { playlistId: id })).playlist);
  });

  actions.append(button(t("playAll"), () => app.player.start(tracks, 0, id), { className: "main" }));
  if (app.session.viewer) actions.append(like);
  if (app.session.viewer && playlist.owner && !isMine) actions.append(followButton(app, playlist.owner));
  show();
  await pages(list, (after) => entries(app, id, after, tracks), (entry) => row(app, entry, tracks, id),
    () => emptiness(t("noEntries")));
  const said = await comments(app, playlist, isMine);

  app.live.follow(documents.PLAYLIST_CHANGES, { playlistId: id }, {
    next: ({ playlistChanges: { changes, playlist: now } }) => {
      if (now) change(now);
      else say(t("gone"));
      if (now && changes.includes("COMMENTS")) said.again().catch(complain);
    },
  }, signal);
  const by = playlist.owner ? t("by", { nickname: playlist.owner.nickname }) : "";
  return {
    title: playlist.title,
    content: [
      make("p", { className: "by", dir: "auto" },
        playlist.owner && make("img", { src: here(playlist.owner.avatarUrl), alt: "", width: 32, height: 32 }), by),
      playlist.description && make("p", { textContent: playlist.description, dir: "auto" }),
      facts, actions, sharing, make("div", {}, list), said.element,
    ].filter(Boolean),
  };
}

async function entries(app, id, after, tracks) {
  const data = await app.session.ask(documents.ENTRIES, { id, first: 50, after });
  const page = data.playlist.entries;
  const nodes = page.nodes.filter((entry) => entry.track); // others were deleted
  tracks.push(...nodes.map((entry) => entry.track));
  return { ...page, nodes };
}

function row(app, entry, tracks, playlistId) {
  const { track } = entry;
  return trackRow(track, () => app.player.start(tracks, tracks.indexOf(track), playlistId), why(entry));
}

/** Say why a track is here: how alike it sounds, as it was measured, and what it shares with a seed. */
function why({ isSeed, reason }) {
  if (isSeed) return make("span", { className: "why", textContent: t("seed") });
  if (!reason || reason.similarity === null) return null;
  const digits = { minimumFractionDigits: 3, maximumFractionDigits: 3 };
  const share = { style: "percent", maximumFractionDigits: 1 };
  const near = reason.nearestSeed?.track;
  const said = [
    t("reason", { similarity: number(reason.similarity, digits) }),
    reason.quantile !== null && t("closer", { share: number(reason.quantile, share) }),
    near && t("near", near),
    reason.sharedTags.slice(0, 3).join(", "),
  ];
  return make("span", { className: "why", textContent: said.filter(Boolean).join(" · ") });
}

function followButton(app, owner) {
  const made = button(t("follow", owner), async () => {
    const { isFollowing } = owner.relation;
    const operation = isFollowing ? documents.UNFOLLOW : documents.FOLLOW;
    owner.relation = (await app.session.change(operation, { userId: owner.userId })).relation;
    made.ariaPressed = String(owner.relation.isFollowing);
  });
  made.ariaPressed = String(Boolean(owner.relation?.isFollowing));
  return made;
}

/** Show who may see it, and the link where there is one. */
function showSharing(app, playlist, place, change) {
  if (place.dataset.of === `${playlist.visibility} ${playlist.shareUrl}`) return;
  place.dataset.of = `${playlist.visibility} ${playlist.shareUrl}`;
  const choice = make("select", { id: "visibility" },
    ...VISIBILITIES.map((name) => make("option", { value: name, textContent: t(name) })));
  choice.value = playlist.visibility;
  const set = async () => {
    const input = { playlistId: playlist.playlistId, version: playlist.version, visibility: choice.value };
    change((await app.session.change(documents.UPDATE_PLAYLIST, input)).playlist);
  };
  const save = button(t("save"), set);
  const label = make("label", { for: "visibility", textContent: t("share") });
  place.replaceChildren(make("p", {}, label, choice, save));
  if (playlist.visibility === "PRIVATE" || !playlist.shareUrl) return;
  const link = make("input", { id: "link", readOnly: true, value: playlist.shareUrl });
  const copy = button(t("copyLink"), async () => {
    await navigator.clipboard.writeText(playlist.shareUrl);
    say(t("linkCopied"));
  });
  place.append(make("p", {}, make("label", { for: "link", textContent: t("linkIs") }), link, copy));
}
