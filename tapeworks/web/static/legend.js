// The list of a chart's lines: each is shown or hidden by a checkbox, and has its value in text, the
// newest one or that of the iteration where the pointer is.

const DASHES = [[], [8, 4], [2, 3], [8, 3, 2, 3]];
const COLOURS = 8;

// The corners of each shape of held-out images' points, a circle's are none; x and y from -1 to 1.
export const SHAPES = [
  [],
  [[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]],
  [[0, -1.2], [1.1, 0.8], [-1.1, 0.8]],
  [[0, -1.2], [1.2, 0], [0, 1.2], [-1.2, 0]],
  [[0, 1.2], [1.1, -0.8], [-1.1, -0.8]],
];

const keyOf = (chart, line) =>
  [chart.name, line.run, line.label, line.dots ? "points" : "line"].join("\t");

// Lines that people have hidden. They stay so when a chart is drawn anew, and for whoever opens the
// page's address; it has them behind `#`, as they are nothing that the server has to know.
const hidden = new Set(new URLSearchParams(location.hash.slice(1)).getAll("hide"));

function hide(key, isHidden) {
  if (isHidden) hidden.add(key);
  else hidden.delete(key);
  const names = new URLSearchParams([...hidden].map((each) => ["hide", each]));
  history.replaceState(history.state, "", hidden.size ? `#${names}` : location.pathname + location.search);
}

// How the line of the run with this number is told from those of others, also without its colour.
export function lookOf(number) {
  return {
    colour: `--line-${number % COLOURS + 1}`,
    shape: SHAPES[number % SHAPES.length],
    dash: DASHES[(number + Math.floor(number / COLOURS)) % DASHES.length],
  };
}

export function isHidden(chart, line) {
  return hidden.has(keyOf(chart, line));
}

export function text(value) {
  if (value == null) return "–";
  const size = Math.abs(value);
  if (size >= 1e9) return value.toExponential(4);
  return value !== 0 && size < 0.001 ? value.toExponential(2) : String(+value.toFixed(4));
}

// Makes the list of a plot that `chart` was drawn as, and returns the function that writes its values.
export function addLegend(figure, plot, chart, colourOf) {
  const place = document.createElement("p");
  const list = document.createElement("ul");
  const values = chart.lines.map((line, index) => {
    const { entry, value } = makeEntry(plot, chart, line, index + 1, colourOf(line));
    const training = line.dots && chart.lines[index - 1]?.run === line.run ? list.lastChild : null;
    list.insertBefore(entry, training);  // held-out images come first
    return value;
  });
  const legend = document.createElement("div");
  legend.className = "lines";
  legend.append(place, list);
  figure.append(legend);
  return () => write(plot, place, values);
}

function makeEntry(plot, chart, line, index, look) {
  const entry = document.createElement("li");
  const label = document.createElement("label");
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = !isHidden(chart, line);
  const value = document.createElement("span");
  value.className = "value";
  label.append(box, swatch(line, look), ` ${line.label} `, value);
  entry.append(label);
  box.addEventListener("change", () => {
    hide(keyOf(chart, line), !box.checked);
    plot.setSeries(index, { show: box.checked });
  });
  const stress = (chosen) => () => plot.setSeries(chosen, { focus: true });
  for (const begin of ["pointerenter", "focusin"]) entry.addEventListener(begin, stress(index));
  for (const end of ["pointerleave", "focusout"]) entry.addEventListener(end, stress(null));
  return { entry, value };
}

// Elements of a picture belong to another namespace than those around them.
function drawable(name) {
  return new DOMParser().parseFromString(`<svg><${name}/></svg>`, "text/html").querySelector(name);
}

// A shape of this size around a point, as an SVG path, which canvases take too.
export function pathOf(shape, x, y, size) {
  if (!shape.length) return `M${x + size},${y}A${size},${size} 0 1 1 ${x - size},${y}A${size},${size} 0 1 1 ${x + size},${y}Z`;
  return `M${shape.map(([right, down]) => `${x + size * right},${y + size * down}`).join("L")}Z`;
}

function swatch(line, look) {
  const [svg, shape] = ["svg", line.dots ? "path" : "line"].map(drawable);
  const places = line.dots ? { d: pathOf(look.shape, 11, 6, 3.5), fill: "none" }
    : { x1: 0, y1: 6, x2: 22, y2: 6, "stroke-dasharray": look.dash.join(" ") };
  const all = { ...places, stroke: look.stroke, "stroke-width": 2 };
  for (const [name, value] of Object.entries(all)) shape.setAttribute(name, value);
  svg.setAttribute("aria-hidden", "true");
  svg.append(shape);
  return svg;
}

function write(plot, place, values) {
  const [iterations, ...columns] = plot.data;
  const chosen = plot.cursor.idx;
  place.textContent = chosen == null ? "Newest" : `Iteration ${iterations[chosen]}`;
  columns.forEach((column, index) => {
    const value = chosen == null ? column.findLast((one) => one != null) : column[chosen];
    if (values[index].textContent !== text(value)) values[index].textContent = text(value);
  });
}
