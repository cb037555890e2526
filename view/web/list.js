// The list of updates: pages of it, a search, and the payload of each.

import { ask } from "./api.js";
import { contents, contentOf, number, size, time, plural, bytesOf, textOf, visible, indented, dump, oneLine, filesOf, moment, element } from "./format.js";
import { zoomTo } from "./map.js";

const $ = (id) => document.getElementById(id);
const pageSize = 50;
const maxStretch = 4 << 20; // bytes that are looked through for a page, unless nothing is in them
let summary = null;
let next = null; // where the page after this one begins
let before = []; // how the pages before this one were asked for
let shown = null; // how this page was asked for
let searching = null;
let format = "auto";
let atEnd = false; // the last page is shown
let late = false; // it is not the newest, because it has opened rows that this has not

export function startList(s) {
  summary = s;
  if (!s.store) {
    $("list-title").textContent = "Entries";
    $("goto").placeholder = "Offset";
    $("goto").ariaLabel = "Go to an offset in the file";
  }
  $("list-form").addEventListener("submit", (e) => { e.preventDefault(); document.activeElement === $("goto") ? goto() : submit(); });
  $("search").addEventListener("search", () => { if (!$("search").value) submit(); });
  $("format").addEventListener("change", () => { format = $("format").value; if (shown) load(shown); });
  $("first").addEventListener("click", first);
  $("last").addEventListener("click", () => last());
  $("newer").addEventListener("click", () => { atEnd = false; if (next) { before.push(shown); load(next); } });
  $("older").addEventListener("click", older);
  if (s.store) last();
  else first(); // where the last entries begin is known when the file was read
}

// updateList keeps the last page up to date, for as long as it is shown. What is opened in it
// stays so: if that would leave the page, the page waits until it is closed.
export function updateList(s) {
  const news = s.last !== summary.last || s.whole !== summary.whole || s.updates !== summary.updates || filesOf(s) !== filesOf(summary);
  summary = s;
  if ((news || late) && atEnd && !$("search").value) last(true);
}

export function showUpdate(index) {
  before = [];
  atEnd = false;
  load({ index });
  $("list-card").scrollIntoView({ block: "start" });
}

function first() { before = []; atEnd = false; load(summary.store ? { index: summary.first || 0 } : { file: summary.files[0].name, offset: 0 }); }

function last(keep) {
  before = [];
  atEnd = true;
  if (!summary.store) return load({ before: summary.files[0].size }, keep);
  load({ index: Math.max(summary.first || 0, summary.last - pageSize + 1) }, keep);
}

function older() {
  atEnd = false;
  if (before.length) return load(before.pop());
  const at = Number($("list").tBodies[0].dataset.first);
  if (!summary.store) load({ before: at });
  else if (at > 1) load({ index: Math.max(summary.first || 1, at - pageSize) });
}

function goto() {
  const text = $("goto").value.trim();
  if (!text) return;
  before = [];
  atEnd = false;
  const plain = text.replace(/^@/, "").replace(/,(?=\d{3})/g, ""); // as the page shows it
  const isNumber = /^\d+$/.test(plain);
  if (!summary.store) {
    if (isNumber) return load({ file: summary.files[0].name, offset: Number(plain), over: 1 });
    $("list-says").textContent = `${text} is no offset`;
    return;
  }
  if (isNumber) return load({ index: Number(plain) });
  const t = moment(text);
  if (Number.isNaN(t)) { $("list-says").textContent = `${text} is neither an index nor a time like 2006-01-02 15:04`; return; }
  load({ at: t });
}

// load shows a page: from an index, a time or an offset on, or the one before an offset.
async function load(how, keep) {
  searching?.abort();
  searching = new AbortController();
  const { signal } = searching;
  try {
    const page = how.before === undefined ? await pageFrom(how, pageSize, signal) : await pageBefore(how.before, signal);
    const keys = new Set(page.rows.map(keyOf));
    late = Boolean(keep) && opened().some((tr) => !keys.has(tr.dataset.key));
    if (late) return;
    shown = how;
    next = page.next || null;
    showRows($("list").tBodies[0], page.rows, { keep });
    const first = summary.store ? page.rows.find((r) => r.index)?.index : page.rows[0]?.offset;
    $("list").tBodies[0].dataset.first = first || 0;
    $("list-says").textContent = page.rows.length ? "" : "Nothing is there.";
    $("newer").disabled = !next;
    $("older").disabled = !before.length && !(first > (summary.store ? Math.max(1, summary.first || 1) : 0));
  } catch (e) {
    if (e.name !== "AbortError") $("list-says").textContent = e.message;
  }
}

