// Times: "3 m ago" and running durations tick; clock times become those of the viewer's zone.
// The words are those of app/queuedeck/web/format.py, rounded down as there.

const UNITS = [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];
const two = (number) => String(Math.floor(number)).padStart(2, "0");

export function ago(seconds) {
  if (Math.abs(seconds) < 1) return "now";
  const whole = Math.abs(seconds);
  const [unit, word] = UNITS.find(([size]) => whole >= size);
  const rough = `${Math.floor(whole / unit)} ${word}`;
  return seconds > 0 ? `${rough} ago` : `in ${rough}`;
}

export function span(seconds) {
  if (seconds < 0.001) return "<1 ms";
  if (seconds < 1) return `${Math.floor(seconds * 1000)} ms`;
  if (seconds < 10) return `${(Math.floor(seconds * 100) / 100).toFixed(2)} s`;
  if (seconds < 60) return `${(Math.floor(seconds * 10) / 10).toFixed(1)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${two(seconds % 60)} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${two((seconds % 3600) / 60)} m`;
  return `${Math.floor(seconds / 86400)} d ${two((seconds % 86400) / 3600)} h`;
}

function local(time, style) {
  const at = new Date(time.dateTime);
  const clock = `${two(at.getHours())}:${two(at.getMinutes())}`;
  if (style === "clock") return `${clock}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, "0")}`;
  if (style === "hour") return clock;
  if (style === "second") return `${clock}:${two(at.getSeconds())}`;
  if (style === "date") return `${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock}`;
}

/** Bring every time below `root` up to date. Called each second, and after each change of a page. */
export function tick(root = document) {
  const now = Date.now();
  for (const time of root.querySelectorAll("time[data-time]")) {
    const style = time.dataset.time;
    const passed = (now - Date.parse(time.dateTime)) / 1000;
    const text = style === "ago" ? ago(passed) : style === "span" ? span(Math.max(0, passed)) : local(time, style);
    if (time.textContent !== text) time.textContent = text;
  }
}

/** The title says the viewer's own time as well, once somebody looks. */
function explain(event) {
  const time = event.target.closest?.("time[title]");
  if (!time || time.title.includes("\n")) return;
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  time.title = `${new Date(time.dateTime).toLocaleString()} ${zone}\n${time.title}`;
}

export function startTimes() {
  tick();
  setInterval(() => document.hidden || tick(), 1000);
  document.addEventListener("visibilitychange", () => tick());
  document.addEventListener("htmx:after:swap", () => tick());
  document.addEventListener("pointerover", explain);
  document.addEventListener("focusin", explain);
}
