// What the next playlist is made of, and jobs that make one.

import * as documents from "../documents.js";
import { button, complain, forgive, make, number, say } from "../dom.js";
import { ApiError } from "../graphql.js";
import { t } from "../texts.js";

const ARRANGEMENTS = ["FLOW", "SIMILARITY", "ENERGY_ARC"];
const KINDS = ["GENERATION", "REGENERATION"];

/** The form of seeds and rules. The seeds are the page's, so that they stay while people look around. */
export class Maker {
  element = make("section", { className: "maker", "aria-labelledby": "seeds-title" });
  #app;
  #signal;
  #seeds = make("ul", { className: "seeds" });
  #empty = make("p", { textContent: t("noSeeds") });
  #form = make("form");
  #submit = make("button", { type: "submit", className: "main", textContent: t("make") });
  #jobs = make("div");
  // Asking again for the same thing, because no answer came, must not make it twice.
  #asked = { input: null, key: null };

  constructor(app, signal) {
    this.#app = app;
    this.#signal = signal;
    const length = make("input", { id: "length", name: "length", type: "number", min: 1, max: 500, value: 25 });
    const order = make("select", { id: "order", name: "arrangement" },
      ...ARRANGEMENTS.map((name) => make("option", { value: name, textContent: t(name) })));
    this.#form.append(
      make("p", {}, make("label", { for: "length", textContent: t("length") }), length),
      make("p", {}, make("label", { for: "order", textContent: t("order") }), order),
      this.#submit);
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#make().catch(complain);
    });
    this.element.append(
      make("h2", { id: "seeds-title", textContent: t("seeds") }), this.#empty, this.#seeds, this.#form, this.#jobs);
    this.#show();
  }

  /** Add a seed: a `trackId` or an `uploadId`, and a title. */
  add(seed) {
    const isSame = (other) => other.trackId === seed.trackId && other.uploadId === seed.uploadId;
    if (!this.#app.seeds.some(isSame)) this.#app.seeds.push({ ...seed, weight: 1 });
    this.#show();
    say(t("seedAdded", seed));
  }

  /** Show the jobs that were under way before this page was loaded. */
  async showOpenJobs() {
    const { myJobs } = await this.#app.session.ask(documents.OPEN_JOBS);
    for (const job of myJobs?.nodes ?? []) if (KINDS.includes(job.kind)) this.#follow(job);
  }

  #show() {
    const { seeds } = this.#app;
    this.#empty.hidden = seeds.length > 0;
    this.#form.hidden = seeds.length === 0;
    this.#seeds.replaceChildren(...seeds.map((seed) => this.#row(seed)));
  }

  #row(seed) {
    const weight = make("select", { "aria-label": seed.title },
      make("option", { value: 1, textContent: t("moreLike") }),
      make("option", { value: -1, textContent: t("lessLike") }));
    weight.value = String(seed.weight);
    weight.addEventListener("change", () => { seed.weight = Number(weight.value); });
    const remove = button("×", () => {
      this.#app.seeds.splice(this.#app.seeds.indexOf(seed), 1);
      this.#show();
    }, { "aria-label": t("removeOf", seed), title: t("remove") });
    return make("li", {}, make("span", { textContent: seed.title, dir: "auto" }), weight, remove);
  }

  async #make() {
    forgive();
    const { length, arrangement } = Object.fromEntries(new FormData(this.#form));
    const seeds = this.#app.seeds.map(({ trackId, uploadId, weight }) => ({ trackId, uploadId, weight }));
    const input = { seeds, length: Number(length), arrangement };
    const asked = JSON.stringify(input);
    if (asked !== this.#asked.input) this.#asked = { input: asked, key: crypto.randomUUID() };
    this.#submit.disabled = true;
    try {
      const { job } = await this.#app.session.change(
        documents.GENERATE, { ...input, idempotencyKey: this.#asked.key });
      this.#asked = { input: null, key: null };
      if (job.isFinished) this.#end(job);
      else this.#follow(job);
    } finally {
      this.#submit.disabled = false;
    }
  }

  #follow(job) {
    const state = make("p");
    const bar = make("progress", { max: 1, value: job.progress, "aria-label": t("making") });
    const cancel = button(t("cancel"), () => this.#app.session.change(documents.CANCEL_JOB, { jobId: job.jobId }));
    const panel = make("div", { className: "job", role: "group", "aria-label": t("making") }, state, bar, cancel);
    this.#jobs.append(panel);
    const ended = new AbortController();
    const show = (now) => {
      const { stage, etaSeconds } = now;
      bar.value = now.progress;
      state.textContent = [
        t(now.state),
        stage && t("stage", stage),
        etaSeconds !== null && t("eta", { seconds: number(Math.ceil(etaSeconds)) }),
      ].filter(Boolean).join(" · ");
      if (!now.isFinished) return;
      ended.abort();
      panel.remove();
      this.#end(now);
    };
    show(job);
    const failed = (error) => {
      panel.remove();
      complain(error);
    };
    this.#app.live.follow(
      documents.JOB_PROGRESS, { jobId: job.jobId }, { next: (data) => show(data.jobProgress), failed },
      AbortSignal.any([this.#signal, ended.signal]));
  }

  #end({ state, playlistId, failureReason, failureMessage }) {
    if (state === "FAILED") complain(new ApiError({ code: failureReason, message: failureMessage }));
    if (state !== "SUCCEEDED") return;
    this.#app.seeds.length = 0;
    location.hash = `#/playlist/${playlistId}`;
  }
}
