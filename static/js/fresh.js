// Keeps the page true: asks again for its own address when a topic it shows has changed, at most
// once a second, and not while it is hidden or paused. The pill in the bar says which of these holds.
import { on } from "./dom.js";
import { freshenPeek } from "./peek.js";
import { hasRows, mergeRows, startRows } from "./rows.js";
import { listen } from "./stream.js";
import { span, tick } from "./times.js";

const EVERY_MS = 1000;
const PAUSED = "queuedeck-paused";
const state = { up: false, downSince: Date.now(), pausedAt: 0, dirty: false, busy: false, next: 0 };

const main = () => document.getElementById("main");
const mode = () => main()?.dataset.mode ?? "still";

function concerns(topics) {
  const shown = (main()?.dataset.topics ?? "").split(" ").filter(Boolean);
  return topics.some((topic) => shown.includes(topic) || (topic === "task:*" && shown.some((own) => own.startsWith("task:"))));
}

function schedule() {
  state.dirty = true;
  if (state.busy || state.pausedAt || document.hidden) return;
  clearTimeout(state.timer);
  state.timer = setTimeout(refresh, Math.max(0, state.next - Date.now()));
}

/** Fetch this page's own address and put in what changed. */
export async function refresh() {
  if (state.busy) return;
  Object.assign(state, { busy: true, dirty: false, next: Date.now() + EVERY_MS });
  try {
    if (mode() === "rows" && hasRows()) await mergeRows();
    else if (document.activeElement?.id === "q") state.dirty = true; // Somebody asks something else.
    else if (mode() !== "still") await morph();
    await freshenPeek();
    tick();
  } catch {
    state.dirty = true; // The stream says when the server is back.
  }
  state.busy = false;
  if (state.dirty && state.up) schedule();
}

function morph() {
  const part = mode().startsWith("part:") ? mode().slice(5) : "#main";
  const at = location.pathname + location.search;
  return htmx.ajax("GET", at, { target: part, select: part, swap: "outerMorph", source: "#main" });
}

function drawPill() {
  const pill = document.querySelector("[data-live-pill]");
  if (!pill) return;
  const label = pill.lastElementChild;
  const seconds = (from) => span(Math.floor((Date.now() - from) / 1000)).replace("<1 ms", "0 s").replace(/\.\d+/, "");
  let look = "", text = "Live", title = "Press p to pause.";
  if (mode() === "still") [look, text, title] = ["still", "Still", ""];
  else if (state.pausedAt) [look, text, title] = ["held", `Paused ${seconds(state.pausedAt)}`, "Press p to go on."];
  else if (!state.up) [look, text, title] = ["held", `Reconnecting ${seconds(state.downSince)}`, "What you see may be old."];
  else if (mode() === "final") [look, text, title] = ["still", "Final", "This task has ended."];
  pill.hidden = false;
  pill.className = `live ${look}`;
  pill.title = title;
  if (label.textContent !== text) label.textContent = text;
}

function togglePause() {
  state.pausedAt = state.pausedAt ? 0 : Date.now();
  if (state.pausedAt) sessionStorage.setItem(PAUSED, state.pausedAt);
  else sessionStorage.removeItem(PAUSED);
  drawPill();
  if (!state.pausedAt) schedule();
}

function lookAgain() {
  const after = Number(document.querySelector("[data-look-again]")?.dataset.lookAgain ?? 0);
  if (after) setInterval(schedule, after * 1000);
}

export function startFresh(project) {
  state.pausedAt = Number(sessionStorage.getItem(PAUSED) ?? 0);
  on("click", "[data-live-pill]", togglePause);
  document.addEventListener("queuedeck:refresh", () => refresh());
  document.addEventListener("visibilitychange", () => !document.hidden && state.dirty && schedule());
  startRows(refresh);
  lookAgain();
  drawPill();
  setInterval(drawPill, 1000);
  listen(project, (topics) => concerns(topics) && schedule(), (up) => {
    if (up && !state.up) schedule(); // What happened meanwhile was not heard.
    if (!up && state.up) state.downSince = Date.now();
    state.up = up;
    drawPill();
  });
}
