
"use strict";
// Puts new numbers in the place of old ones, but not where somebody is with the keyboard or has selected text.
setInterval(async () => {
  if (!("live" in document.body.dataset) || document.hidden) return;
  try {
    // Not relative: the page's own address may hold the sign-in, which fetch does not take.
    const answer = await fetch(location.origin + location.pathname + "?quiet", { headers: { accept: "text/html" } });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-part]")) {
      const anew = page.getElementById(part.id), chosen = getSelection();
      const busy = part.contains(document.activeElement) || (!chosen.isCollapsed && chosen.containsNode(part, true));
      if (anew && !busy && anew.innerHTML !== part.innerHTML) part.replaceChildren(...anew.childNodes);
    }
  } catch {
    // The server is away for a moment; the next time will tell.
  }
}, 5000);
