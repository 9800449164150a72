// Selecting tasks: ranges with Shift, the page, all that match the filter; and the bar that acts on
// them. Without scripts the boxes and the buttons of the form work as they are.
import { on } from "./dom.js";

const OFF = "queuedeck-keys-off";
const WHY = {
  ended: "None of the selected tasks has ended.",
  open: "All of the selected tasks have ended.",
};
let last = null;

const form = () => document.getElementById("bulk");
const boxes = () => [...document.querySelectorAll("#rows .chk input")];
const isAll = () => form()?.hasAttribute("data-all");

/** A question stands for all that match: then single rows are not sent. */
function setAll(yes) {
  form().toggleAttribute("data-all", yes);
  form().querySelector("[data-bulk-question]").disabled = !yes;
  for (const box of boxes()) {
    box.disabled = yes;
    if (yes) box.checked = true;
  }
}

function draw() {
  const bar = form()?.querySelector(".bulk");
  if (!bar) return;
  const all = boxes();
  const picked = all.filter((box) => box.checked);
  const head = document.querySelector("[data-bulk-page]");
  head.checked = picked.length > 0 && picked.length === all.length;
  head.indeterminate = picked.length > 0 && !head.checked;
  const matches = document.getElementById("strip")?.dataset.matches ?? "";
  const told = isAll() ? `All${matches ? ` ${matches}` : ""} that match are selected` : `${picked.length} selected`;
  const place = bar.querySelector("[data-bulk-count]");
  if (place.textContent !== told) place.textContent = told;
  const offer = bar.querySelector("[data-bulk-all]");
  if (offer) {
    offer.hidden = isAll() || !picked.length;
    offer.textContent = `Select all ${matches ? `${matches} ` : ""}that match this filter`;
  }
  const rows = picked.map((box) => box.closest("tr"));
  const has = { ended: rows.some((row) => row.hasAttribute("data-final")), open: rows.some((row) => !row.hasAttribute("data-final")) };
  for (const button of bar.querySelectorAll("[data-bulk-needs]")) {
    button.disabled = !isAll() && !has[button.dataset.bulkNeeds];
    button.title = button.disabled ? WHY[button.dataset.bulkNeeds] : "";
  }
}

function clear() {
  if (!form()) return;
  if (isAll()) setAll(false);
  for (const box of boxes()) box.checked = false;
  last = null;
  draw();
}

/** From the box that was set last to this one, both ends included. */
function pick(box, event) {
  const all = boxes();
  const [from, to] = [all.indexOf(last), all.indexOf(box)];
  if (event.shiftKey && from >= 0) {
    for (const other of all.slice(Math.min(from, to), Math.max(from, to) + 1)) other.checked = box.checked;
  }
  last = box;
  draw();
}

function press(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || !form()) return;
  if (event.target.closest?.("input:not([type=checkbox]), textarea, select, dialog[open]")) return;
  if (event.key === "Escape" && boxes().some((box) => box.checked)) return clear();
  if (event.key !== "x" || localStorage.getItem(OFF) || isAll()) return;
  const row = document.activeElement?.closest("#rows tr") ?? document.querySelector("#rows tr:hover");
  const box = row?.querySelector(".chk input");
  if (!box) return;
  event.preventDefault();
  box.checked = !box.checked;
  last = box;
  draw();
}

export function startSelect() {
  on("click", "#rows .chk input", pick);
  on("click", "[data-bulk-page]", (head) => {
    if (isAll()) setAll(false);
    for (const box of boxes()) box.checked = head.checked;
    draw();
  });
  on("click", "[data-bulk-all]", () => { setAll(true); draw(); });
  on("click", "[data-bulk-clear]", clear);
  document.addEventListener("keydown", press);
  document.addEventListener("htmx:after:swap", draw);
  addEventListener("pageshow", draw);
  startArmed();
}

/** Counts the armed seconds down; the page itself says when they are over. */
function startArmed() {
  setInterval(() => {
    for (const place of document.querySelectorAll("[data-armed]")) {
      const left = Math.ceil((Date.parse(place.dataset.armed) - Date.now()) / 1000);
      place.textContent = left > 0 ? `${left} s` : "a moment";
    }
  }, 250);
}
