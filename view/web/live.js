// How a running store is doing: asked once a second.

import { ask } from "./api.js";
import { number, size, duration, span, element } from "./format.js";
import { line } from "./charts.js";

const $ = (id) => document.getElementById(id);
const keep = 120; // seconds
const samples = [];
let charts = null;

export async function startLive() {
  $("live-card").hidden = false;
  $("pulse").hidden = false;
  charts = {
    rate: line($("rate-chart"), "Updates per second", 150),
    log: line($("log-chart"), "Log since the snapshot, in MiB", 150, { color: "state" }),
    latency: line($("latency-chart"), "Commits by how long they took", 150, {
      time: false, color: "header",
      series: () => ({ paths: uPlot.paths.bars({ size: [0.85, 40] }) }),
      x: { values: (u, splits) => splits.map((v) => (v === Math.round(v) ? bound(v) : "")), space: 60 },
    }),
  };
  for (;;) {
    if (!document.hidden) await sample();
    await new Promise((done) => setTimeout(done, 1000));
  }
}

export function recolorLive() { if (charts) Object.values(charts).forEach((c) => c.recolor()); }

// Bucket n of the histogram ends at 2^(n/4-20) seconds.
const bound = (n) => duration(Math.round(2 ** (n / 4 - 20) * 1e9));
const bucketOf = (ns) => Math.round((Math.log2(ns / 1e9) + 20) * 4);

async function sample() {
  let now;
  try { now = await ask("live"); } catch (e) { $("pulse").textContent = "not answering"; return; }
  $("pulse").textContent = "live";
  if (now.stats.updates < samples.at(-1)?.stats.updates) samples.length = 0; // the program was started anew
  samples.push(now);
  if (samples.length > keep) samples.shift();
  const s = now.stats, before = samples.at(-2);
  const rate = before ? ((s.updates - before.stats.updates) * 1000) / Math.max(1, now.t - before.t) : 0;
  const took = s.commit_durations;
  tiles([
    ["Updates per second", number(Math.round(rate)), `${number(s.updates)} since the start`],
    ["Commit time, p50", took.count ? duration(took.p50_ns) : "–", took.count ? `p99 ${duration(took.p99_ns)}` : "none yet"],
    ["Index", number(s.index), s.index === s.durable ? "all durable" : `${number(s.index - s.durable)} not yet durable`],
    ["Log since snapshot", size(s.log_bytes_since_snapshot), s.snapshot_time ? `made ${span(now.t - Date.parse(s.snapshot_time))} ago` : "none yet"],
    ["On the disk", size(s.disk_bytes), s.snapshot_running ? `snapshot: ${size(s.snapshot_written_bytes)}` : `snapshot: ${size(s.snapshot_bytes)}`],
    ["Followers", number(s.followers), s.queued_updates ? `${number(s.queued_updates)} updates queue` : "nothing queues"],
  ]);
  const times = samples.map((p) => p.t);
  charts.rate.show(times.slice(1), samples.slice(1).map((p, i) => ((p.stats.updates - samples[i].stats.updates) * 1000) / Math.max(1, p.t - samples[i].t)));
  charts.log.show(times, samples.map((p) => p.stats.log_bytes_since_snapshot / 1048576));
  histogram(samples.at(-61) || samples[0], now);
}

function tiles(all) {
  $("live-tiles").replaceChildren(...all.map(([name, value, note]) => element("div", {}, element("dt", {}, name), element("dd", {}, value, element("small", {}, note)))));
}

// histogram shows the commits between two samples; of a page that was just opened, all.
function histogram(from, to) {
  const before = new Map(from === to || samples.length < 5 ? [] : from.stats.commit_durations.buckets.map((b) => [b.up_to_ns, b.count]));
  const counts = new Map();
  for (const b of to.stats.commit_durations.buckets) {
    const n = b.count - (before.get(b.up_to_ns) || 0);
    if (n > 0) counts.set(bucketOf(b.up_to_ns), n);
  }
  if (!counts.size) { charts.latency.show([0, 1], [0, 0]); return; }
  const low = Math.min(...counts.keys()) - 2, high = Math.max(...counts.keys()) + 2;
  const x = Array.from({ length: high - low + 1 }, (_, i) => low + i);
  charts.latency.show(x, x.map((n) => counts.get(n) || 0));
}
