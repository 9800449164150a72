// The task list, live without moving under the pointer: rows known by id change in place; new ones
// wait behind a bar while somebody reads; those that no longer match stay, dimmed.
import { addressWith, make, on } from "./dom.js";
import { tick } from "./times.js";

const MAX_ASKED = 40;
const COUNT_EVERY_MS = 10000;
let waiting = new Map();
let countAgain = Date.now() + COUNT_EVERY_MS;

const table = () => document.getElementById("rows");
const rowsOf = (root) => [...root.querySelectorAll("#rows > tr")];

async function fetchPage(url) {
  const answer = await fetch(url, { headers: { "HX-Request": "true" } });
  if (answer.status === 401 || answer.redirected) location.assign("/login");
  if (!answer.ok) throw new Error(String(answer.status));
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

/** Somebody reads: the list is scrolled, the pointer or the focus is in it, or rows are selected. */
function isHeld() {
  const body = table();
  return scrollY > 80 || body.querySelector(".chk :checked") || body.matches(":hover") || body.contains(document.activeElement) || !getSelection().isCollapsed;
}

/** Change the cells that differ, and keep the focus where it is. */
function update(old, fresh) {
  old.className = fresh.className;
  old.toggleAttribute("data-final", fresh.hasAttribute("data-final"));
  [...fresh.cells].forEach((cell, index) => {
    const before = old.cells[index];
    if (!before.isEqualNode(cell) && !before.contains(document.activeElement)) before.replaceWith(cell);
  });
}

function insert(body, row) {
  const after = [...body.rows].find((other) => other.dataset.key < row.dataset.key);
  body.insertBefore(row, after ?? null);
}

function replace(page, id) {
  const [old, fresh] = [document.getElementById(id), page.getElementById(id)];
  if (old && fresh && !old.contains(document.activeElement)) swap(old, fresh);
}

function swap(old, fresh) {
  old.replaceWith(document.adoptNode(fresh));
  htmx.process(fresh);
}

/** Counts and the strip cost more than rows, and are asked for again less often. */
function freshen() {
  if (Date.now() < countAgain) return;
  countAgain = Date.now() + COUNT_EVERY_MS;
  for (const part of document.querySelectorAll("[data-fresh-url]:not([hx-get])")) {
    if (!part.checkVisibility() || part.matches(":hover") || part.contains(document.activeElement)) continue;
    htmx.ajax("GET", part.dataset.freshUrl, { target: part, swap: "outerMorph", source: part });
  }
}

/** Whether there are rows to merge into; an empty list is replaced as a whole. */
export const hasRows = () => !table() || table().rows.length > 0;

export async function mergeRows() {
  const body = table();
  if (!body || body.hasAttribute("data-later")) return;
  // Rows are the same for everybody, what is beside them is not.
  const page = await fetchPage(addressWith(""));
  for (const id of ["strips", "list-total", "pulse"]) replace(page, id);
  freshen();
  const found = new Map(rowsOf(page).map((row) => [row.id, row]));
  const newest = [...found.values()];
  // Below the last row of a full page nothing is known; a page that is not full is all there is.
  const lowest = newest.length < Number(body.dataset.page) ? "" : newest.at(-1).dataset.key;
  const oldest = body.rows.length < Number(body.dataset.page) ? "" : body.rows[body.rows.length - 1].dataset.key;
  const missing = [];
  for (const row of body.rows) {
    if (found.has(row.id)) update(row, found.get(row.id));
    else missing.push(row);
    found.delete(row.id);
  }
  waiting = new Map([...found].filter(([, row]) => row.dataset.key > oldest));
  if (!isHeld()) showWaiting();
  drawBar(newest.length);
  await askAgain(missing, lowest);
}

/** Rows that are not on the first page any more: older now, or no longer matching. */
async function askAgain(missing, lowest) {
  for (const row of missing) row.classList.toggle("gone", row.dataset.key > lowest);
  const open = missing.filter((row) => row.isConnected && !row.hasAttribute("data-final")).slice(0, MAX_ASKED);
  if (!open.length) return;
  const ids = open.map((row) => `"${row.dataset.id.replace(/["\\]/g, "\\$&")}"`).join(",");
  const page = await fetchPage(`${location.pathname}?q=${encodeURIComponent(`id:${ids}`)}`);
  for (const row of open) {
    const fresh = page.getElementById(row.id);
    if (!fresh) continue;
    if (row.classList.contains("gone")) fresh.classList.add("gone");
    update(row, fresh);
  }
}

/** Put in what waits, and let go of as many at the end as the page holds by itself. */
function showWaiting() {
  const body = table();
  const room = Math.max(Number(body.dataset.page), body.rows.length);
  for (const row of waiting.values()) insert(body, row);
  waiting.clear();
  while (body.rows.length > room) body.rows[body.rows.length - 1].remove();
  tick(body);
}

function drawBar(pageSize) {
  const place = document.querySelector("[data-fresh]");
  if (!waiting.size) return place.replaceChildren();
  const many = waiting.size >= pageSize ? `${waiting.size} or more` : String(waiting.size);
  const text = `${many} new`;
  if (place.querySelector("b")?.textContent === text) return;
  const button = make("button", "fresh", make("b", "", text), " · show (n)");
  button.type = "button";
  button.dataset.showNew = "";
  place.replaceChildren(button);
}

async function loadMore(link, event) {
  event.preventDefault();
  link.setAttribute("aria-busy", "true");
  const page = await fetchPage(link.href);
  const known = new Set([...table().rows].map((row) => row.id));
  table().append(...rowsOf(page).filter((row) => !known.has(row.id)));
  const foot = page.getElementById("list-foot");
  swap(document.getElementById("list-foot"), foot);
  tick();
}

export function startRows(refresh) {
  const showAll = async () => {
    document.activeElement?.blur();
    scrollTo({ top: 0 });
    for (const row of table().querySelectorAll(".gone")) row.remove();
    showWaiting();
    drawBar(0);
    await refresh();
  };
  on("click", "[data-show-new]", () => showAll());
  on("click", "a[data-more]", (link, event) => loadMore(link, event));
  on("click", "#rows tr", (row, event) => {
    if (!event.target.closest("a, button, .chk") && getSelection().isCollapsed) row.querySelector("a.name").click();
  });
}
