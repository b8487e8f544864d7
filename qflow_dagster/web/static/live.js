// Reads the page again after an event of the server. Nothing needs it: every page works without.
"use strict";

const live = document.getElementById("live");

async function renew() {
  try {
    const response = await fetch(location.href, { credentials: "same-origin", headers: { Accept: "text/html" } });
    if (!response.ok) return;
    const read = new DOMParser().parseFromString(await response.text(), "text/html").getElementById("live");
    if (!read || read.innerHTML === live.dataset.shown) return;
    const focused = document.activeElement && document.activeElement.getAttribute("href");
    const open = new Set([...live.querySelectorAll("details")].flatMap((part, number) => part.open ? [number] : []));
    live.dataset.shown = read.innerHTML;
    live.replaceChildren(...read.childNodes);
    live.querySelectorAll("details").forEach((part, number) => { part.open = open.has(number); });
    const link = focused && [...live.querySelectorAll("a")].find((item) => item.getAttribute("href") === focused);
    if (link) link.focus();
  } catch {
    // The server is away; the next event finds it again.
  }
}

new EventSource(live.dataset.events).addEventListener("message", renew);
