// A task beside the list. The panel follows the row that has the focus, the address names its task,
// and Back still means the question before: the address is replaced.
import { addressWith, on } from "./dom.js";

const FOLLOW_MS = 120;
let later = 0;

const panel = () => document.getElementById("peek");
const isOpen = () => Boolean(panel() && !panel().hidden);
const keyOf = (row) => row.querySelector("[name=peek]").value;
const rowOf = (key) => document.querySelector(`#rows [name=peek][value="${key}"]`)?.closest("tr");

const address = (key) => history.replaceState(history.state, "", addressWith(key));

/** The row that is shown beside keeps its mark also when its cells change. */
function mark() {
  document.querySelector("#rows tr[aria-current]")?.removeAttribute("aria-current");
  if (isOpen()) rowOf(panel().dataset.key)?.setAttribute("aria-current", "true");
}

async function load(key) {
  const q = new URL(location).searchParams.get("q") ?? "";
  const at = `${location.pathname}/peek?key=${key}&q=${encodeURIComponent(q)}`;
  await htmx.ajax("GET", at, { target: "#peek", swap: "outerMorph", source: "#rows" });
  mark();
}

function show(row) {
  if (isOpen() && panel().dataset.key === keyOf(row)) return;
  address(keyOf(row));
  load(keyOf(row));
}

function close() {
  const row = rowOf(panel().dataset.key);
  if (panel().contains(document.activeElement)) row?.querySelector("a.name").focus();
  panel().hidden = true;
  address("");
  mark();
}

/** What is shown beside changes with its task, as long as that can change. */
export async function freshenPeek() {
  if (isOpen() && !panel().hasAttribute("data-settled") && getSelection().isCollapsed) await load(panel().dataset.key);
}

export function togglePeek() {
  const row = document.activeElement?.closest("#rows tr") ?? document.querySelector("#rows tr:hover");
  if (isOpen() && (!row || keyOf(row) === panel().dataset.key)) close();
  else if (row) show(row);
}

export function startPeek() {
  on("click", "#rows [name=peek]", (button, event) => { event.preventDefault(); show(button.closest("tr")); });
  on("click", "[data-peek-close]", (_, event) => { event.preventDefault(); close(); });
  on("focusin", "#rows a.name", (link) => {
    clearTimeout(later);
    if (isOpen()) later = setTimeout(() => isOpen() && show(link.closest("tr")), FOLLOW_MS);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && isOpen() && !event.target.closest("input, dialog, details[open], [popover]:popover-open")) close();
  });
  mark();
}
