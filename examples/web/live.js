// graphql-transport-ws: all that is followed goes over one socket, which is opened again when it is lost.
// https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md

import { ApiError } from "./graphql.js";

const PROTOCOL = "graphql-transport-ws";
// Of the protocol: the token has ended, or its session.
const FORBIDDEN = 4403;
const SERVICE_RESTART = 1012;
// The gateway pings every 20 s; who is silent for longer is not there any more.
const LONGEST_SILENCE_MS = 45_000;
const SHORTEST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

/** What is followed live. */
export class Live {
  #session;
  #socket = null;
  #isReady = false;
  #followed = new Map();
  #lastId = 0;
  #failures = 0;
  #timer = 0;
  #silence = 0;

  /** @param session whose token opens the socket */
  constructor(session) {
    this.#session = session;
    session.addEventListener("change", () => this.#restart());
    addEventListener("online", () => this.#restart());
  }

  /**
   * Follow a subscription until it ends or the signal is aborted, over as many sockets as that takes.
   *
   * @param listener.next called with the data of each event
   * @param listener.failed called with an ApiError when it is refused; nothing follows
   * @param listener.cursor returns where to go on behind an event (for `$after`); such a subscription has no gap
   * @param signal ends it
   */
  follow(document, variables, { next, failed = () => {}, cursor = () => undefined }, signal) {
    if (signal.aborted) return;
    const id = String(++this.#lastId);
    this.#followed.set(id, { document, variables, next, failed, cursor });
    signal.addEventListener("abort", () => this.#leave(id));
    if (this.#isReady) this.#subscribe(id);
    else if (!this.#socket && !this.#timer) this.#open();
  }

  #leave(id, isOurs = true) {
    if (!this.#followed.delete(id)) return;
    if (this.#isReady && isOurs) this.#tell({ id, type: "complete" });
    if (!this.#followed.size) this.#close();
  }

  #open() {
    this.#timer = 0;
    const address = new URL("graphql", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address, PROTOCOL);
    this.#socket = socket;
    socket.onopen = () => {
      const { token } = this.#session;
      this.#tell({ type: "connection_init", payload: token ? { authorization: `Bearer ${token}` } : {} });
    };
    socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
    socket.onclose = ({ code }) => this.#lose(code);
    this.#listen();
  }

  #hear({ id, type, payload }) {
    this.#listen();
    const one = this.#followed.get(id);
    if (type === "connection_ack") {
      this.#isReady = true;
      this.#failures = 0;
      for (const followed of this.#followed.keys()) this.#subscribe(followed);
    } else if (type === "ping") this.#tell({ type: "pong" });
    else if (type === "next" && one) this.#pass(one, payload.data);
    else if (type === "error" && one) this.#fail(id, one, ApiError.of(payload[0]));
    else if (type === "complete") this.#leave(id, false);
  }

  #pass(one, data) {
    if (!data) return; // an event whose fields failed; the next one may not
    const after = one.cursor(data);
    if (after !== undefined) one.variables = { ...one.variables, after };
    one.next(data);
  }

  #fail(id, one, error) {
    if (error.isTransient) setTimeout(() => this.#isReady && this.#subscribe(id), error.retryAfterMs ?? 3000);
    else {
      this.#followed.delete(id);
      one.failed(error);
    }
  }

  async #lose(code) {
    this.#close();
    if (!this.#followed.size) return;
    if (code === FORBIDDEN) {
      try {
        await this.#session.refresh(); // who is a guest then goes on as one, as far as guests may
      } catch {
        // Asked again at the next try.
      }
      if (this.#socket || this.#timer) return;
    }
    const longest = Math.min(LONGEST_PAUSE_MS, SHORTEST_PAUSE_MS * 2 ** this.#failures);
    this.#failures += code === SERVICE_RESTART ? 0 : 1;
    // Not all at once: others lost their socket at the same moment.
    this.#timer = setTimeout(() => this.#open(), longest * (0.5 + Math.random() / 2));
  }

  #restart() {
    if (!this.#followed.size) return;
    this.#close();
    this.#open();
  }

  #close() {
    clearTimeout(this.#timer);
    clearTimeout(this.#silence);
    this.#timer = 0;
    this.#isReady = false;
    if (!this.#socket) return;
    this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close();
    this.#socket = null;
  }

  #listen() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#lose(0), LONGEST_SILENCE_MS);
  }

  #subscribe(id) {
    const one = this.#followed.get(id);
    if (one) this.#tell({ id, type: "subscribe", payload: { query: one.document, variables: one.variables } });
  }

  #tell(message) {
    this.#socket.send(JSON.stringify(message));
  }
}
