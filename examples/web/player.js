// One <audio> for the page: what is next, addresses that have ended, and what was heard.

import * as documents from "./documents.js";
import { complain, here } from "./dom.js";
import { t } from "./texts.js";

// From when on a play counts, as the gateway has it: half a minute, or half of what is shorter.
const HEARD_S = 30;
// Between two signs of time passing; more is a seek.
const LONGEST_STEP_S = 2;

/** Plays lists of tracks. A track has `trackId`, or `uploadId` for an upload, `title`, `artist` and `streamUrl`. */
export class Player extends EventTarget {
  track = null;
  #audio;
  #session;
  #queue = [];
  #place = -1;
  #playlistId = null;
  #play = null;
  #unsent = [];
  #isRenewed = false;

  /**
   * @param audio element that plays
   * @param session who listens
   */
  constructor(audio, session) {
    super();
    this.#audio = audio;
    this.#session = session;
    audio.addEventListener("ended", () => this.step(1));
    audio.addEventListener("timeupdate", () => this.#count());
    audio.addEventListener("error", () => this.#renew().catch(complain));
    navigator.mediaSession?.setActionHandler("nexttrack", () => this.step(1));
    navigator.mediaSession?.setActionHandler("previoustrack", () => this.step(-1));
  }

  /** Play a list from a place on. */
  start(queue, place, playlistId = null) {
    this.#queue = queue;
    this.#playlistId = playlistId;
    this.#go(place);
  }

  /** Play the next one, or the one before. */
  step(by) {
    if (this.#queue[this.#place + by]) this.#go(this.#place + by);
  }

  /** Whether there is something to go to. */
  has(by) {
    return this.#queue[this.#place + by] !== undefined;
  }

  /** Stop, and forget the list. */
  stop() {
    this.#queue = [];
    this.track = null;
    this.#audio.removeAttribute("src");
    this.#audio.load();
    this.dispatchEvent(new Event("change"));
  }

  #go(place) {
    this.#place = place;
    this.track = this.#queue[place];
    this.#isRenewed = false;
    this.#play = { at: new Date(), heard: 0, last: 0, id: crypto.randomUUID() };
    this.#load(this.track.streamUrl, 0);
    if (navigator.mediaSession) {
      const { title, artist } = this.track;
      navigator.mediaSession.metadata = new MediaMetadata({ title, artist: artist ?? "" });
    }
    this.dispatchEvent(new Event("change"));
  }

  #load(address, from) {
    this.#audio.src = here(address);
    if (from) this.#audio.currentTime = from;
    // Who clicks the next one meanwhile interrupts it, and what cannot be played is told by "error".
    this.#audio.play().catch(() => {});
  }

  /** Go on under another address: they are good for a quarter of an hour, or until the session ends. */
  async #renew() {
    if (!this.track) return;
    const { track } = this;
    if (this.#isRenewed) throw Object.assign(new Error(t("cannotPlay", track)), { code: "CANNOT_PLAY" });
    this.#isRenewed = true;
    const from = this.#audio.currentTime;
    const data = await (track.uploadId
      ? this.#session.ask(documents.UPLOAD_STREAM_URL, { id: track.uploadId })
      : this.#session.ask(documents.STREAM_URL, { id: track.trackId }));
    if (track === this.track) this.#load((data.upload ?? data.track).streamUrl, from);
  }

  #count() {
    const { currentTime, duration } = this.#audio;
    const play = this.#play;
    if (!play) return;
    const step = currentTime - play.last;
    play.last = currentTime;
    if (step > 0 && step < LONGEST_STEP_S) play.heard += step;
    if (play.heard < Math.min(HEARD_S, duration / 2) || !this.track.trackId || !this.#session.viewer) return;
    this.#isRenewed = false;
    this.#play = null;
    this.#unsent.push({
      playId: play.id,
      trackId: this.track.trackId,
      playlistId: this.#playlistId,
      playedAt: play.at.toISOString(),
      heardSeconds: Math.round(play.heard),
    });
    this.#tell();
  }

  /** Tell what was heard. A play has an id of its own, so telling it again until that is answered counts it once. */
  async #tell() {
    const plays = this.#unsent.slice(-100);
    try {
      await this.#session.change(documents.RECORD_PLAYS, { plays });
      this.#unsent = this.#unsent.filter((play) => !plays.includes(play));
    } catch (error) {
      if (!error.isTransient) this.#unsent = [];
    }
  }
}
