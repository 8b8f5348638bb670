// Forgetting over time: the accuracy of each promoted version on each task's probe set, and their average.
import { at, h, renderOnce, s } from "./dom.js";
import { mean, percent } from "./format.js";

const HEIGHT = 300;
const EDGE = { top: 16, right: 118, bottom: 34, left: 44 };
const NAME_HEIGHT = 15;
const HUES = 8;
let observer = null;

/** Draws the chart now and whenever its place changes size. */
export function prepareChart(redraw) {
  observer?.disconnect();
  observer = new ResizeObserver(redraw);
  observer.observe(at("chart"));
}

export function showChart({ versions }) {
  const promoted = versions.filter(({ probes }) => probes.decision.verdict === "promote" && probes.tasks.length).slice(0, 60).reverse();
  const width = Math.floor(at("chart").clientWidth);
  const key = [width, promoted.map(({ version }) => version)];
  renderOnce(at("chart"), key, () => (promoted.length < 2 || width < 100 ? empty(promoted.length) : chart(promoted, width)));
}

const empty = (number) =>
  h("p", { class: "empty" }, number ? "One version so far; a line needs two." : "No version has been measured yet.");

function linesOf(versions) {
  const tasks = [...new Set(versions.flatMap(({ probes }) => probes.tasks))];
  const value = (probes, task) => probes.accuracy[probes.tasks.indexOf(task)];
  const line = (name, kind, read) => {
    const points = versions.map(({ version, probes }, index) => ({ index, version, value: read(probes) }));
    return { name, kind, points: points.filter((point) => point.value !== undefined) };
  };
  const own = tasks.map((task, index) => line(task, `hue-${index % HUES}`, (probes) => value(probes, task)));
  return [...own, line("average", "is-average", (probes) => mean(probes.accuracy))];
}

function scales(versions, lines, width) {
  const lowest = Math.min(...lines.flatMap(({ points }) => points.map((point) => point.value)));
  const floor = Math.max(0, Math.floor(20 * lowest - 0.2) / 20);
  const step = (width - EDGE.left - EDGE.right) / Math.max(1, versions.length - 1);
  return {
    floor, width,
    x: (index) => EDGE.left + index * step,
    y: (value) => EDGE.top + ((1 - value) / (1 - floor || 1)) * (HEIGHT - EDGE.top - EDGE.bottom),
  };
}

function chart(versions, width) {
  const lines = linesOf(versions);
  const scale = scales(versions, lines, width);
  const ends = lines.map(({ name, points }) => `${name} ${percent(points.at(-1).value)}`).join(", ");
  const said = `Accuracy by version, from version ${versions[0].version} to ${versions.at(-1).version}. Now: ${ends}.`;
  return s("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": said },
    grid(scale), axis(versions, scale), lines.map((line) => path(line, scale)), names(lines, scale));
}

function grid({ floor, width, y }) {
  const marks = [1, (1 + floor) / 2, floor];
  return marks.flatMap((value) => [
    s("line", { class: "grid", x1: EDGE.left, x2: width - EDGE.right, y1: y(value), y2: y(value) }),
    s("text", { class: "tick", x: EDGE.left - 8, y: y(value) + 4, "text-anchor": "end" }, `${Math.round(100 * value)} %`)]);
}

function axis(versions, { x }) {
  const every = Math.ceil(versions.length / 8);
  return versions.map(({ version }, index) => (versions.length - 1 - index) % every === 0
    && s("text", { class: "tick", x: x(index), y: HEIGHT - 10, "text-anchor": "middle" }, `v${version}`));
}

function path({ name, kind, points }, { x, y }) {
  const course = points.map(({ index, value }, place) => `${place ? "L" : "M"}${x(index).toFixed(1)} ${y(value).toFixed(1)}`).join("");
  const r = kind === "is-average" ? 3.5 : 2.5;
  const dots = points.map(({ index, version, value }) =>
    s("circle", { cx: x(index), cy: y(value), r }, s("title", {}, `${name}, version ${version}: ${percent(value)}`)));
  return s("g", { class: `line ${kind}` }, s("path", { d: course }), dots);
}

/** The names at the lines' ends, moved apart where they would meet. */
function names(lines, { x, y }) {
  const last = Math.max(...lines.flatMap(({ points }) => points.map(({ index }) => index)));
  const places = lines.map((line) => ({ ...line, at: y(line.points.at(-1).value) })).sort((a, b) => a.at - b.at);
  places.forEach((place, index) => { if (index) place.at = Math.max(place.at, places[index - 1].at + NAME_HEIGHT); });
  const overflow = Math.max(0, (places.at(-1)?.at ?? 0) - (HEIGHT - EDGE.bottom));
  for (let index = places.length - 1, limit = HEIGHT - EDGE.bottom; overflow && index >= 0; index -= 1, limit -= NAME_HEIGHT) {
    places[index].at = Math.min(places[index].at, limit);
  }
  return places.map(({ name, kind, at: height, points }) => s("text", { class: `line-name ${kind}`, x: x(last) + 10, y: height + 4 },
    `${name.length > 11 ? `${name.slice(0, 10)}…` : name} ${percent(points.at(-1).value, 0).replace(" %", "")}`, s("title", {}, name)));
}
