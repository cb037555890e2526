// The map: every byte of all files as cells, which can be zoomed into down to a record.

import { ask } from "./api.js";
import { contents, contentOf, number, size, plural, bytesOf, dump, element } from "./format.js";
import { showRows } from "./list.js";

const cellSide = 9, pitch = 11, blockSize = 32768, maxListed = 100;
const $ = (id) => document.getElementById(id);
let summary = null;
let place = null; // {file, from, to}: what is zoomed into; null: all files
let drawn = ""; // what was, so that the same is not drawn again
let request = null; // what is being drawn
let kept = null; // of the block that is shown: {key, body, chosen}, the offset of a record
export const known = new Map(); // of the name of a file: its cells

export const colors = () => {
  const style = getComputedStyle(document.documentElement);
  return ["unknown", "header", "update", "state", "end", "free", "hole", "torn", "damage", "stranded"].map((n) => style.getPropertyValue("--" + n).trim());
};

export function startMap() {
  $("legend").replaceChildren(...[2, 3, 1, 4, 5, 7, 8].map((i) => element("li", {}, element("span", { class: `swatch c${i}` }), contents[i])));
  let width = 0;
  new ResizeObserver(() => {
    if (Math.abs($("map").clientWidth - width) > 2) { width = $("map").clientWidth; draw(true); }
  }).observe($("map"));
  addEventListener("hashchange", () => { readHash(); draw(true); });
  readHash();
}

export function updateMap(s) {
  summary = s;
  for (const name of known.keys()) if (!fileOf(name)) known.delete(name); // a page may be open for weeks
  draw(false);
}

export function redrawMap() { draw(true); }

function readHash() {
  const m = /^#map\/([^/]+)\/(\d+)-(\d+)$/.exec(location.hash);
  place = null;
  try {
    if (m) place = { file: decodeURIComponent(m[1]), from: +m[2], to: +m[3] };
  } catch { /* it was cut, as a link may be: all files are shown */ }
}

// zoomTo shows a range of a file, or all files.
export function zoomTo(p) {
  location.hash = p ? `map/${encodeURIComponent(p.file)}/${p.from}-${p.to}` : "map-card";
}

// stateOf returns what is another when the cells of a file may be others: it has grown, more
// of it was read, or all of it anew.
const stateOf = (f) => [f.begun, f.size, f.done, f.whole, f.updates, f.damages];

function fileOf(name) { return summary?.files.find((f) => f.name === name); }

// zoomIn shows a part of what is shown, around an offset of a file.
function zoomIn(file, offset, from, to) {
  if (!fileOf(file)) return; // it is gone, and the map is about to show that
  const range = to - from, next = range / 16;
  if (next <= blockSize) {
    const start = offset - (offset % blockSize);
    zoomTo({ file, from: start, to: Math.min(start + blockSize, fileOf(file).size) });
    return;
  }
  const start = Math.max(from, Math.min(Math.floor(offset - next / 2), Math.floor(to - next)));
  zoomTo({ file, from: start, to: Math.ceil(start + next) });
}

function zoomOut() {
  if (!place) return;
  const f = fileOf(place.file);
  const range = (place.to - place.from) * 16;
  if (!f || place.from === 0 && place.to >= f.size) return zoomTo(null);
  if (range >= f.size) return zoomTo({ file: f.name, from: 0, to: f.size });
  const from = Math.max(0, Math.min(Math.floor((place.from + place.to - range) / 2), f.size - range));
  zoomTo({ file: f.name, from, to: from + range });
}

async function draw(force) {
  if (!summary || !$("map").clientWidth) return;
  const key = JSON.stringify([place, $("map").clientWidth, summary.files.map((f) => [f.name, stateOf(f)])]);
  if (!force && (key === drawn || request)) return; // what is being drawn looks for news at its end
  drawn = key;
  request?.abort();
  const mine = request = new AbortController();
  try {
    if (place && !fileOf(place.file)) place = null; // the store has dropped it
    crumbs();
    if (!place) await drawAll(request.signal);
    else if (place.to - place.from <= blockSize) await drawBlock(request.signal);
    else await drawRange(request.signal);
  } catch (e) {
    if (e.name !== "AbortError") { drawn = ""; $("cell-says").textContent = String(e.message); }
  }
  if (request !== mine) return;
  request = null;
  if (drawn) draw(false); // after an error, the next summary is soon enough
}

function crumbs() {
  const nav = $("crumbs");
  const link = (text, go) => element("button", { type: "button", class: "link", onclick: go }, text);
  if (!place) { nav.replaceChildren(); return; }
  const f = fileOf(place.file);
  const parts = [link(summary.store ? "all files" : "the file", () => zoomTo(null)), " › ", link(place.file, () => zoomTo({ file: place.file, from: 0, to: f.size }))];
  if (place.from > 0 || place.to < f.size) parts.push(" › ", `${size(place.from)} to ${size(place.to)}`);
  parts.push(" ", link("zoom out", zoomOut));
  nav.replaceChildren(...parts);
}

