// The page of kill9. It shows what GET /events, /changes and /stats tell, and nothing
// that it has computed but rates.
"use strict";

const $ = (id) => document.getElementById(id);
const number = new Intl.NumberFormat("en-US");
const steps = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256]; // writers, by the slider's position

// duration writes nanoseconds for people.
function duration(ns) {
  if (ns < 1e6) return `${Math.round(ns / 1e3)} µs`;
  if (ns < 1e7) return `${(ns / 1e6).toFixed(1)} ms`;
  if (ns < 1e9) return `${Math.round(ns / 1e6)} ms`;
  return `${(ns / 1e9).toFixed(1)} s`;
}

// element makes an element with text in it.
function element(name, text, className) {
  const e = document.createElement(name);
  e.textContent = text;
  if (className) e.className = className;
  return e;
}

// --- The counters, and what came of kills.

let state; // the last one
const samples = []; // {at, acked, killed}, of the last minute and a bit
const killings = []; // when there began to be no server

function show(s) {
  const now = performance.now();
  const last = samples.at(-1);
  if (last && (s.acked < last.acked || s.killed < last.killed)) { // kill9 was started anew
    samples.length = killings.length = 0;
    state = undefined;
  }
  samples.push({ at: now, acked: s.acked, killed: s.killed });
  while (samples[0].at < now - 63e3) samples.shift();
  if (state && (s.killed > state.killed || (state.pid && !s.pid)) && now - (killings.at(-1) ?? -1e9) > 400) killings.push(now);
  $("acked").textContent = number.format(s.acked);
  $("lost").textContent = number.format(s.lost + s.wrong);
  $("lost").className = s.lost + s.wrong ? "big bad" : "big good";
  $("kill").disabled = !s.pid;
  $("pid").textContent = s.pid ? `pid ${s.pid}` : "no server";
  $("dir").textContent = s.dir;
  if (document.activeElement !== $("writers")) $("writers").value = position(s.writers);
  $("count").textContent = number.format(s.writers);
  $("writers").setAttribute("aria-valuetext", `${s.writers} writers`);
  if (!state || state.killed !== s.killed || state.pid !== s.pid) {
    showVerdict(s);
    showByHand(s);
  }
  if (!state || state.killed !== s.killed) showKills(s.kills);
  state = s;
}

// position returns where the slider is for n writers, or a few more.
function position(n) {
  const i = steps.findIndex((w) => w >= n);
  return i < 0 ? steps.length - 1 : i;
}

function showVerdict(s) {
  const k = s.kills[0];
  const v = $("verdict");
  v.className = "verdict";
  if (!s.pid) {
    v.textContent = "killed; starting it again";
  } else if (!k) {
    v.textContent = "The server is up. Kill it.";
  } else if (k.lost || k.wrong) {
    v.classList.add("bad");
    v.textContent = `acknowledged ${number.format(k.acked)}, LOST ${number.format(k.lost)}` + (k.wrong ? `, ${number.format(k.wrong)} accounts wrong` : "");
  } else {
    v.classList.add("good");
    v.textContent = `acknowledged ${number.format(k.acked)}, lost 0, recovered in ${duration(k.back_ns)}`;
  }
}

function showKills(kills) {
  $("none").hidden = kills.length > 0;
  $("kills").replaceChildren(...kills.map((k) => {
    const row = document.createElement("tr");
    row.append(
      element("td", k.n), element("td", number.format(k.acked)),
      element("td", k.wrong ? `${number.format(k.lost)} + ${number.format(k.wrong)} wrong` : number.format(k.lost), k.lost || k.wrong ? "bad" : "good"),
      element("td", duration(k.back_ns)), element("td", number.format(k.replayed), "wide"));
    return row;
  }));
}

function showByHand(s) {
  if (!s.pid) return;
  const at = location.origin;
  const lines = [
    [`curl -d hello ${at}/add/me`, "acknowledged when it is on the disk"],
    [`kill -9 ${s.pid}`, "the server; it is started again"],
    [`curl ${at}/accounts/me`, "what is left of you"],
  ];
  const width = Math.max(...lines.map(([command]) => command.length));
  $("curl").textContent = lines.map(([command, what]) => `${command.padEnd(width)}  # ${what}`).join("\n");
}

// --- What becomes durable.

const rows = 10;

function showChanges(glimpse) {
  const items = glimpse.last.slice(-rows + 2).reverse().map((c) => {
    const li = element("li", "", c.account.startsWith("writer-") ? "" : "mine");
    li.append(element("span", number.format(c.index)), element("span", c.account), element("span", c.text));
    return li;
  });
  const more = glimpse.made - items.length;
  if (more > 0) {
    const li = element("li", "", "more");
    li.append(element("span", `+${number.format(more)}`), element("span", "more"));
    items.push(li);
  }
  const list = $("changes");
  list.prepend(...items);
  while (list.children.length > rows) list.lastChild.remove();
}

