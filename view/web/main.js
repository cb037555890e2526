// The page: what is on top, and when the parts are brought up to date.

import { ask, again } from "./api.js";
import { number, plural, size, time, span, visible, element } from "./format.js";
import { startMap, updateMap, redrawMap, zoomTo } from "./map.js";
import { startList, updateList, lost } from "./list.js";
import { updateTimeline, recolorTimeline } from "./timeline.js";
import { startState, updateState } from "./state.js";
import { startLive, recolorLive } from "./live.js";

const $ = (id) => document.getElementById(id);
let begun = false, listed = "";

function verdict(s) {
  $("verdict").dataset.level = s.verdict.level;
  if ($("verdict-text").textContent !== s.verdict.text) $("verdict-text").textContent = s.verdict.text;
  $("verdict-todo").replaceChildren(...s.verdict.todo.split("`").map((t, i) => (i % 2 ? element("code", {}, t) : t)));
  damages(s);
  $("read").hidden = !s.whole || !s.begun;
  $("read").dataset.begun = s.begun || "";
  if (s.begun) $("read-says").textContent = `Read since ${time(s.begun).slice(0, 19)} UTC.`;
  $("reading").hidden = s.whole;
  $("reading").firstChild.style.width = `${(100 * s.read) / Math.max(1, s.size)}%`;
}

// damages lists the damages anew if they are others: a link keeps the focus, and a click that has begun.
function damages(s) {
  const list = JSON.stringify([s.damages, s.more]);
  if (list === listed) return;
  listed = list;
  $("damages").replaceChildren(...s.damages.slice(0, 50).map((d) => element("li", {},
    d.length ? element("button", { type: "button", class: "link", onclick: () => show(d) }, `${d.file} at ${number(d.offset)}`) : element("b", {}, d.file),
    `: ${d.length ? size(d.length) + ", " : ""}${visible(d.reason)}${lost(d)}`)));
  const rest = s.damages.length - 50 + s.more;
  if (rest > 0) $("damages").append(element("li", {}, `and ${plural(rest, "more range")}`));
}

function show(d) {
  const from = d.offset - (d.offset % 32768);
  zoomTo({ file: d.file, from, to: from + 32768 });
  $("map-card").scrollIntoView();
}

function tiles(s) {
  const logs = s.files.filter((f) => f.kind === "log").length, snaps = s.files.filter((f) => f.kind === "snapshot").length;
  const newest = s.files.filter((f) => f.kind === "snapshot").at(-1);
  const all = s.store ? [
    ["Updates", number(s.updates), s.updates ? `${number(s.first)} to ${number(s.last)}` : "none yet"],
    ["Files", number(s.files.length), `${plural(logs, "log")}, ${plural(snaps, "snapshot")}`],
    ["On the disk", size(s.size), newest ? `snapshot: ${size(newest.size)}` : "no snapshot yet"],
    ["Last commit", s.until ? time(s.until).slice(11, 19) : "–", s.until ? `UTC, ${time(s.until).slice(0, 10)}` : ""],
    ["Goes back", s.since && s.until ? span(Date.parse(s.until) - Date.parse(s.since)) : "–", s.since ? `to ${time(s.since).slice(0, 16)}` : ""],
  ] : [
    ["Updates", number(s.updates), plural(s.files[0].states, "snapshot")],
    ["Size", size(s.size), ""],
  ];
  all.push(["Damage", s.damages.length + s.more ? plural(s.damages.length + s.more, "range") : "none", s.torn ? `${size(s.torn)} torn` : s.whole ? "every byte was read" : `${Math.floor((100 * s.read) / Math.max(1, s.size))} % read`]);
  $("tiles").replaceChildren(...all.map(([name, value, note]) => element("div", {}, element("dt", {}, name), element("dd", {}, value, element("small", { title: note }, note)))));
}

async function refresh() {
  const s = await ask("summary");
  $("path").textContent = s.path;
  document.title = `${s.path.replace(/\/+$/, "").split("/").at(-1)} – stateio`;
  verdict(s);
  tiles(s);
  if (!begun) {
    begun = true;
    startMap();
    startList(s);
    startState(s);
    if (s.live) startLive();
  } else {
    updateList(s);
    updateState(s);
  }
  updateMap(s);
  await updateTimeline(s);
  return s;
}

async function run() {
  for (;;) {
    let wait = 2000;
    try {
      if (!document.hidden) {
        const s = await refresh();
        wait = !s.whole ? 500 : s.live ? 1500 : 5000;
      }
    } catch (e) {
      $("verdict").dataset.level = "bad";
      $("verdict-text").textContent = e.message;
      $("verdict-todo").textContent = "";
    }
    document.body.dataset.ready = "yes";
    await new Promise((done) => setTimeout(done, wait));
  }
}

function recolor() {
  redrawMap();
  recolorTimeline();
  recolorLive();
}

$("theme").addEventListener("click", () => {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  recolor();
});
$("again").addEventListener("click", async () => {
  $("read").hidden = true;
  try {
    verdict(await again());
  } catch {} // the next look at it tells
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolor);
run();
