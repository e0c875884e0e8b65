// Curves that grow: asks for the numbers of the element with `data-curves` and draws them with
// uPlot. Where a part was chosen with the mouse, it stays chosen.
import uPlot from "/static/uPlot-1.6.32.esm.js";
import { addLegend, isHidden, lookOf, pathOf } from "/static/legend.js";
import { poll } from "/static/live.js";

const HEIGHT = 260;

const box = document.querySelector("[data-curves]");
const drawn = new Map();

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function drop(name) {
  const { plot, figure } = drawn.get(name);
  plot.destroy();
  figure.remove();
  drawn.delete(name);
}

// A line of one value would not be seen.
function isAlone(plot, index) {
  return plot.data[index].filter((value) => value != null).length === 1;
}

// The look of a line, by the place of its run among the chart's.
function look(chart, line) {
  const runs = [...new Set(chart.lines.map((one) => one.run))];
  const { colour: name, dash, shape } = lookOf(runs.indexOf(line.run));
  return { stroke: colour(name), dash, shape };
}

// Training images' lines are pale behind those of held-out images.
function isBehind(chart, line) {
  const seen = (values) => values.filter((value) => value != null).length;
  return !line.dots && chart.lines.some((one) => one.dots && one.run === line.run && seen(one.values) > 1);
}

// Draws the points of a line in its run's shape.
function shaped(shape, size) {
  return (plot, index, first, last) => {
    const drawn = new Path2D();
    for (let at = first; at <= last; at++) {
      const value = plot.data[index][at];
      if (value == null) continue;
      const place = [plot.valToPos(plot.data[0][at], "x", true), plot.valToPos(value, "y", true)];
      drawn.addPath(new Path2D(pathOf(shape, ...place, size * devicePixelRatio / 2)));
    }
    return { stroke: drawn, fill: drawn, clip: null, flags: 0 };
  };
}

function series(chart, line) {
  const { stroke, dash, shape } = look(chart, line);
  const points = { show: true, size: 7, fill: colour("--panel"), stroke, width: 2, paths: shaped(shape, 6) };
  const looks = line.dots
    ? { width: 1.5, dash, points }
    : { width: 1.5, dash, points: { show: isAlone } };
  const shade = isBehind(chart, line) ? `color-mix(in srgb, ${stroke} 45%, transparent)` : stroke;
  return { label: line.label, show: !isHidden(chart, line), stroke: shade, spanGaps: true, ...looks };
}

function tick(value) {
  if (value == null) return "";
  const size = Math.abs(value);
  return value !== 0 && (size < 0.001 || size >= 1e6) ? value.toExponential() : String(+value.toPrecision(6));
}

// On a logarithmic axis there is room for the powers of ten alone.
function powers(_, ticks) {
  return ticks.map((value) => value != null && Number.isInteger(+Math.log10(value).toFixed(9)) ? value : null);
}

function axis(size, logarithmic = false) {
  const line = { stroke: colour("--line"), width: 1, ...logarithmic && { filter: powers } };
  return { stroke: colour("--muted"), grid: line, ticks: line, size,
    values: (_, ticks) => ticks.map(tick), ...logarithmic && { filter: powers } };
}

function options(chart, figure) {
  const whole = (_, ticks) => ticks.map((tick) => Number.isInteger(tick) && tick >= 0 ? String(tick) : "");
  return {
    width: Math.max(figure.clientWidth, 200),
    height: HEIGHT,
    cursor: { sync: { key: "iterations" } },
    legend: { show: false },
    scales: { x: { time: false }, y: { distr: chart.logarithmic ? 3 : 1 } },
    axes: [{ ...axis(36), values: whole }, axis(60, chart.logarithmic)],
    series: [{ label: "iteration" }, ...chart.lines.map((line) => series(chart, line))],
  };
}

function show(chart) {
  const data = [chart.places, ...chart.lines.map((line) => line.values)];
  const kind = JSON.stringify([chart.title, chart.logarithmic,
    chart.lines.map((line) => [line.label, line.dots, isBehind(chart, line)])]);
  const old = drawn.get(chart.name);
  if (old && old.kind === kind) return refresh(old, chart, data);
  const figure = old ? old.figure : frame(chart.name);
  const settings = options(chart, figure);
  if (old) {
    figure.style.minHeight = `${figure.offsetHeight}px`;  // or the page would scroll
    old.plot.destroy();
    figure.querySelector(".lines").remove();
  }
  figure.firstChild.textContent = chart.title;
  const plot = new uPlot(settings, data, figure);
  const write = addLegend(figure, plot, chart, (line) => look(chart, line));
  plot.hooks.setCursor = [write];
  centre(plot);
  drawn.set(chart.name, { kind, figure, plot, write });
  figure.style.minHeight = "";
  tell(drawn.get(chart.name), chart);
}

// An iteration alone stands in the middle; uPlot has it at the left of a hundred.
function centre(plot) {
  const [first, ...others] = plot.data[0];
  if (!others.length) plot.setScale("x", { min: first - 1, max: first + 1 });
}

// Says in words what the picture shows.
function tell({ plot, write }, chart) {
  const canvas = plot.root.querySelector("canvas");
  const [first, last] = [chart.places[0], chart.places.at(-1)];
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${chart.title}, iterations ${first} to ${last}; newest values below`);
  write();
}

function frame(name) {
  const figure = document.createElement("figure");
  figure.dataset.chart = name;
  figure.append(document.createElement("figcaption"));
  figure.setAttribute("role", "group");
  figure.setAttribute("aria-label", name);
  box.append(figure);
  return figure;
}

function refresh(old, chart, data) {
  const { plot } = old;
  const before = plot.data[0];
  const { min, max } = plot.scales.x;
  const isPart = before.length > 1 && (min > before[0] || max < before[before.length - 1]);
  plot.setData(data, !isPart);
  if (isPart) plot.setScale("x", { min, max });
  else centre(plot);
  tell(old, chart);
}

let newest = [];

function draw(charts) {
  newest = charts;
  const names = charts.map((chart) => chart.name);
  for (const name of [...drawn.keys()]) if (!names.includes(name)) drop(name);
  charts.forEach(show);
  const points = charts.length ? charts[0].places.length : 0;
  box.dataset.points = points;
  box.toggleAttribute("data-empty", points === 0);
}

poll(box.dataset.curves, async (response) => draw((await response.json()).charts), true);

new ResizeObserver(() => {
  for (const { plot, figure } of drawn.values()) {
    if (plot.width !== figure.clientWidth) plot.setSize({ width: figure.clientWidth, height: HEIGHT });
  }
}).observe(box);

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  [...drawn.keys()].forEach(drop);
  draw(newest);
});
