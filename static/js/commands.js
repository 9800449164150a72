// What becomes of actions: a dialog closes when its form is sent, and an answer that comes while the
// page is open is said in the corner, with "cancel it" while the new task still waits.
import { on } from "./dom.js";
import { toast } from "./toasts.js";

function say(line) {
  const status = line.querySelector(".state");
  const undo = line.querySelector("form.undo button");
  const state = [...line.classList].find((name) => name.startsWith("s-"))?.slice(2);
  toast(status?.textContent.trim() ?? "", state, undo && { label: undo.textContent.trim(), press: () => undo.click() });
}

function watch() {
  new MutationObserver((changes) => {
    for (const { target, oldValue } of changes) {
      if (oldValue === "1" && target.dataset.open === "") say(target);
    }
  }).observe(document.body, { subtree: true, attributes: true, attributeFilter: ["data-open"], attributeOldValue: true });
}

export function startCommands() {
  on("submit", "[popover] form[hx-post]", (form) => form.closest("[popover]").hidePopover());
  on("click", ".menu.deeds li button", (button) => { button.closest("details").open = false; });
  watch();
}
