// Short messages at the corner. The server sends them by HX-Trigger; errors of requests come here.
import { icon, make, on } from "./dom.js";

const STAY_MS = 8000;

export function toast(text, state = "succeeded", more = null) {
  const place = document.getElementById("toasts");
  if (!place) return;
  const close = make("button", "btn bare sq", icon("close"));
  close.type = "button";
  close.dataset.toastClose = "";
  close.setAttribute("aria-label", "Close");
  const box = make("div", `toast s-${state}`, icon(state), make("span", "", text), close);
  if (more) {
    const button = make("button", "btn", more.label);
    button.type = "button";
    button.addEventListener("click", () => { box.remove(); more.press(); });
    box.children[1].append(" ", button);
  }
  place.append(box);
  setTimeout(() => box.remove(), STAY_MS);
}

export function startToasts() {
  on("click", "[data-toast-close]", (button) => button.closest(".toast").remove());
  document.addEventListener("queuedeck:toast", (event) => toast(event.detail.text, event.detail.state));
  document.addEventListener("htmx:error", (event) => event.detail.ctx?.sourceElement?.id !== "main" && toast("The server does not answer. Nothing was done; try again.", "failed"));
}
