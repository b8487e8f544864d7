// Renews the list and adds keys. Nothing needs it: every page works without.
"use strict";

const list = document.getElementById("list");

async function renew() {
  if (document.hidden) return;
  try {
    const answer = await fetch(list.dataset.refresh, { credentials: "same-origin" });
    if (!answer.ok) return;
    const rows = await answer.text();
    if (rows === list.dataset.shown) return;
    const focused = document.activeElement && document.activeElement.getAttribute("href");
    list.innerHTML = rows;
    list.dataset.shown = rows;
    for (const link of list.querySelectorAll("a")) {
      if (link.getAttribute("href") === focused) link.focus();
    }
    document.title = document.title.replace(/^\d+/, list.querySelector(".count").textContent);
  } catch {
    // The server is away; the next time may find it again.
  }
}

if (list) setInterval(renew, 2000);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("textarea, input")) return;
  const links = [...document.querySelectorAll("a.row")];
  if (links.length && (event.key === "j" || event.key === "k")) {
    const at = links.indexOf(document.activeElement);
    const next = event.key === "j" ? Math.min(at + 1, links.length - 1) : Math.max(at - 1, 0);
    links[next].focus();
    event.preventDefault();
  }
  const button = { a: "approve", d: "deny", r: "revoke" }[event.key];
  const target = event.key === "c" ? document.getElementById("comment")
    : button && document.querySelector(`button.${button}`);
  if (target) {
    target.focus();
    event.preventDefault();
  }
});
