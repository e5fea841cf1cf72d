// Who is here. The access token is in this tab's memory alone; the refresh token is in a cookie that no script sees.

import * as documents from "./documents.js";
import { ApiError, send, success } from "./graphql.js";

const NAME = "museed-session";
// What another access token helps against.
const STALE = new Set(["TOKEN_EXPIRED", "TOKEN_INVALID", "SESSION_REVOKED"]);

/** The session of this browser, shared by its tabs. Tells "change" when somebody else is here, or nobody. */
export class Session extends EventTarget {
  viewer = null;
  #token = null;
  #trading = null;
  #tabs = new BroadcastChannel(NAME);

  constructor() {
    super();
    this.#tabs.onmessage = ({ data }) => {
      if (data === "ended") this.#become(null);
      else this.refresh().catch(() => {}); // asked again when the token is needed
    };
  }

  /** For the header of requests, and for sockets; null for guests. */
  get token() {
    return this.#token;
  }

  /** Run an operation, with another token where this one has ended. */
  async ask(document, variables) {
    try {
      return await send(document, variables, { token: this.#token });
    } catch (error) {
      if (!STALE.has(error.code)) throw error;
    }
    await this.refresh();
    return send(document, variables, { token: this.#token });
  }

  /** Run a mutation and return its success. */
  async change(document, input) {
    return success(await this.ask(document, input === undefined ? {} : { input }));
  }

  /** Make an account, and be logged in. */
  async signUp(account) {
    await this.#begin(documents.SIGN_UP, account);
  }

  /** Begin a session. */
  async logIn(login, password) {
    await this.#begin(documents.LOG_IN, { login, password });
  }

  /** End the session, in all tabs; when that cannot be told to the gateway, it goes on and this throws. */
  async logOut() {
    await this.change(documents.LOG_OUT);
    this.#become(null);
    this.#tabs.postMessage("ended");
  }

  /**
   * Trade the cookie for the next access token, when the page is loaded and when the token has ended.
   *
   * A refresh token works once, and all tabs have the same: they take turns, and whoever asks meanwhile gets the same
   * answer. Where there is no session, or none any more, everybody is a guest from then on.
   *
   * @throws ApiError the gateway is away: nothing is known
   */
  refresh() {
    this.#trading ??= inTurn(() => this.#trade()).finally(() => { this.#trading = null; });
    return this.#trading;
  }

  async #trade() {
    try {
      // It outlives a reload: a cookie that was used up and not replaced would end the session.
      this.#become(success(await send(documents.REFRESH, { input: {} }, { keepalive: true })));
    } catch (error) {
      if (!(error instanceof ApiError) || error.isTransient) throw error;
      this.#become(null);
    }
  }

  async #begin(document, input) {
    this.#become(success(await send(document, { input: { ...input, refreshTokenPlace: "COOKIE" } })));
    this.#tabs.postMessage("begun");
  }

  #become(found) {
    const before = this.viewer?.user.userId;
    this.#token = found?.tokens.accessToken ?? null;
    this.viewer = found?.viewer ?? null;
    if (before !== this.viewer?.user.userId) this.dispatchEvent(new Event("change"));
  }
}

function inTurn(work) {
  // Without locks (a page that is neither of this machine nor behind TLS) two tabs may still race.
  return navigator.locks ? navigator.locks.request(NAME, work) : work();
}
