// Renews the list, follows the progress of a request, and adds keys. Nothing needs it: every page works without.
"use strict";

const list = document.getElementById("list");
const progress = document.getElementById("progress");

async function renew(part) {
  if (document.hidden) return false;
  try {
    const answer = await fetch(part.dataset.refresh, { credentials: "same-origin" });
    if (!answer.ok) return false;
    const text = await answer.text();
    if (text === part.dataset.shown) return false;
    const focused = document.activeElement && document.activeElement.getAttribute("href");
    part.innerHTML = text;
    part.dataset.shown = text;
    for (const link of part.querySelectorAll("a")) {
      if (link.getAttribute("href") === focused) link.focus();
    }
    return true;
  } catch {
    // The server is away; the next time may find it again.
    return false;
  }
}

async function renewList() {
  // What somebody has marked or is choosing stays as it is.
  if (list.querySelector("input:checked") || list.querySelector("select:focus, input:focus")) return;
  if (await renew(list)) document.title = document.title.replace(/^\d+/, list.querySelector(".count").textContent);
}

async function follow() {
  await renew(progress);
  if (!progress.querySelector("[data-over]")) setTimeout(follow, 2000);
}

if (list) setInterval(renewList, 2000);
if (progress && !progress.querySelector("[data-over]")) setTimeout(follow, 1000);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("textarea, input, select")) return;
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