function title(f) {
  const parts = [element("b", {}, f.name)];
  if (f.kind === "log") parts.push(f.updates ? `updates ${number(f.base + 1)} to ${number(f.last)}` : "no updates yet");
  else if (f.kind === "snapshot") parts.push(`state after update ${number(f.base)}`);
  else parts.push(plural(f.updates, "update") + ", " + plural(f.states, "snapshot"));
  parts.push(size(f.size));
  if (!f.whole) parts.push(`read: ${Math.floor((100 * f.done) / Math.max(1, f.size))} %`);
  if (f.damages) parts.push(element("span", { class: "hurt" }, plural(f.damages, "damaged range")));
  if (f.error) parts.push(element("span", { class: "hurt" }, f.error));
  return element("h3", {}, ...parts.map((p) => (typeof p === "string" ? element("span", {}, p) : p)));
}

// drawAll draws all files, each with as many cells as its size is worth.
async function drawAll(signal) {
  const cols = Math.max(8, Math.floor(($("map").clientWidth + 2) / pitch));
  const total = summary.files.reduce((n, f) => n + f.size, 0) || 1;
  const budget = cols * (innerWidth < 640 ? 26 : 18);
  const wanted = summary.files.map((f) => Math.min(4096, Math.max(Math.min(cols, Math.ceil(f.size / 64)), Math.round((budget * f.size) / total / cols) * cols), Math.max(1, Math.ceil(f.size / 16))));
  const answers = await Promise.all(summary.files.map((f, i) => (f.size ? cellsOf(f, wanted[i], signal) : null)));
  const children = summary.files.map((f, i) => element("div", { class: "file" }, title(f), answers[i] && grid(answers[i], cols)));
  keepFocus(() => $("map").replaceChildren(...children));
  $("map-detail").replaceChildren();
  kept = null;
}

// cellsOf asks for the cells of a file, unless they are known and it has not changed.
async function cellsOf(f, n, signal) {
  const key = JSON.stringify([stateOf(f), n]);
  if (known.get(f.name)?.key !== key) known.set(f.name, { key, answer: await ask("cells", { file: f.name, n }, signal) });
  return known.get(f.name).answer;
}

async function drawRange(signal) {
  const f = fileOf(place.file);
  const cols = Math.max(8, Math.floor(($("map").clientWidth + 2) / pitch));
  const n = Math.min(4096, cols * (innerWidth < 640 ? 30 : 16));
  const [answer, rows] = await Promise.all([
    ask("cells", { file: f.name, from: place.from, to: place.to, n }, signal),
    ask("entries", { file: f.name, offset: place.from, one: 1, limit: 12 }, signal)]);
  keepFocus(() => $("map").replaceChildren(element("div", { class: "file" }, title(f), grid(answer, cols))));
  detail(rows);
}

function detail(rows) {
  kept = null;
  const body = element("tbody");
  $("map-detail").replaceChildren(element("div", { class: "scroll" }, element("table", {}, body)));
  showRows(body, rows.rows, { offsets: true });
}

function keepFocus(change) {
  const label = document.activeElement?.dataset?.file;
  change();
  if (label) [...document.querySelectorAll("canvas.cells")].find((c) => c.dataset.file === label)?.focus({ preventScroll: true });
}

