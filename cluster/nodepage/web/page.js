"use strict";
const $ = (id) => document.getElementById(id);
const number = (n) => Math.round(n).toLocaleString("en-US");
const rates = []; // of the last two minutes
let before;

function duration(s) {
  return !s ? "none yet" : s < 1 ? `${Math.round(s * 1000)} ms` : `${s.toFixed(1)} s`;
}

function size(n) {
  for (const [unit, name] of [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"]]) {
    if (n >= unit) return `${(n / unit).toFixed(1)} ${name}`;
  }
  return `${n} B`;
}

function element(name, text, level) {
  const e = document.createElement(name);
  e.textContent = text;
  if (level) e.className = level;
  return e;
}

function say(level, says, todo) {
  $("verdict").dataset.level = level;
  // What has not changed is not read aloud again.
  if ($("says").textContent !== says) $("says").textContent = says;
  $("todo").textContent = todo;
}

// A node that was opened again counts from zero: then there is no rate.
function showRate(s) {
  if (before && s.at > before.at) {
    const rate = s.updates >= before.updates ? (s.updates - before.updates) / (s.at - before.at) * 1000 : 0;
    rates.push(rate);
    while (rates.length > 120) rates.shift();
    $("rate").textContent = number(rate);
    const most = Math.max(1, ...rates);
    $("most").textContent = number(Math.max(...rates));
    $("curve").setAttribute("points", rates.map((r, i) => `${120 - rates.length + i},${58 - 56 * r / most}`).join(" "));
  }
  if (!before || s.at !== before.at) before = s; // the clock may go back
}

function row(m) {
  const tr = document.createElement("tr");
  const state = element("td", m.state, m.level);
  if (m.error) state.append(element("small", m.error));
  tr.append(element("td", m.id), element("td", m.addr), state, element("td", m.lag === null ? "–" : number(m.lag), "num"));
  return tr;
}

function show(s) {
  document.title = `${s.level === "ok" ? "" : "⚠ "}Node ${s.id}`;
  $("id").textContent = s.id;
  $("cluster").textContent = s.cluster || "not begun";
  $("term").textContent = number(s.term);
  say(s.level, s.verdict, s.todo);
  showRate(s);
  $("index").textContent = number(s.index);
  $("waiting").textContent = s.waiting ? `${number(s.waiting)}, ${size(s.pending)}` : "0";
  $("gap").textContent = duration(s.gap);
  $("snapshot").textContent = s.snapshot_bytes ? size(s.snapshot_bytes) : "none yet";
  $("since").textContent = size(s.since_snapshot);
  $("members").replaceChildren(...(s.members ?? []).map(row));
}

async function look() {
  try {
    const answer = await fetch("status", { signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Error(`it answers ${answer.status}`);
    show(await answer.json());
  } catch {
    document.title = "⚠ Node";
    say("bad", "The program does not answer: below is how it was.", "This page goes on when it does.");
  }
  setTimeout(look, 1000);
}
look();