// pageFrom asks for entries from a place on.
async function pageFrom(how, limit, signal) {
  const options = { ...(summary.store ? {} : { one: 1 }), limit };
  let page = await ask("entries", { ...how, ...options }, signal);
  while (!page.rows.length && page.next) { // it is in a part of a file that was not read yet
    $("list-says").textContent = `Reading ${page.next.file}, at ${size(page.next.offset)}…`;
    page = await ask("entries", { ...how, ...page.next, ...options }, signal);
  }
  return page;
}

// pageBefore asks for the last entries of a state file before an offset: those in a stretch
// before it, or in a longer one while they are few.
async function pageBefore(end, signal) {
  const file = summary.files[0].name;
  for (let length = 32768; ; length *= 4) {
    const rows = [], from = Math.max(0, end - length);
    for (let at = { file, offset: from, over: 1 }; at && at.offset < end;) {
      const page = await pageFrom(at, 500, signal);
      rows.push(...page.rows.filter((r) => r.offset < end));
      at = page.next;
    }
    if (rows.length < pageSize && from && (length < maxStretch || !rows.length)) continue;
    return { rows: rows.slice(-pageSize), next: end < summary.files[0].size ? { file, offset: end } : null };
  }
}

// submit searches all updates, request after request, until there are enough hits.
async function submit() {
  const q = $("search").value;
  if (!q) return last();
  searching?.abort();
  searching = new AbortController();
  const { signal } = searching;
  const body = $("list").tBodies[0];
  body.replaceChildren();
  $("newer").disabled = $("older").disabled = true;
  let from = summary.store ? { index: summary.first || 0 } : { file: summary.files[0].name, offset: 0, one: 1 };
  let hits = 0, read = 0;
  try {
    while (from && hits < 200) {
      $("list-says").textContent = `Searching… ${plural(hits, "hit")} in ${size(read)}`;
      const page = await ask("search", { q, ...from }, signal);
      hits += page.rows.length;
      read += page.read;
      showRows(body, page.rows, { add: true, mark: q });
      from = page.next && { ...page.next, ...(summary.store ? {} : { one: 1 }) };
    }
    $("list-says").textContent = `${plural(hits, "hit")} in ${size(read)} of payload${from ? "; there may be more: search for something longer" : ""}`;
  } catch (e) {
    if (e.name !== "AbortError") $("list-says").textContent = e.message;
  }
}

// keyOf tells a row from all others.
function keyOf(r) { return `${r.file} ${r.offset} ${r.end} ${r.nth || 0} ${r.content}`; }

// opened returns the rows whose payload is shown.
function opened() { return [...document.querySelectorAll('#list tr[aria-expanded="true"]')]; }

// showRows puts rows into the body of a table.
export function showRows(body, rows, options) {
  if (options.keep) return replaceRows(body, rows, options);
  const all = rows.map((r) => rowElement(r, options));
  if (options.add) body.append(...all);
  else body.replaceChildren(...all);
}

// replaceRows is showRows that leaves the rows which are there in their place, opened or
// not: the focus, what is selected, and how far a payload is scrolled stay as they are.
function replaceRows(body, rows, options) {
  const keys = new Set(rows.map(keyOf)), there = new Map();
  for (const tr of [...body.querySelectorAll("tr.item")]) {
    const payload = tr.nextElementSibling?.classList.contains("open") ? [tr.nextElementSibling] : [];
    if (keys.has(tr.dataset.key)) there.set(tr.dataset.key, [tr, ...payload]);
    else [tr, ...payload].forEach((e) => e.remove());
  }
  let at = body.firstElementChild;
  for (const e of rows.flatMap((r) => there.get(keyOf(r)) || [rowElement(r, options)])) {
    if (e === at) at = at.nextElementSibling;
    else body.insertBefore(e, at);
  }
}