// grid returns a canvas of the cells of an answer.
function grid(a, cols) {
  const rows = Math.ceil(a.kinds.length / cols);
  const canvas = element("canvas", { class: "cells", tabindex: "0", role: "application", "data-file": a.file, "aria-label": `Map of ${a.file}: ${summaryOf(a)}. Arrows move, Enter zooms in, Escape zooms out.` });
  let cursor = -1;
  const paint = () => {
    const scale = devicePixelRatio || 1, palette = colors();
    canvas.width = Math.round((cols * pitch - 2) * scale);
    canvas.height = Math.round((rows * pitch - 2) * scale);
    canvas.style.width = `${cols * pitch - 2}px`;
    canvas.style.height = `${rows * pitch - 2}px`;
    const c = canvas.getContext("2d");
    c.scale(scale, scale);
    a.kinds.forEach((kind, i) => {
      const x = (i % cols) * pitch, y = Math.floor(i / cols) * pitch;
      c.fillStyle = palette[kind];
      c.globalAlpha = kind === 2 ? age(a, i) : 1;
      c.beginPath();
      c.roundRect(x, y, cellSide, cellSide, 2);
      c.fill();
      c.globalAlpha = 1;
      if (i === cursor) {
        c.lineWidth = 2;
        c.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--ink");
        c.strokeRect(x + 0.5, y + 0.5, cellSide - 1, cellSide - 1);
      }
    });
  };
  const at = (e) => {
    const box = canvas.getBoundingClientRect();
    const col = Math.floor((e.clientX - box.left) / pitch), row = Math.floor((e.clientY - box.top) / pitch);
    const i = row * cols + col;
    return col >= 0 && col < cols && row >= 0 && i < a.kinds.length ? i : -1;
  };
  const go = (i) => { if (i >= 0) zoomIn(a.file, a.from + i * a.size, a.from, a.to); };
  const move = (i) => { cursor = Math.max(0, Math.min(a.kinds.length - 1, i)); paint(); $("cell-says").textContent = says(a, cursor); };
  canvas.addEventListener("pointermove", (e) => { const i = at(e); tip(e, i < 0 ? "" : says(a, i)); });
  canvas.addEventListener("pointerleave", (e) => tip(e, ""));
  canvas.addEventListener("click", (e) => { tip(e, ""); go(at(e)); });
  canvas.addEventListener("focus", () => { if (cursor < 0 && canvas.matches(":focus-visible")) move(0); });
  canvas.addEventListener("keydown", (e) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: cols, ArrowUp: -cols, Home: -Infinity, End: Infinity }[e.key];
    if (step !== undefined) move(cursor + step);
    else if (e.key === "Enter") go(Math.max(0, cursor));
    else if (e.key === "Escape" || e.key === "Backspace") zoomOut();
    else return;
    e.preventDefault();
  });
  canvas.cellsAnswer = a;
  paint();
  return canvas;
}

// age returns how strong the colour of a cell of updates is: older ones are paler.
function age(a, i) {
  const first = summary.first || 1, all = summary.last - first;
  if (!a.indexes[i] || all <= 0) return 1;
  return 0.5 + 0.5 * Math.max(0, Math.min(1, (a.indexes[i] - first) / all));
}

function summaryOf(a) {
  const counts = new Map();
  a.kinds.forEach((k) => counts.set(k, (counts.get(k) || 0) + 1));
  return [...counts].sort((x, y) => y[1] - x[1]).map(([k, n]) => `${contents[k]} ${Math.round((100 * n) / a.kinds.length)} %`).join(", ");
}

function says(a, i) {
  const from = a.from + i * a.size, to = Math.min(a.to, from + a.size);
  let text = `${contents[a.kinds[i]]}, offset ${number(from)}, ${size(to - from)}`;
  if (a.kinds[i] === 2 && a.indexes[i]) text += `, about update ${number(a.indexes[i])}`;
  return text;
}

function tip(e, text) {
  const t = $("tip");
  t.hidden = !text || e.pointerType === "touch";
  if (t.hidden) return;
  t.textContent = text;
  t.style.left = `${Math.min(e.clientX + 14, innerWidth - t.offsetWidth - 8)}px`;
  t.style.top = `${e.clientY + 18 + t.offsetHeight > innerHeight ? e.clientY - t.offsetHeight - 10 : e.clientY + 18}px`;
}

// drawBlock draws the records of one block, each as wide as it is long.
async function drawBlock(signal) {
  const f = fileOf(place.file);
  const start = place.from - (place.from % blockSize);
  const [block, all] = await Promise.all([
    ask("block", { file: f.name, offset: start }, signal),
    rowsOf(f.name, start, start + blockSize, signal)]);
  const bytes = bytesOf(block.data);
  const here = all.rows.filter((r) => r.offset < start + bytes.length);
  const records = (block.records || []).flatMap((r) => pieces(r, here, start, start + bytes.length))
    .map((r) => ({ ...r, kind: kindOf(r, all.whole) }));
  const pre = element("pre", { class: "text", tabindex: "0", "aria-label": "Bytes" });
  const key = JSON.stringify([f.name, start]);
  if (kept?.key !== key) {
    kept = { key, body: element("tbody"), more: element("p", { class: "dim" }) };
    $("map-detail").replaceChildren(element("div", { class: "scroll" }, element("table", {}, kept.body)), kept.more);
  }
  const canvas = bars(start, bytes.length, records, kept.chosen, (r) => {
    kept.chosen = r.offset;
    $("cell-says").textContent = `${r.type ? `${r.type} record` : r.reason}, offset ${number(r.offset)} to ${number(r.end)}, ${size(r.end - r.offset)}: ${contents[r.kind]}${r.row?.index ? ` ${number(r.row.index)}` : ""}`;
    const shown = bytes.subarray(r.offset - start, Math.min(r.end - start, r.offset - start + 4096));
    pre.textContent = dump(shown, r.offset) + (r.end - r.offset > shown.length ? "\n…" : "");
  });
  keepFocus(() => $("map").replaceChildren(element("div", { class: "file" }, title(f), canvas, pre)));
  showRows(kept.body, here.slice(0, maxListed), { offsets: true, keep: true });
  kept.more.textContent = here.length > maxListed ? `These are the first ${maxListed} entries of the block; the list has all.` : "";
}

