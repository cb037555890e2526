// The state at any index, or in the snapshots, and what differs between two.

import { ask } from "./api.js";
import { number, size, duration, visible, element } from "./format.js";

const $ = (id) => document.getElementById(id);
let busy = false, want = null, begun = false;
let follows = true; // the newest state is meant, as it changes
let steps = null; // the indexes that there are states of; null: any
let first = 0, last = 0;

export function startState(s) {
  $("state-slider").addEventListener("input", () => { follows = false; choose(indexAt(Number($("state-slider").value))); });
  $("state-number").addEventListener("change", () => { follows = false; choose(nearest(Number($("state-number").value))); });
  $("state-other").addEventListener("change", chooseAgain);
  $("state-show").addEventListener("click", chooseAgain);
  $("state-before").addEventListener("click", () => {
    const index = Number($("state-number").value);
    if (!steps) follows = false;
    $("state-other").value = steps ? steps[Math.max(0, steps.indexOf(index) - 1)] : Math.max(first, index - 1);
    choose(index);
  });
  updateState(s);
}

export function updateState(s) {
  const snaps = s.files.filter((f) => f.kind === "snapshot" && !f.damages).map((f) => f.base);
  if (s.states === "none" || s.states === "snapshots" && !snaps.length) return;
  steps = s.states === "any" ? null : snaps;
  first = steps ? steps[0] : s.first <= 1 ? 0 : Math.min(...snaps, s.last);
  last = steps ? steps.at(-1) : s.last;
  $("state-card").hidden = false;
  $("state-title").textContent = steps ? "State in snapshots" : "State";
  $("state-before").textContent = steps ? "Change since the snapshot before" : "Change of this update";
  $("state-slider").min = steps ? 0 : first;
  $("state-slider").max = steps ? steps.length - 1 : last;
  $("state-show").hidden = Boolean(steps);
  const newer = follows && last !== Number($("state-number").value) && !$("state-other").value;
  if (steps && (!begun || newer)) choose(last);
  // The program makes any other state of its own, with the time and the memory of a whole one:
  // nobody has asked for that who only has the page open.
  if (!steps && follows) point(last);
  if (!steps && !begun) $("state-says").textContent = "The program makes the state that you choose: that takes as long as opening the store, and as much memory.";
  begun = true;
}

// chooseAgain shows the state of the index that is pointed to.
function chooseAgain() {
  if (!steps) follows = false;
  choose(Number($("state-number").value));
}

const indexAt = (value) => (steps ? steps[value] : value);
const nearest = (index) => (steps ? steps.reduce((a, b) => (Math.abs(b - index) < Math.abs(a - index) ? b : a)) : index);

// point shows an index, without the state.
function point(index) {
  $("state-slider").value = steps ? steps.indexOf(index) : index;
  $("state-slider").setAttribute("aria-valuetext", `after update ${number(index)}`);
  $("state-number").value = index;
  $("state-index").textContent = number(index);
}

// choose shows the state of an index; the last one that is chosen wins.
function choose(index) {
  point(index);
  want = { index, other: $("state-other").value };
  if (!busy) run();
}

async function run() {
  busy = true;
  while (want) {
    const { index, other } = want;
    want = null;
    try {
      if (other !== "" && Number(other) !== index) await difference(nearest(Number(other)), index);
      else await state(index);
    } catch (e) {
      $("state-text").replaceChildren();
      $("state-says").textContent = e.message;
    }
  }
  busy = false;
}

async function state(index) {
  const s = await ask("state", { index });
  $("state-text").textContent = visible(s.text);
  $("state-says").textContent = `${size(s.size)}${s.truncated ? ", of which the beginning is shown" : ""}, read in ${duration(s.took_ns)}`;
}

async function difference(a, b) {
  const d = await ask("diff", { a, b });
  const kinds = { "+": "line-plus", "-": "line-minus", "…": "line-left", " ": "line-both" };
  $("state-text").replaceChildren(...d.lines.map((l) => element("span", { class: kinds[l.kind] }, `${l.kind} ${visible(l.text)}`)));
  $("state-says").textContent = d.lines.length ? `What differs after update ${number(b)} from what was after update ${number(a)}:` : `Nothing differs between the states after update ${number(a)} and after update ${number(b)}.`;
  if (!d.whole) $("state-says").textContent += " Only the beginnings were compared.";
}
