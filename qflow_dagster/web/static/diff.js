// Shows more lines around a change in place. Nothing needs it: the links lead to the page with these lines.
"use strict";

document.addEventListener("click", async (event) => {
  const link = event.target.closest("a.expand");
  if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  try {
    const response = await fetch(link.href, { credentials: "same-origin", headers: { Accept: "text/html" } });
    const read = new DOMParser().parseFromString(await response.text(), "text/html");
    const here = link.closest("details.file").id;
    const number = [...document.querySelectorAll(`#${here} a.expand`)].indexOf(link);
    // The links of all files name all lines that are shown.
    for (const part of document.querySelectorAll("details.file[id]")) {
      const renewed = read.getElementById(part.id);
      renewed.open = part.open;
      part.replaceWith(renewed);
    }
    history.replaceState(null, "", link.href);
    const links = document.querySelectorAll(`#${here} a.expand`);
    (links[Math.min(number, links.length - 1)] || document.querySelector(`#${here} summary`)).focus();
  } catch {
    location.assign(link.href);
  }
});