// rowsOf asks for the entries in a range of a file, request after request. Of a commit that
// one answer does not hold, there may be a part only: it all lies at one place.
async function rowsOf(file, from, to, signal) {
  const rows = [];
  for (let at = { file, offset: from, over: 1 }; at && at.offset < to;) {
    const page = await ask("entries", { ...at, one: 1, limit: 500 }, signal);
    if (page.next && !page.rows.length) return { rows, whole: false }; // it is not read yet
    rows.push(...page.rows);
    const last = rows.at(-1);
    at = page.next && (page.next.nth && page.next.offset === last.offset ? { file, offset: last.end } : page.next);
  }
  return { rows, whole: true };
}

// kindOf returns the content of a record, or of a stretch without one. whole says that all
// entries of the block are known.
function kindOf(r, whole) {
  if (r.row) return contentOf[r.row.content];
  if (!whole) return 0;
  return r.type ? 9 : 8;
}

// pieces returns a record, or what the entries say about a stretch without one: they may
// go on in the middle of it.
function pieces(r, rows, start, end) {
  if (r.type) return [{ ...r, row: rows.find((p) => p.offset <= r.offset && r.offset < p.end) }];
  const inside = rows.filter((p) => !p.nth && p.offset < r.end && p.end > r.offset && p.content !== "free");
  if (!inside.length) return [r];
  return inside.map((p) => ({
    offset: Math.max(start, r.offset, p.offset), end: Math.min(end, r.end, p.end), row: p,
    type: p.content === "update" || p.content === "state" ? "full" : "", reason: r.reason,
  }));
}

// bars returns a canvas of a block: 32 lines of 1 KiB. The record at offset was is chosen, or the
// first damage.
function bars(start, length, records, was, choose) {
  const lines = Math.max(1, Math.ceil(length / 1024)), height = 14, gap = 3, width = $("map").clientWidth;
  const canvas = element("canvas", { class: "cells", tabindex: "0", role: "application", "data-file": place.file, "aria-label": `${plural(records.length, "record")} of the block. Arrows move from record to record, Escape zooms out.` });
  let chosen = records.findIndex((r) => r.offset === was);
  if (chosen < 0) chosen = records.findIndex((r) => !r.type);
  const x = (at) => ((at % 1024) / 1024) * width;
  const paint = () => {
    const scale = devicePixelRatio || 1, palette = colors();
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(lines * (height + gap) * scale);
    canvas.style.height = `${lines * (height + gap)}px`;
    const c = canvas.getContext("2d");
    c.scale(scale, scale);
    c.fillStyle = palette[5];
    for (let i = 0; i < lines; i++) c.fillRect(0, i * (height + gap), Math.min(1, (length - i * 1024) / 1024) * width, height);
    records.forEach((r, n) => {
      c.fillStyle = palette[r.kind];
      c.globalAlpha = chosen < 0 || n === chosen ? 1 : 0.72;
      for (let at = r.offset - start; at < r.end - start;) {
        const line = Math.floor(at / 1024), end = Math.min(r.end - start, (line + 1) * 1024);
        const last = end === r.end - start;
        c.fillRect(x(at), line * (height + gap), Math.max(1, (end - at) / 1024 * width - (last ? 1 : 0)), height);
        at = end;
      }
      c.globalAlpha = 1;
    });
  };
  const select = (n) => { chosen = Math.max(0, Math.min(records.length - 1, n)); paint(); if (records.length) choose(records[chosen]); };
  const find = (e) => {
    const box = canvas.getBoundingClientRect();
    const at = start + Math.floor((e.clientY - box.top) / (height + gap)) * 1024 + ((e.clientX - box.left) / width) * 1024;
    return records.findIndex((r) => r.offset <= at && at < r.end);
  };
  canvas.addEventListener("click", (e) => { const n = find(e); if (n >= 0) select(n); });
  canvas.addEventListener("keydown", (e) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -Infinity, End: Infinity }[e.key];
    if (step !== undefined) select(chosen + step);
    else if (e.key === "Escape" || e.key === "Backspace") zoomOut();
    else return;
    e.preventDefault();
  });
  paint();
  if (records.length) queueMicrotask(() => select(Math.max(0, chosen)));
  canvas.records = records;
  return canvas;
}
