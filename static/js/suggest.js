// The filter box as a combobox: the server sends what may come next; arrows walk through it, Enter
// and a click take it. A term with its value is applied at once, a key waits for its value.
import { on } from "./dom.js";

const box = () => document.getElementById("q");
const list = () => document.getElementById("suggest");
const options = () => [...list().querySelectorAll("[role=option]")];
const marked = () => list()?.querySelector("[aria-selected=true]");

function mark(option) {
  marked()?.setAttribute("aria-selected", "false");
  if (!option) return box().removeAttribute("aria-activedescendant");
  option.setAttribute("aria-selected", "true");
  option.scrollIntoView({ block: "nearest" });
  box().setAttribute("aria-activedescendant", option.id);
}

/** Only while somebody is in the box, and only for the end of what stands in it. */
function draw() {
  const field = box();
  if (!field || !list()) return;
  if (document.activeElement !== field || field.selectionEnd < field.value.length) list().hidden = true;
  field.setAttribute("aria-expanded", String(!list().hidden && options().length > 0));
  mark(null);
}

function close() {
  if (!list()) return;
  list().hidden = true;
  draw();
}

function take(option) {
  const field = box();
  field.value = option.dataset.text;
  if (option.hasAttribute("data-whole")) {
    close();
    field.form.requestSubmit();
  } else field.dispatchEvent(new Event("input", { bubbles: true }));
}

function press(field, event) {
  if (event.isComposing) return;
  if (list().hidden) return event.key === "ArrowDown" && htmx.trigger(field, "focus");
  const all = options();
  const at = all.indexOf(marked());
  const to = { ArrowDown: at + 1, ArrowUp: at < 0 ? all.length - 1 : at - 1 }[event.key];
  if (to !== undefined && all.length) mark(all[to] ?? null);
  else if (event.key === "Enter" && at >= 0) take(all[at]);
  else if (event.key === "Escape") { close(); event.stopImmediatePropagation(); }
  else return;
  event.preventDefault();
}

export function startSuggest() {
  on("keydown", "#q", press);
  on("mousedown", "#suggest", (_, event) => event.preventDefault()); // The box keeps the focus.
  on("click", "#suggest [role=option]", take);
  on("focusout", "#q", close);
  on("submit", "#query", close);
  document.addEventListener("htmx:after:swap", (event) => {
    // What was applied is a chip now. The box that has the focus keeps its text otherwise.
    if (event.detail.ctx?.target?.id === "main" && box()) box().value = box().getAttribute("value");
    draw();
  });
}
