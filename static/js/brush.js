// Narrowing the list to a part of the strip: drag over the bars, or walk them with the arrows, with
// Shift for more than one. Both fill the two times of the form, which does the rest.
import { on } from "./dom.js";

const LEAST_PX = 6;
const BAR = 10;
let drag = null;
let anchor = null;

const strip = () => document.getElementById("strip");
const plot = () => strip().querySelector(".plot");
const two = (number) => String(number).padStart(2, "0");

/** What a field for date and time shows of a moment, in the viewer's own zone. */
function local(ms) {
  const at = new Date(ms);
  const date = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${date}T${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** The times as the server wrote them are UTC. */
function localise() {
  const form = document.getElementById("range");
  if (!form?.querySelector("[data-utc]")) return;
  for (const field of form.querySelectorAll("[data-utc]")) {
    field.removeAttribute("data-utc");
    field.value = local(Date.parse(`${field.getAttribute("value")}Z`));
  }
  form.querySelector("[data-zone]").textContent = Intl.DateTimeFormat().resolvedOptions().timeZone;
}

function barAt(x) {
  const { left, width } = plot().getBoundingClientRect();
  const count = plot().viewBox.baseVal.width / BAR;
  return Math.max(0, Math.min(count - 1, Math.floor(((x - left) / width) * count)));
}

/** Show what would be kept, and put it into the form. */
function show(a, b) {
  const [low, high] = a < b ? [a, b] : [b, a];
  const brush = strip().querySelector(".brush");
  brush.setAttribute("x", low * BAR);
  brush.setAttribute("width", (high + 1 - low) * BAR);
  const { from, bar } = strip().dataset;
  const ends = [low, high + 1].map((at) => local(Number(from) + at * Number(bar)));
  const form = document.getElementById("range");
  [form.elements.since.value, form.elements.until.value] = ends;
  const day = ends[0].slice(0, 10) === ends[1].slice(0, 10) ? 11 : 5;
  document.getElementById("brushed").textContent = ends.map((end) => end.slice(day).replace("T", " ")).join(" to ");
}

function clear() {
  drag = anchor = null;
  strip()?.querySelector(".brush")?.setAttribute("width", 0);
  const told = document.getElementById("brushed");
  if (told) told.textContent = "";
}

function move(event) {
  if (!drag) return;
  if (!drag.on && Math.abs(event.clientX - drag.x) < LEAST_PX) return;
  drag.on = true;
  plot().setPointerCapture(event.pointerId);
  show(drag.bar, barAt(event.clientX));
}

function press(link, event) {
  const links = [...plot().querySelectorAll("a")];
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  const next = links[links.indexOf(link) + step];
  const bar = (one) => one.querySelector("rect").x.baseVal.value / BAR;
  if (event.key === "Escape") clear();
  else if (event.key === "Enter" && anchor !== null) document.getElementById("range").requestSubmit();
  else if (step && next) {
    if (!event.shiftKey) clear();
    else anchor ??= bar(link);
    for (const one of links) one.setAttribute("tabindex", one === next ? 0 : -1);
    next.focus();
    if (event.shiftKey) show(anchor, bar(next));
  } else return;
  event.preventDefault();
}

export function startBrush() {
  on("pointerdown", "#strip[data-from] .plot", (_, event) => {
    if (event.button === 0) drag = { x: event.clientX, bar: barAt(event.clientX), on: false };
  });
  document.addEventListener("pointermove", move);
  document.addEventListener("pointerup", () => {
    if (drag?.on) document.getElementById("range").requestSubmit();
    drag = null;
  });
  document.addEventListener("pointercancel", clear);
  document.addEventListener("keydown", (event) => event.key === "Escape" && drag && clear());
  on("dragstart", "#strip", (_, event) => event.preventDefault());
  on("keydown", "#strip .plot a", press);
  document.addEventListener("formdata", ({ target, formData }) => {
    if (target.id !== "range") return;
    for (const name of ["since", "until"]) {
      const at = formData.get(name);
      if (at) formData.set(name, new Date(at).toISOString());
    }
  });
  document.addEventListener("htmx:after:swap", () => { if (!drag && anchor === null) clear(); localise(); });
  localise();
}
