// tus 1.0.0 (https://tus.io/protocols/resumable-upload): a file goes up in parts, and goes on where it was interrupted,
// also after a reload. XMLHttpRequest and not fetch, which cannot tell how much of a body has left.

import { ApiError, noConnection } from "./graphql.js";
import { here } from "./dom.js";

const PART_BYTES = 1024 * 1024;
const SHORTEST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
const TUS = { "Tus-Resumable": "1.0.0" };
// What another try may help against.
const TRANSIENT = new Set([408, 500, 502, 503, 504]);
const ELSEWHERE = "UPLOAD_OFFSET_MISMATCH"; // more of it arrived than was acknowledged

/**
 * An upload of one file. Tells "change" whenever `state` or `sent` did.
 *
 * It is SENDING, WAITING for a connection, PAUSED by a person, or it ended: DONE with an `uploadId`, FAILED with an
 * `error`, or CANCELLED.
 */
export class Upload extends EventTarget {
  state = "SENDING";
  sent = 0;
  uploadId = null;
  error = null;
  #session;
  #memory;
  #address;
  #request = null;
  #wake = () => {};

  /**
   * @param session whose file it is
   * @param file of an <input> or a drop
   */
  constructor(session, file) {
    super();
    this.file = file;
    this.#session = session;
    // The same file of the same person: where it was interrupted.
    this.#memory = ["museed-upload", session.viewer.user.userId, file.name, file.size, file.lastModified].join("/");
    this.#address = localStorage.getItem(this.#memory);
  }

  /** Send it; returns when it ended. */
  async run() {
    for (let failures = 0; this.#isOpen; ) {
      if (this.state === "PAUSED") await new Promise((wake) => { this.#wake = wake; });
      else {
        const before = this.sent;
        try {
          await this.#sendAll();
        } catch (error) {
          if (error === STOPPED) continue;
          if (!error.isTransient) {
            this.#end("FAILED", { error });
            break;
          }
          failures = this.sent > before ? 0 : failures + 1;
          await this.#wait(error, failures);
        }
      }
    }
  }

  /** Stop after what was acknowledged. */
  pause() {
    this.#become("PAUSED");
    this.#request?.abort();
  }

  /** Go on. */
  goOn() {
    this.#become("SENDING");
    this.#wake();
  }

  /** End it for good, and have the gateway forget what it has of it. */
  async cancel() {
    const address = this.#address;
    this.#end("CANCELLED");
    this.#request?.abort();
    this.#wake();
    if (address) await this.#ask("DELETE", address);
  }

  get #isOpen() {
    return ["SENDING", "WAITING", "PAUSED"].includes(this.state);
  }

  async #sendAll() {
    let offset = this.#address ? await this.#find() : null;
    if (offset === null) offset = await this.#begin();
    while (!this.uploadId) {
      this.#become("SENDING", { sent: offset });
      const part = this.file.slice(offset, offset + PART_BYTES);
      const headers = { "Upload-Offset": String(offset), "Content-Type": "application/offset+octet-stream" };
      offset = this.#read(await this.#ask("PATCH", this.#address, headers, part));
    }
    this.#end("DONE", { sent: this.file.size });
  }

  async #begin() {
    const name = btoa(String.fromCodePoint(...new TextEncoder().encode(this.file.name)));
    const headers = { "Upload-Length": String(this.file.size), "Upload-Metadata": `filename ${name}` };
    const answer = await this.#ask("POST", "uploads", headers);
    this.#address = here(answer.getResponseHeader("Location"));
    localStorage.setItem(this.#memory, this.#address);
    return 0;
  }

  /** Return where it goes on; null where the gateway knows nothing of it any more. */
  async #find() {
    const answer = await this.#ask("HEAD", this.#address, {}, null, [404]);
    return answer.status === 404 ? null : this.#read(answer);
  }

  #read(answer) {
    this.uploadId = answer.getResponseHeader("Museed-Upload-Id");
    return Number(answer.getResponseHeader("Upload-Offset"));
  }

  async #ask(method, address, headers = {}, body = null, expected = []) {
    for (let isAgain = false; ; isAgain = true) {
      const answer = await this.#exchange(method, address, headers, body);
      if (answer.status >= 200 && answer.status < 300) return answer;
      if (expected.includes(answer.status)) return answer;
      if (answer.status !== 401 || isAgain) throw refusal(answer);
      await this.#session.refresh();
    }
  }

  #exchange(method, address, headers, body) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open(method, address);
      const all = { ...TUS, ...headers, Authorization: `Bearer ${this.#session.token}` };
      for (const [name, value] of Object.entries(all)) request.setRequestHeader(name, value);
      const offset = this.sent;
      request.upload.onprogress = ({ loaded }) => this.#become(this.state, { sent: offset + loaded });
      request.onload = () => resolve(request);
      request.onerror = () => reject(noConnection());
      request.onabort = () => reject(STOPPED);
      this.#request = request;
      request.send(body);
    });
  }

  async #wait(error, failures) {
    this.#become("WAITING");
    const longest = Math.min(LONGEST_PAUSE_MS, SHORTEST_PAUSE_MS * 2 ** failures);
    await new Promise((wake) => {
      this.#wake = wake;
      addEventListener("online", wake, { once: true });
      setTimeout(wake, error.retryAfterMs ?? longest);
    });
    if (this.state === "WAITING") this.#become("SENDING");
  }

  #become(state, changes = {}) {
    if (!this.#isOpen) return;
    Object.assign(this, changes, { state });
    this.dispatchEvent(new Event("change"));
  }

  #end(state, changes = {}) {
    this.#become(state, changes);
    localStorage.removeItem(this.#memory);
  }
}

const STOPPED = new Error("stopped by a person");

function refusal(answer) {
  const isTransient = TRANSIENT.has(answer.status);
  try {
    const { error } = JSON.parse(answer.responseText);
    const isLater = isTransient || error.retryAfterMs !== undefined || error.reason === ELSEWHERE;
    return new ApiError({ ...error, code: error.reason, isTransient: isLater });
  } catch {
    return new ApiError({ code: `HTTP_${answer.status}`, message: answer.statusText, isTransient });
  }
}