function rowElement(r, options) {
  const kind = contentOf[r.content];
  const bytes = bytesOf(r.prefix);
  const what = { update: r.state ? "whole state" : "update", state: "state" }[r.content] || contents[kind];
  const pay = element("td", { class: "pay" });
  if (r.reason) pay.textContent = visible(r.reason) + lost(r);
  else highlight(pay, oneLine(bytes, r.size > bytes.length, format), options.mark);
  const tr = element("tr", { class: `item ${r.content}${r.begins ? " commit" : ""}`, tabindex: "0", "aria-expanded": "false" },
    element("td", { class: "num" }, r.index && r.content === "update" ? number(r.index) : options.offsets || !r.index ? `@${number(r.offset)}` : ""),
    element("td", {}, time(r.time)),
    element("td", {}, element("span", { class: "tag" }, element("span", { class: `swatch c${kind}` }), what)),
    element("td", { class: "num" }, number(r.content === "update" || r.content === "state" ? r.size : r.end - r.offset)),
    pay);
  tr.dataset.key = keyOf(r);
  const toggle = () => open(tr, r);
  tr.addEventListener("click", () => { if (!String(getSelection())) toggle(); });
  tr.addEventListener("keydown", (e) => { if (e.target === tr && (e.key === "Enter" || e.key === " ")) { e.preventDefault(); toggle(); } });
  return tr;
}

export function lost(r) {
  if (!r.lostFirst) return "";
  if (!r.lostLast) return `; updates from ${number(r.lostFirst)} on are lost`;
  return r.lostFirst === r.lostLast ? `; update ${number(r.lostFirst)} is lost` : `; updates ${number(r.lostFirst)} to ${number(r.lostLast)} are lost`;
}

function highlight(td, text, mark) {
  const at = mark ? text.toLowerCase().indexOf(mark.toLowerCase()) : -1;
  if (at < 0) { td.textContent = text; return; }
  const from = Math.max(0, at - 40);
  td.append((from ? "…" : "") + text.slice(from, at), element("mark", {}, text.slice(at, at + mark.length)), text.slice(at + mark.length));
}

// open shows the payload of a row below it, or hides it.
async function open(tr, r) {
  if (tr.getAttribute("aria-expanded") === "true") {
    tr.setAttribute("aria-expanded", "false");
    tr.nextElementSibling.remove();
    return;
  }
  tr.setAttribute("aria-expanded", "true");
  const pre = element("pre", { class: "text", tabindex: "0", "aria-label": "Payload" });
  const tabs = element("span", { class: "tabs" });
  const where = element("span", { class: "dim" }, ` ${r.file}, offset ${number(r.offset)} to ${number(r.end)} `);
  const start = r.offset - (r.offset % 32768);
  const onMap = element("button", { type: "button", class: "link", onclick: () => { zoomTo({ file: r.file, from: start, to: start + 32768 }); $("map-card").scrollIntoView(); } }, "show on the map");
  const cell = element("td", { colspan: "5" }, tabs, where, onMap, pre);
  tr.after(element("tr", { class: "open" }, cell));
  try {
    if (r.content === "update" || r.content === "state") await payload(r, tabs, pre);
    else await raw(r, pre);
  } catch (e) {
    pre.textContent = e.message;
  }
}

async function raw(r, pre) {
  const block = await ask("block", { file: r.file, offset: r.offset });
  const bytes = bytesOf(block.data).subarray(r.offset - block.offset, Math.min(32768, r.end - block.offset));
  pre.textContent = dump(bytes.subarray(0, 4096), r.offset) + (r.end - r.offset > 4096 ? "\n…" : "");
}

async function payload(r, tabs, pre) {
  const p = await ask("payload", { file: r.file, offset: r.offset, nth: r.nth || 0 });
  const bytes = bytesOf(p.data), cut = p.size > bytes.length;
  const text = textOf(bytes, cut);
  const forms = { hex: () => dump(bytes, 0) };
  if (text !== null) forms.text = () => visible(text);
  try { if (text !== null && !cut) { const json = indented(text); forms.JSON = () => visible(json); } } catch { /* not JSON */ }
  const show = (name) => {
    pre.textContent = forms[name]() + (cut ? `\n… ${size(p.size - bytes.length)} more` : "");
    [...tabs.children].forEach((b) => b.setAttribute("aria-pressed", String(b.textContent === name)));
  };
  tabs.replaceChildren(...Object.keys(forms).reverse().map((name) => element("button", { type: "button", onclick: () => show(name) }, name)));
  show(format === "hex" ? "hex" : forms.JSON && format === "auto" ? "JSON" : forms.text ? "text" : "hex");
}
