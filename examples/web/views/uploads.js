// Files of the person's own: sent up, seen coming, heard, used as seeds and deleted.

import * as documents from "../documents.js";
import { button, complain, emptiness, make, megabytes, pages, problem, say } from "../dom.js";
import { t } from "../texts.js";
import { Upload } from "../upload.js";
import { asTrack, trackRow } from "./tracks.js";

/** Return the section of uploads. Those under way are the page's: they go on while people look around. */
export async function uploads(app, maker, signal) {
  const coming = make("div");
  const place = make("div");
  const section = make("section", { "aria-labelledby": "uploads-title" },
    make("h2", { id: "uploads-title", textContent: t("upload") }),
    chooser((file) => start(app, file, show)),
    coming,
    make("h3", { textContent: t("uploads") }),
    place);

  function show(upload) {
    coming.append(progress(upload, signal, (done) => {
      if (!done) return;
      maker.add({ uploadId: upload.uploadId, title: upload.file.name });
      say(t("DONE", { name: upload.file.name }));
      refill().catch(complain);
    }));
  }

  async function refill() {
    const list = make("ul", { className: "rows" });
    place.replaceChildren(list);
    const read = async (after) => (await app.session.ask(documents.MY_UPLOADS, { first: 10, after })).myUploads;
    await pages(list, read, (upload) => row(app, maker, upload, refill), () => emptiness(t("noUploads")));
  }

  app.uploads.forEach(show);
  await refill();
  return section;
}

/** Choosing a file, or dropping one. */
function chooser(take) {
  const input = make("input", { id: "file", type: "file", accept: "audio/*,.flac,.opus,.ogg,.m4a" });
  input.addEventListener("change", () => {
    if (input.files[0]) take(input.files[0]);
    input.value = ""; // the same file can be chosen again
  });
  const place = make("p", { className: "drop" },
    make("label", { for: "file", textContent: t("uploadLabel") }), input, make("span", { textContent: t("drop") }));
  place.addEventListener("dragover", (event) => event.preventDefault());
  place.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
  return place;
}

function start(app, file, show) {
  const upload = new Upload(app.session, file);
  app.uploads.push(upload);
  show(upload);
  upload.run().finally(() => app.uploads.splice(app.uploads.indexOf(upload), 1));
}

/** Show an upload that is coming; `end` is told whether it came. */
function progress(upload, signal, end) {
  const { name, size } = upload.file;
  const bar = make("progress", { max: size, "aria-label": t("uploading", { name }) });
  const state = make("p", { role: "status" });
  const pause = button("", () => (upload.state === "PAUSED" ? upload.goOn() : upload.pause()));
  const cancel = button(t("cancel"), () => upload.cancel());
  const panel = make("div", { className: "job", role: "group", "aria-label": name },
    make("p", { textContent: name, dir: "auto" }), bar, state, pause, cancel);
  const show = () => {
    bar.value = upload.sent;
    const text = t(upload.state, { name, sent: megabytes(upload.sent), size: megabytes(size) });
    // Not at every step: screen readers would read nothing else.
    if (state.dataset.of !== upload.state) state.textContent = text;
    state.dataset.of = upload.state;
    bar.title = text;
    pause.textContent = t(upload.state === "PAUSED" ? "goOn" : "pause");
    if (upload.state === "FAILED") panel.replaceChildren(make("p", { textContent: name }), problem(upload.error));
    if (["DONE", "CANCELLED"].includes(upload.state)) panel.remove();
    if (["DONE", "CANCELLED", "FAILED"].includes(upload.state)) end(upload.state === "DONE");
  };
  upload.addEventListener("change", show, { signal });
  show();
  return panel;
}

function row(app, maker, upload, refill) {
  const { uploadId, fileName: title } = upload;
  return trackRow(
    asTrack(upload),
    () => app.player.start([asTrack(upload)], 0),
    button(t("useAsSeed"), () => maker.add({ uploadId, title }), { "aria-label": t("useAsSeedOf", { title }) }),
    button("×", async () => {
      await app.session.change(documents.DELETE_UPLOAD, { uploadId });
      await refill();
    }, { "aria-label": t("deleteOf", { title }), title: t("delete") }));
}
