// Single-letter shortcuts. Ignored in fields, with modifiers, and when switched off (WCAG 2.1.4).
import { openDialog, toggleTheme } from "./controls.js";
import { on } from "./dom.js";
import { togglePeek } from "./peek.js";

const OFF = "queuedeck-keys-off";
const PLACES = { t: "Tasks", e: "Errors", r: "Trends", a: "Agents", c: "Connect", u: "Audit" };
const CHORD_MS = 1500;
let chordUntil = 0;

const click = (selector) => document.querySelector(selector)?.click();

function focusField() {
  const field = document.getElementById("q") ?? document.getElementById("find");
  field?.focus();
  field?.select();
}

function step(by) {
  const links = [...document.querySelectorAll("main tbody a.name")];
  if (!links.length) return;
  const at = links.indexOf(document.activeElement);
  const next = at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + by));
  links[next].focus();
}

function goTo(letter) {
  for (const link of document.querySelectorAll(".rail a")) {
    if (link.textContent.trim() === PLACES[letter]) link.click();
  }
}

const ACTIONS = {
  "/": focusField,
  "?": () => openDialog("help"),
  j: () => step(1),
  k: () => step(-1),
  o: togglePeek,
  f: () => click("[data-fold-facets]"),
  r: () => click('[data-key="r"]:not([disabled])'),
  c: () => click('[data-key="c"]:not([disabled])'),
  p: () => click("[data-live-pill]"),
  n: () => click("[data-show-new]"),
  t: toggleTheme,
  g: () => { chordUntil = Date.now() + CHORD_MS; },
};

function isTyping(target) {
  return target.closest?.("input, textarea, select, [contenteditable], dialog[open]");
}

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) {
    if (event.key === "Escape" && event.target.matches?.("input")) event.target.blur();
    return;
  }
  if (localStorage.getItem(OFF)) return;
  const inChord = Date.now() < chordUntil;
  chordUntil = 0;
  if (inChord && PLACES[event.key]) return goTo(event.key);
  const action = ACTIONS[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

export function startKeys() {
  document.addEventListener("keydown", press);
  const box = document.querySelector("[data-keys-off]");
  if (box) box.checked = Boolean(localStorage.getItem(OFF));
  on("change", "[data-keys-off]", (input) => {
    if (input.checked) localStorage.setItem(OFF, "1");
    else localStorage.removeItem(OFF);
  });
}