// --- The streams.

function showGone() {
  $("kill").disabled = true;
  $("pid").textContent = "";
  $("verdict").className = "verdict";
  $("verdict").textContent = "kill9 itself has ended. Start it again, and this page goes on.";
  state = undefined; // all is shown anew once it answers
}

const streams = {}; // those that are open, by path

function open(path, shows, broken) {
  if (streams[path]) return;
  const stream = streams[path] = new EventSource(path);
  stream.onmessage = (e) => shows(JSON.parse(e.data));
  stream.onerror = () => {
    broken?.();
    if (stream.readyState !== EventSource.CLOSED) return; // it comes again by itself
    streams[path] = undefined;
    setTimeout(follow, 500);
  };
}

// A browser has six connections to a host, for all of its tabs, and a stream keeps one. A tab that
// nobody sees has none: else the button in the third tab would do nothing.
function follow() {
  if (document.hidden) {
    for (const path in streams) {
      streams[path]?.close();
      streams[path] = undefined;
    }
    state = undefined; // what happens meanwhile is not drawn as of now
    return;
  }
  open("events", show, showGone);
  open("changes", showChanges);
}
document.addEventListener("visibilitychange", follow);
follow();

// --- The controls.

async function kill() {
  if ($("kill").disabled) return;
  $("kill").disabled = true;
  try {
    await fetch("kill", { method: "POST" });
  } catch { /* events.onerror tells */ }
}
$("kill").addEventListener("click", kill);
document.addEventListener("keydown", (e) => {
  if (e.key.toLowerCase() === "k" && !e.ctrlKey && !e.metaKey && !e.altKey && !e.repeat) kill();
});
$("writers").addEventListener("input", () => {
  $("count").textContent = number.format(steps[$("writers").value]);
  fetch("writers", { method: "POST", body: new URLSearchParams({ n: steps[$("writers").value] }) }).catch(() => {});
});

// --- Group commit, once a second.

let before;
async function figures() {
  try {
    const s = await (await fetch("stats")).json();
    if (before && s.commits > before.commits && s.updates >= before.updates) {
      $("batch").textContent = ((s.updates - before.updates) / (s.commits - before.commits)).toFixed(1);
    }
    $("sync").textContent = s.commits ? duration(s.commit_durations.p50_ns) : "–";
    before = s;
  } catch { /* the server was killed meanwhile */ }
  setTimeout(figures, 1000);
}
figures();

// --- The chart: a minute of rates.

const minute = 60e3, window_ = 500;

// rates returns [{at, rate}], each over window_ milliseconds.
function rates() {
  const found = [];
  for (let i = 0, j = 0; j < samples.length; j++) {
    while (samples[j].at - samples[i].at > window_) i++;
    const took = samples[j].at - samples[i].at;
    if (took > window_ / 3) found.push({ at: samples[j].at, rate: (samples[j].acked - samples[i].acked) / took * 1e3 });
  }
  return found;
}

function draw() {
  const canvas = $("chart"), scale = devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const g = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(name).trim();
  g.setTransform(scale, 0, 0, scale, 0, 0);
  g.clearRect(0, 0, width, height);
  const now = performance.now(), points = rates();
  const top = Math.max(1, ...points.map((p) => p.rate)) * 1.12;
  const x = (at) => width - (now - at) / minute * width, y = (rate) => height - 1 - rate / top * (height - 18);
  g.strokeStyle = color("--line");
  g.beginPath();
  g.moveTo(0, height - .5);
  g.lineTo(width, height - .5);
  g.stroke();
  if (points.length > 1) {
    g.beginPath();
    for (const p of points) g.lineTo(x(p.at), y(p.rate));
    g.strokeStyle = color("--good");
    g.lineWidth = 1.8;
    g.lineJoin = "round";
    g.stroke();
    g.lineTo(x(points.at(-1).at), height);
    g.lineTo(x(points[0].at), height);
    g.fillStyle = color("--wash");
    g.fill();
  }
  g.font = "11px ui-monospace, monospace";
  g.textAlign = "center";
  g.lineWidth = 1;
  for (const at of killings) {
    if (now - at > minute) continue;
    g.strokeStyle = g.fillStyle = color("--bad");
    g.setLineDash([3, 3]);
    g.beginPath();
    g.moveTo(x(at), 14);
    g.lineTo(x(at), height);
    g.stroke();
    g.setLineDash([]);
    g.fillText("kill", Math.min(Math.max(x(at), 14), width - 14), 10);
  }
  $("rate").textContent = number.format(Math.round(points.at(-1)?.rate ?? 0));
}
const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
setInterval(draw, calm ? 1000 : 100);
