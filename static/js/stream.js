// One event stream per browser and project, whatever the number of tabs: HTTP/1.1 allows six
// connections. The tab that holds the lock listens and tells the others by BroadcastChannel.

const LEASE_MS = 6000;
const RENEW_MS = 2000;
const AGAIN_MS = 5000;

/** Calls `heard(topics)` for each message and `changed(isUp)` when the stream comes or goes. */
export function listen(project, heard, changed) {
  const channel = new BroadcastChannel(`queuedeck-live-${project}`);
  const tell = (message) => { receive(message); channel.postMessage(message); };
  const receive = (message) => {
    if (message.topics) heard(message.topics);
    else if (message.up !== undefined) changed(message.up);
    else if (message.asks && leading) channel.postMessage({ up: leading.up });
  };
  let leading = null;
  channel.onmessage = (event) => receive(event.data);
  channel.postMessage({ asks: true });
  const lead = () => { leading = open(project, tell); return leading; };
  if (navigator.locks) {
    navigator.locks.request(`queuedeck-live-${project}`, () => new Promise(() => lead()));
  } else {
    takeLease(`queuedeck-live-${project}`, lead);
  }
  addEventListener("pagehide", () => leading?.close());
}

function open(project, tell) {
  const state = { up: false, close: () => source?.close() };
  let source = null;
  const connect = () => {
    source = new EventSource(`/live?project=${encodeURIComponent(project)}`);
    source.onopen = () => { state.up = true; tell({ up: true }); };
    source.addEventListener("topics", (event) => tell({ topics: JSON.parse(event.data) }));
    source.onerror = () => {
      state.up = false;
      tell({ up: false });
      // The browser tries again by itself, but not after an answer such as 401 or 503.
      if (source.readyState === EventSource.CLOSED) setTimeout(connect, AGAIN_MS * (1 + Math.random()));
    };
  };
  connect();
  return state;
}

/** Without secure context there are no Web Locks: a lease in the storage does. */
function takeLease(name, lead) {
  const me = String(Math.random());
  let leading = false;
  const beat = () => {
    const [owner, until] = (localStorage.getItem(name) ?? " 0").split(" ");
    if (owner !== me && Date.now() < Number(until)) return;
    localStorage.setItem(name, `${me} ${Date.now() + LEASE_MS}`);
    if (owner === me && !leading) { leading = true; lead(); }
  };
  beat();
  setInterval(beat, RENEW_MS);
  addEventListener("pagehide", () => leading && localStorage.removeItem(name));
}
