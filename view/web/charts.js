// Charts, by uPlot, in the colours of the page.

/* global uPlot */

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

// clock writes times below an axis, in UTC, and the day where it changes.
function clock(u, splits, axis, space, step) {
  let day = "";
  return splits.map((t) => {
    const d = new Date(Math.round(t / 1000) * 1000);
    const today = d.toISOString().slice(0, 10);
    const hour = d.toISOString().slice(11, step < 60000 ? 19 : 16);
    const text = step >= 86400000 ? today : today === day || u.height < 170 ? hour : `${hour}\n${today}`;
    day = today;
    return text;
  });
}

// line returns a chart of values over time. It has a method show(times, values).
export function line(parent, name, height, extra = {}) {
  let chart = null, last = null;
  const make = () => {
    chart?.destroy();
    const axis = { stroke: color("dim"), grid: { stroke: color("line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
    chart = new uPlot({
      width: parent.clientWidth, height, ms: 1, tzDate: (t) => uPlot.tzDate(new Date(t), "Etc/UTC"),
      legend: { show: false },
      cursor: { y: false, points: { size: 6 } },
      scales: { x: { time: extra.time !== false }, y: { range: (u, min, max) => [0, max > 0 ? max * 1.15 : 1] } },
      axes: [{ ...axis, grid: { show: false }, values: clock, space: 70, size: height < 170 ? 30 : 46, ...extra.x }, { ...axis, size: 56, ...extra.y }],
      series: [{}, { label: name, stroke: color(extra.color || "update"), width: 2, fill: color(extra.color || "update") + "26", points: { show: false }, ...extra.series?.(color) }],
      hooks: extra.hooks || {},
    }, last || [[], []], parent);
    chart.root.setAttribute("role", "img");
    chart.root.setAttribute("aria-label", name);
  };
  make();
  let width = parent.clientWidth;
  new ResizeObserver(() => {
    if (parent.clientWidth && parent.clientWidth !== width) { width = parent.clientWidth; chart.setSize({ width, height }); }
  }).observe(parent);
  return {
    show(...data) {
      last = data;
      chart.setData(data);
      parent.dataset.points = data[0].length;
      parent.dataset.last = data[1].at(-1) ?? "";
    },
    recolor: make,
    get chart() { return chart; },
  };
}
