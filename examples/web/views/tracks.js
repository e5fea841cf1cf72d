// How tracks, uploads and playlists stand in lists.

import { button, clock, make } from "../dom.js";
import { t } from "../texts.js";

/** Return the row of a track: what it is, a button that plays it, and more buttons. */
export function trackRow(track, play, ...more) {
  const artist = track.uploadId ? "" : track.artist ?? t("unknownArtist");
  const label = artist ? t("playOf", { title: track.title, artist }) : t("playFile", track);
  return make("li", { className: "track" },
    button("▶", play, { className: "play", "aria-label": label }),
    make("span", { className: "name" },
      make("b", { textContent: track.title, dir: "auto" }),
      make("span", { textContent: artist, dir: "auto" })),
    make("span", { className: "length", textContent: clock(track.durationSeconds) }),
    ...more);
}

/** Return a track that the player understands, of an upload. */
export function asTrack(upload) {
  const { uploadId, fileName, streamUrl, durationSeconds } = upload;
  return { uploadId, title: fileName, artist: null, streamUrl, durationSeconds };
}

/** Return the row of a playlist. */
export function playlistRow(playlist) {
  const { playlistId, title, entryCount, durationSeconds, owner, likeCount } = playlist;
  const facts = [
    owner && t("by", { nickname: owner.nickname }),
    t("trackCount", { count: entryCount }),
    clock(durationSeconds),
    likeCount > 0 && t("likes", { count: likeCount }),
  ];
  return make("li", { className: "playlist" },
    make("a", { href: `#/playlist/${playlistId}`, textContent: title, dir: "auto" }),
    make("span", { textContent: facts.filter(Boolean).join(" · "), dir: "auto" }));
}
