// The accuracy matrix and its history by version, as tables whose colour is their number: what fades is forgotten.
import { at, h, renderOnce, spoken } from "./dom.js";
import { cell, mean, percent } from "./format.js";

export function showMatrix({ matrix, versions }) {
  if (!matrix) return;
  const isByVersion = at("by-version").checked;
  const measured = versions.filter(({ probes }) => probes.tasks.length).slice(0, 24);
  const key = isByVersion ? [true, measured.map(({ version }) => version)] : [false, matrix];
  renderOnce(at("matrix"), key, () => (isByVersion ? byVersion(measured) : byTask(matrix)));
  at("matrix-note").textContent = isByVersion
    ? "Accuracy in % of each version (row) on each task’s probe set (column), newest first."
    : "Accuracy in % on each task’s probe set (column) after each task (row).";
  at("heat-legend").hidden = !(isByVersion ? measured.length : matrix.tasks.length);
}

const nothing = (sentence) => h("caption", { class: "empty" }, sentence);

function byTask({ tasks, R, baseline }) {
  if (!tasks.length) return nothing("Nothing is measured yet. A row is added each time that a task ends: close one below, or let the configuration's rule end it.");
  const rows = R.map((values, index) => h("tr", {}, h("th", { scope: "row" }, tasks[index]), tasks.map((_, column) => heat(values[column], column === index, column > index)),
    h("td", { class: "average" }, cell(mean(values.slice(0, index + 1))))));
  const first = h("tr", { class: "baseline" }, h("th", { scope: "row" }, "untrained"), tasks.map((_, column) => heat(baseline[column], false, true)), h("td", { class: "average" }, ""));
  return [
    head("after", [...tasks, "average"]),
    h("tbody", {}, baseline.length ? first : null, rows),
  ];
}

function byVersion(versions) {
  if (!versions.length) return nothing("No version has been measured yet.");
  const tasks = [...new Set(versions.toReversed().flatMap(({ probes }) => probes.tasks))];
  const rows = versions.map(({ version, probes }) => {
    const verdict = probes.decision.verdict;
    const name = h("th", { scope: "row" }, `version ${version}`, verdict === "promote" ? null : h("span", { class: "hint" }, verdict === "refuse" ? " refused" : " held"));
    const values = tasks.map((task) => probes.accuracy[probes.tasks.indexOf(task)]);
    return h("tr", {}, name, values.map((value) => heat(value)), h("td", { class: "average" }, cell(mean(probes.accuracy))));
  });
  return [head("version", [...tasks, "average"]), h("tbody", {}, rows)];
}

const head = (corner, names) => h("thead", {}, h("tr", {}, h("th", { scope: "col" }, corner), names.map((name) => h("th", { scope: "col" }, name))));

function heat(value, isOwn = false, isAhead = false) {
  if (value === null || value === undefined) return h("td", { class: "unknown" }, h("span", { "aria-hidden": "true" }, "·"), spoken("not measured"));
  const kind = ["heat", isOwn ? "is-own" : "", isAhead ? "is-ahead" : ""].join(" ").trim();
  return h("td", { class: kind, "--heat": value, title: percent(value, 2) }, cell(value));
}

/** The tasks with what the champion knows of each now, and the way to end one. */
export function showTasks({ status }, close) {
  if (!status) return;
  renderOnce(at("tasks"), [status.tasks, status.forgetting], () => (status.tasks.length ? tasks(status, close) : nothing("No task has begun.")));
}

function tasks({ tasks: all, forgetting }, close) {
  const measured = all.filter(({ state }) => state === "closed");
  const row = (task) => h("tr", {}, h("th", { scope: "row" }, task.task), h("td", { class: "state" }, task.state === "open" ? closing(task, close) : "ended"), number(task.trained), number(task.probes),
    number(cell(task.accuracy)), number(cell(task.best_accuracy)), number(cell(task.state === "closed" ? forgetting[measured.indexOf(task)] : null)));
  return [
    head("task", ["state", "trained", "probes", "now", "best", "forgotten"]), h("tbody", {}, all.map(row)),
  ];
}

const number = (value) => h("td", { class: "figure" }, typeof value === "number" ? value.toLocaleString("en") : value);
const closing = ({ task }, close) => h("button", { type: "button", class: "small", "aria-label": `Close task ${task}`, onclick: () => close(task) }, "Close task");
