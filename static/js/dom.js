// Two small helpers, and the icon that the server's macro would make.

/** Listen on the document for events of elements that match, now and later. */
export function on(type, selector, listener) {
  document.addEventListener(type, (event) => {
    const element = event.target.closest?.(selector);
    if (element) listener(element, event);
  });
}

export function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const use = document.createElementNS(space, "use");
  svg.setAttribute("class", "i");
  svg.setAttribute("aria-hidden", "true");
  use.setAttribute("href", `${document.body.dataset.sprite}#${name}`);
  svg.append(use);
  return svg;
}

/** This page's address with another task beside the list, or with none. */
export function addressWith(key) {
  const parts = location.search.slice(1).split("&").filter((part) => part && !part.startsWith("peek="));
  if (key) parts.push(`peek=${key}`);
  return location.pathname + (parts.length ? `?${parts.join("&")}` : "");
}
