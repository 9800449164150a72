// Starts what every page needs. Each module looks for its own marks in the page.
import { startCommands } from "./commands.js";
import { startControls } from "./controls.js";
import { startFresh } from "./fresh.js";
import { startKeys } from "./keys.js";
import { startSelect } from "./select.js";
import { startTimes } from "./times.js";
import { startToasts } from "./toasts.js";

startTimes();
startControls();
startToasts();
startKeys();
startSelect();
startCommands();
if (document.body.dataset.project) startFresh(document.body.dataset.project);
