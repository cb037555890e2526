// The time line: how many updates were made when, and the snapshots.

import { ask } from "./api.js";
import { number, time, span, plural, filesOf } from "./format.js";
import { line } from "./charts.js";
import { showUpdate } from "./list.js";

const $ = (id) => document.getElementById(id);
const bins = 120;
let chart = null, data = null, drawn = "";

export async function updateTimeline(s) {
  if (!s.store) return;
  const key = JSON.stringify([s.updates, s.whole, filesOf(s)]);
  if (key === drawn) return;
  data = await ask("time");
  drawn = key;
  const points = data.points.filter((p) => p.t > 0).sort((a, b) => a.t - b.t || a.i - b.i);
  if (points.length < 2 || points.at(-1).t - points[0].t < 2) return;
  $("time-card").hidden = false;
  const from = points[0].t, to = points.at(-1).t, width = (to - from) / bins;
  const counts = new Array(bins).fill(0);
  for (let i = 1; i < points.length; i++) spread(counts, points[i - 1], points[i], from, width);
  const x = counts.map((_, i) => from + (i + 0.5) * width);
  $("time-says").textContent = `${plural(points.at(-1).i - points[0].i + 1, "update")} in ${span(to - from)}, from ${time(from)} on; ${plural(data.snapshots.length, "snapshot")}, at the dashed lines. Each bar is ${span(width)}: choose one to see its updates.`;
  chart ??= make();
  chart.show(x, counts);
}

// spread shares the updates between two points among the bins between them.
function spread(counts, a, b, from, width) {
  const n = b.i - a.i;
  if (n <= 0) return;
  const first = (a.t - from) / width, last = (b.t - from) / width;
  if (last - first < 1e-9) { counts[Math.min(bins - 1, Math.floor(last))] += n; return; }
  for (let i = Math.floor(first); i < Math.min(bins, Math.ceil(last)); i++) {
    counts[i] += (n * (Math.min(i + 1, last) - Math.max(i, first))) / (last - first);
  }
}

function make() {
  const c = line($("time-chart"), "Updates over time", 190, {
    series: () => ({ paths: uPlot.paths.bars({ size: [0.9, 24] }) }),
    hooks: { draw: [snapshots] },
    y: { values: (u, v) => v.map((n) => (n >= 1000 ? number(n) : n)) },
  });
  $("time-chart").addEventListener("click", (e) => {
    const box = c.chart.over.getBoundingClientRect(), left = e.clientX - box.left;
    if (left >= 0 && left <= box.width) showMoment(c.chart.posToVal(left, "x"));
  });
  return c;
}

function showMoment(t) {
  const points = data.points.filter((p) => p.t <= t);
  showUpdate(points.length ? Math.max(...points.map((p) => p.i)) : data.points[0].i);
}

export function recolorTimeline() { chart?.recolor(); }

// snapshots draws a line where each was made.
function snapshots(u) {
  const c = u.ctx;
  c.save();
  c.strokeStyle = getComputedStyle(document.documentElement).getPropertyValue("--state");
  c.lineWidth = 2;
  c.setLineDash([5, 4]);
  for (const s of data.snapshots) {
    const x = u.valToPos(s.t, "x", true);
    if (x < u.bbox.left || x > u.bbox.left + u.bbox.width) continue;
    c.beginPath();
    c.moveTo(x, u.bbox.top);
    c.lineTo(x, u.bbox.top + u.bbox.height);
    c.stroke();
  }
  c.restore();
}
