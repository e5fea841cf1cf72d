"use strict";

// What is typed stays in this browser until the server has it: a reload or a lost server costs nothing.

const QUESTIONS = [
  ["relevance", "Relevance", "1: nothing to do with the seed · 5: just what it asks for"],
  ["serendipity", "Serendipity", "1: nothing that surprises · 5: happy finds"],
  ["satisfaction", "Satisfaction", "1: I would stop it · 5: I would keep it"],
];
const find = (selector, root = document) => root.querySelector(selector);
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

let study = null;
let shown = 0;
let kept = { rater: "", drafts: {}, saved: {} };

const keep = () => {
  try {
    localStorage.setItem(`listening-${study.study_id}`, JSON.stringify(kept));
  } catch {
    // A private window may refuse; ratings still reach the server.
  }
};
const isSaved = (id) => Boolean((kept.saved[kept.rater] || []).includes(id));
const markSaved = (id) => {
  kept.saved[kept.rater] = [...new Set([...(kept.saved[kept.rater] || []), id])];
  keep();
};
const tell = (text) => { find("#message").textContent = text; };

async function start() {
  const answer = await fetch("study.json");
  if (!answer.ok) throw new Error(`study.json: ${answer.status}`);
  study = await answer.json();
  try {
    kept = { ...kept, ...JSON.parse(localStorage.getItem(`listening-${study.study_id}`) || "{}") };
  } catch {
    localStorage.removeItem(`listening-${study.study_id}`);
  }
  const rater = find("#rater");
  rater.value = kept.rater;
  rater.addEventListener("change", async () => {
    kept.rater = rater.value.trim();
    keep();
    await askSaved();
    // Built anew only where something differs: who walks by the keyboard is on the way to the next field.
    const locked = [...document.querySelectorAll(".playlist")].map((form) => find("[type=submit]", form).disabled);
    const saved = study.seeds[shown].playlists.map((playlist) => isSaved(playlist.id));
    if (String(locked) !== String(saved)) show(shown, false);
    else showSteps();
  });
  find("#seeds").append(...study.seeds.map((_, number) => {
    const button = make("button", { type: "button" });
    button.addEventListener("click", () => show(number));
    return button;
  }));
  await askSaved();
  show(0, false);
}

async function askSaved() {
  if (!kept.rater) return;
  const answer = await fetch(`ratings?rater=${encodeURIComponent(kept.rater)}`);
  if (answer.ok) {
    kept.saved[kept.rater] = (await answer.json()).playlists;
    keep();
  }
}

function show(number, move = true) {
  shown = number;
  const seed = study.seeds[number];
  const main = find("#main");
  main.replaceChildren(
    make("section", { className: "seed" },
      make("h2", { textContent: `Seed ${number + 1}` }),
      player(seed.audio, `Seed ${number + 1}`)),
    make("div", { className: "playlists" }, ...seed.playlists.map(card)),
  );
  showSteps();
  if (move) main.focus();
}

function showSteps() {
  const done = (seed) => seed.playlists.every((playlist) => isSaved(playlist.id));
  for (const [number, button] of [...find("#seeds").children].entries()) {
    button.textContent = `Seed ${number + 1}${done(study.seeds[number]) ? " ✓" : ""}`;
    button.setAttribute("aria-current", String(number === shown));
  }
  const all = study.seeds.flatMap((seed) => seed.playlists);
  const count = all.filter((playlist) => isSaved(playlist.id)).length;
  find("#progress").textContent = count === all.length
    ? "All playlists are rated. Thank you!"
    : `${count} of ${all.length} playlists rated`;
}

function player(file, name) {
  const audio = make("audio", { controls: true, preload: "none", src: `audio/${file}` });
  audio.setAttribute("aria-label", name);
  audio.addEventListener("play", () => pauseOthers(audio));
  return audio;
}

function pauseOthers(playing) {
  for (const audio of document.querySelectorAll("audio")) if (audio !== playing) audio.pause();
}

function card(playlist) {
  const form = find("#playlist-template").content.cloneNode(true).firstElementChild;
  find("h3", form).textContent = `Playlist ${playlist.label}`;
  form.setAttribute("aria-label", `Playlist ${playlist.label}`);
  fillTracks(form, playlist);
  fillQuestions(form, playlist);
  const draft = kept.drafts[playlist.id] || {};
  find("textarea", form).value = draft.comment || "";
  form.addEventListener("input", () => {
    kept.drafts[playlist.id] = Object.fromEntries(new FormData(form));
    keep();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    save(form, playlist);
  });
  if (isSaved(playlist.id)) lock(form);
  return form;
}

function fillTracks(form, playlist) {
  const audio = find("audio", form);
  audio.setAttribute("aria-label", `Playlist ${playlist.label}`);
  audio.addEventListener("play", () => pauseOthers(audio));
  const buttons = playlist.tracks.map((file, number) => {
    const button = make("button", { type: "button", textContent: String(number + 1) });
    button.setAttribute("aria-label", `Play track ${number + 1} of playlist ${playlist.label}`);
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => { choose(number); audio.play().catch(() => tell("This track cannot be played.")); });
    return button;
  });
  const choose = (number) => {
    audio.src = `audio/${playlist.tracks[number]}`;
    audio.dataset.number = number;
    buttons.forEach((button, at) => button.setAttribute("aria-pressed", String(at === number)));
  };
  audio.addEventListener("playing", () => buttons[Number(audio.dataset.number)].classList.add("heard"));
  audio.addEventListener("ended", () => {
    const next = Number(audio.dataset.number) + 1;
    if (next < buttons.length) buttons[next].click();
  });
  choose(0);
  find(".tracks", form).append(...buttons.map((button) => make("li", {}, button)));
}

function fillQuestions(form, playlist) {
  const draft = kept.drafts[playlist.id] || {};
  find(".questions", form).append(...QUESTIONS.map(([name, title, scale]) => make("fieldset", {},
    make("legend", {}, title, make("span", { textContent: scale })),
    ...[1, 2, 3, 4, 5].map((mark) => make("label", {},
      make("input", { type: "radio", name, value: mark, required: true, checked: draft[name] === String(mark) }),
      String(mark))))));
}

async function save(form, playlist) {
  const rater = find("#rater");
  if (!rater.reportValidity()) return;
  const given = Object.fromEntries(new FormData(form));
  const rating = { rater: kept.rater, playlist: playlist.id, comment: given.comment };
  for (const [name] of QUESTIONS) rating[name] = Number(given[name]);
  tell("");
  try {
    const answer = await fetch("ratings", {
      method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(rating),
    });
    if (!answer.ok && answer.status !== 409) throw new Error((await answer.json()).message);
    markSaved(playlist.id);
    lock(form);
    showSteps();
  } catch (error) {
    tell(`Not saved, and kept in this browser: ${error.message}`);
  }
}

function lock(form) {
  for (const field of form.querySelectorAll("input, textarea, button[type=submit]")) field.disabled = true;
  find(".saved", form).textContent = "Saved.";
}

start().catch((error) => tell(`The test cannot be shown: ${error.message}`));
