// Starts what every page needs. Each module looks for its own marks in the page.
import { startBrush } from "./brush.js";
import { startCommands } from "./commands.js";
import { startControls } from "./controls.js";
import { startFresh } from "./fresh.js";
import { startKeys } from "./keys.js";
import { startPeek } from "./peek.js";
import { startSelect } from "./select.js";
import { startSuggest } from "./suggest.js";
import { startTimes } from "./times.js";
import { startToasts } from "./toasts.js";

startTimes();
if (document.getElementById("q")) {
  startSuggest(); // Before the keys: the first Escape closes the suggestions.
  startBrush();
  startPeek();
}
startControls();
startToasts();
startKeys();
startSelect();
startCommands();
if (document.body.dataset.project) startFresh(document.body.dataset.project);
