// The small controls of every page: dialogs and menus, copying, the theme, choices that show
// elsewhere.
import { on } from "./dom.js";
import { toast } from "./toasts.js";

export function startControls() {
  startDialogs();
  startCopy();
  startTheme();
  startForms();
}

// Opens and closes <dialog>, and closes menus when somebody clicks elsewhere.

export function openDialog(id) {
  const dialog = document.getElementById(id);
  if (dialog && !dialog.open) dialog.showModal();
}

function startDialogs() {
  on("click", "[data-dialog]", (button) => openDialog(button.dataset.dialog));
  on("click", "[data-close]", (button) => button.closest("dialog").close());
  on("click", "dialog", (dialog, event) => event.target === dialog && dialog.close());
  // What a form in a dialog asked for was taken: its outcome is on the page.
  on("queuedeck:refresh", "dialog form", (form) => { form.reset(); form.closest("dialog").close(); });
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const menu = document.querySelector("details.menu[open]");
    if (!menu) return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
}

// Buttons that copy: their own text, or the block they stand in. Plain http has no clipboard API.

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "vh";
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    return copied;
  }
}

async function copyAndSay(text) {
  const copied = await copy(text);
  toast(copied ? "Copied" : "Not copied: select the text instead.", copied ? "succeeded" : "failed");
}

function startCopy() {
  on("click", "[data-copy]", (button) => copyAndSay(button.dataset.copy));
  on("click", "[data-copy-block]", (button) => copyAndSay(button.previousElementSibling.textContent));
}

// Light, dark, or as the system. The choice is a cookie, so that the server draws the page with it.

const NEXT = { "": "light", light: "dark", dark: "" };
const WORDS = { "": "Theme of the system", light: "Light theme", dark: "Dark theme" };
const YEAR_S = 31536000;

export function toggleTheme() {
  const root = document.documentElement;
  const theme = NEXT[root.dataset.theme ?? ""];
  if (theme) root.dataset.theme = theme;
  else delete root.dataset.theme;
  document.cookie = `theme=${theme}; path=/; max-age=${theme ? YEAR_S : 0}; samesite=lax`;
  toast(WORDS[theme]);
}

/** The column of facets, or none: in a cookie, so that the server draws the page with it. */
function foldFacets() {
  const folded = document.body.toggleAttribute("data-folded");
  document.cookie = `facets=folded; path=/; max-age=${folded ? YEAR_S : 0}; samesite=lax`;
}

function startTheme() {
  on("click", "[data-fold-facets]", foldFacets);
  on("click", "[data-theme-toggle]", toggleTheme);
}

// Small help for forms: a choice that shows elsewhere on the page, and no double submits.

function startForms() {
  // A link that signs in works at once for people; what only fetches it, such as a preview, changes nothing.
  document.querySelector("form[data-at-once]")?.requestSubmit();
  on("change", "input[type=radio]", (input) => {
    for (const place of document.querySelectorAll(`[data-mirror="${input.name}"]`)) place.textContent = input.value;
  });
}
