
"use strict";
(() => {
const page = document.body, words = JSON.parse(page.dataset.words), writable = "writable" in page.dataset;
const $ = id => document.getElementById(id);
const say = (text, ...more) => $("said").replaceChildren(text, ...more);
const tell = (text, name) => text.replace("{}", name);
// The address of the folder itself: without sign-in, query and fragment, and with a slash at its end.
const here = new URL(page.dataset.base || "./", location.origin + location.pathname);
const at = name => new URL(encodeURIComponent(name), here);
const make = (tag, properties, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const button = (text, act) => make("button", { type: "button", textContent: text, onclick: act });
const link = row => new URL(row.querySelector("a").getAttribute("href"), location.origin + location.pathname);
// From the address: what is shown has no control characters.
const name = row => decodeURIComponent(link(row).pathname.replace(/\/$/, "").replace(/.*\//, ""));
// Where 123pan's small picture does not come, the icon does.
page.addEventListener("error", event => event.target.tagName === "IMG" && event.target.remove(), true);
const rows = () => [...document.querySelectorAll("#rows tbody tr")].filter(row => row.className && row.className !== "u");

const dialog = (title, ...inside) => {
  const heading = make("h2", { id: "title" }, make("bdi", { textContent: title }));
  const box = make("dialog", {}, heading, ...inside);
  box.setAttribute("aria-labelledby", "title");
  box.addEventListener("close", () => box.remove());
  box.addEventListener("click", event => event.target === box && box.close());
  page.append(box);
  box.showModal();
  return box;
};
const closer = () => make("p", { className: "end" }, button(words.close, event => event.target.closest("dialog").close()));

const copy = async url => {
  try {
    await navigator.clipboard.writeText(url);
    say(words.copied);
  } catch {
    // Without TLS there is no clipboard for pages.
    const field = make("textarea", { value: url });
    page.append(field);
    field.select();
    const done = document.execCommand("copy");
    field.remove();
    done ? say(words.copied) : say(words.not_copied + " " + url);
  }
};

// Subtitles are files of the film's name, or that begin with it and a dot.
const tracks = film => {
  const stem = name(film).replace(/\.[^.]*$/, "");
  return rows().filter(row => row.className === "s" && name(row).startsWith(stem + ".")).map((row, n) => {
    const url = link(row);
    url.search = "?as=vtt";
    const label = name(row).slice(stem.length + 1).replace(/\.?[^.]*$/, "");
    return make("track", { kind: "subtitles", src: url, label: label || words.subtitles, default: n === 0 });
  });
};
const play = row => {
  const film = row.className === "v";
  const player = make(film ? "video" : "audio", { controls: true, autoplay: true, src: link(row) }, ...(film ? tracks(row) : []));
  player.setAttribute("playsinline", "");
  const sorry = make("p", { hidden: true, textContent: words.unplayable });
  sorry.setAttribute("role", "alert");
  player.addEventListener("error", () => { sorry.hidden = false; });
  const box = dialog(name(row), player, sorry, closer());
  box.addEventListener("close", () => { player.removeAttribute("src"); player.load(); });
  player.focus();
};

const fine = name => name && name !== "." && name !== ".." && !name.includes("/");
const asked = (question, before) => {
  const answer = prompt(question, before);
  if (answer === null || answer === before) return null;
  if (fine(answer)) return answer;
  say(words.bad_name);
  return null;
};
const change = async (method, url, headers) => {
  try {
    const answer = await fetch(url, { method, headers });
    if (answer.ok) return location.reload();
    say(await answer.text() || words.failed);
  } catch {
    say(words.no_connection);
  }
};
const rename = row => {
  const to = asked(tell(words.rename_to, name(row)), name(row));
  const slash = row.className === "d" ? "/" : "";
  if (to) change("MOVE", link(row), { Destination: at(to).pathname + slash, Overwrite: "F" });
};
const remove = row => confirm(tell(words.delete_sure, name(row))) && change("DELETE", link(row), {});

const menu = row => {
  const entry = (text, act) => button(text, event => { event.target.closest("dialog").close(); act(row); });
  const list = make("div", { className: "list" }, entry(words.copy, () => copy(link(row).href)));
  if (writable) list.append(entry(words.rename, rename), entry(words.delete, remove));
  dialog(name(row), list, closer());
};

// Uploads go one after the other.
const waiting = [];
let running = false, failures = 0;
const send = (item, replace) => new Promise(resolve => {
  const request = item.request = new XMLHttpRequest(), { file, bar, note } = item;
  request.open("PUT", at(file.name));
  if (!replace) request.setRequestHeader("If-None-Match", "*");
  request.setRequestHeader("X-OC-Mtime", Math.floor(file.lastModified / 1000));
  request.upload.onprogress = event => {
    bar.value = event.total ? event.loaded / event.total : 1;
    note.textContent = tell(words.sending, Math.floor(bar.value * 100) + " %");
  };
  request.upload.onload = () => { bar.removeAttribute("value"); note.textContent = words.storing; };
  request.onload = () => resolve(request.status < 300 ? "" : request.status === 412 ? "there" : request.responseText || words.failed);
  request.onerror = () => resolve(words.no_connection);
  request.onabort = () => resolve(words.cancelled);
  request.send(file);
});
const work = async () => {
  if (running) return;
  running = true;
  for (let item; (item = waiting.shift());) {
    if (item.cancelled) continue;
    const there = rows().some(row => name(row) === item.file.name);
    const over = () => confirm(tell(words.replace, item.file.name));
    let failure = there && !over() ? words.cancelled : await send(item, there);
    if (failure === "there") failure = over() ? await send(item, true) : words.cancelled;
    item.bar.value = failure ? 0 : 1;
    item.note.textContent = failure || words.done;
    item.line.className = failure ? "bad" : "";
    item.stop.remove();
    if (failure) failures++;
  }
  running = false;
  if (!failures) return location.reload();
  say(words.some_failed);
};
const upload = files => {
  for (const file of files) {
    const item = { file, bar: make("progress", { max: 1, value: 0 }), note: make("small", { textContent: words.waits }) };
    item.bar.setAttribute("aria-label", file.name);
    item.stop = button(words.cancel, () => {
      item.cancelled = true;
      item.request?.abort();
      item.note.textContent = words.cancelled;
      item.stop.remove();
      failures += !item.request;
    });
    item.stop.setAttribute("aria-label", words.cancel + ": " + file.name);
    item.line = make("li", {}, make("bdi", { textContent: file.name }), item.bar, item.note, item.stop);
    $("uploads").append(item.line);
    waiting.push(item);
  }
  $("uploads").hidden = !$("uploads").children.length;
  work();
};

$("tools").hidden = false;
$("copy").onclick = () => copy(here.href);
if (writable) {
  $("pick").onclick = () => $("files").click();
  $("files").onchange = () => { upload($("files").files); $("files").value = ""; };
  $("make").onclick = () => {
    const folder = asked(words.folder_name, "");
    if (folder) change("MKCOL", at(folder).href + "/", {});
  };
  const carries = event => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", event => {
    if (!carries(event)) return;
    event.preventDefault();
    $("drop").hidden = false;
  });
  addEventListener("dragleave", event => { if (!event.relatedTarget) $("drop").hidden = true; });
  addEventListener("drop", event => {
    if (!carries(event)) return;
    event.preventDefault();
    $("drop").hidden = true;
    const items = [...event.dataTransfer.items].filter(item => item.kind === "file");
    const folders = items.filter(item => item.webkitGetAsEntry?.()?.isDirectory);
    if (folders.length) say(words.no_folders);
    upload(items.filter(item => !folders.includes(item)).map(item => item.getAsFile()));
  });
  addEventListener("beforeunload", event => { if (running) event.preventDefault(); });
}

// Rows that stand when the page is whole get what only the script can do.
addEventListener("DOMContentLoaded", () => {
  document.querySelector("#rows thead tr").append(Object.assign(make("th", { textContent: words.actions }), { scope: "col" }));
  // A narrow window lays rows out as lines, which must not make them less of a table.
  const role = (selector, role) => document.querySelectorAll("#rows " + selector).forEach(part => part.setAttribute("role", role));
  $("rows").setAttribute("role", "table");
  role("thead,tbody", "rowgroup");
  role("tr", "row");
  role("th", "columnheader");
  role("td", "cell");
  for (const row of document.querySelectorAll("#rows tbody tr")) {
    const cell = row.insertCell();
    cell.setAttribute("role", "cell");
    if (!row.className || row.className === "u") continue;
    if ("va".includes(row.className)) {
      const start = button("▶", () => play(row));
      start.setAttribute("aria-label", tell(words.play, name(row)));
      cell.append(start);
    }
    const more = button("⋯", () => menu(row));
    more.setAttribute("aria-label", tell(words.actions_for, name(row)));
    more.setAttribute("aria-haspopup", "dialog");
    cell.append(more);
  }
});
})();
