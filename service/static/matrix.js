// The accuracy matrix and its history by version, as tables whose colour is their number: what fades is forgotten.
import { at, h, headings, renderOnce, spoken } from "./dom.js";
import { cell, count, mean, percent } from "./format.js";

export function showMatrix({ matrix, versions }) {
  if (!matrix) return;
  const isByVersion = at("by-version").checked;
  const measured = versions.filter(({ probes }) => probes.tasks.length).slice(0, 24);
  const key = isByVersion ? [true, measured.map(({ version }) => version)] : [false, matrix];
  renderOnce(at("matrix"), key, () => (isByVersion ? byVersion(measured) : byTask(matrix)));
  at("matrix-note").textContent = isByVersion
    ? "Accuracy in % of each version (row) on each task’s probe set (column), newest first."
    : "Accuracy in % on each task’s probe set (column) after each task (row).";
  const isEmpty = !(isByVersion ? measured.length : matrix.tasks.length);
  at("heat-legend").hidden = isEmpty;
  at("matrix-note").hidden = isEmpty;
}

const UNMEASURED = "Nothing is measured yet. A row is added each time that a task ends: close one below, or let the rule end it.";
const nothing = (sentence) => h("caption", { class: "empty" }, sentence);

function byTask({ tasks, R, baseline }) {
  if (!tasks.length) return nothing(UNMEASURED);
  const row = (name, cells, average) =>
    h("tr", {}, h("th", { scope: "row" }, name), cells, h("td", { class: "average" }, average));
  const rows = R.map((values, index) => row(tasks[index],
    tasks.map((_, column) => heat(values[column], column === index, column > index)), cell(mean(values.slice(0, index + 1)))));
  const first = row("untrained", tasks.map((_, column) => heat(baseline[column], false, true)), "");
  return [headings(["after", ...tasks, "average"]), h("tbody", {}, baseline.length ? first : null, rows)];
}

function byVersion(versions) {
  if (!versions.length) return nothing("No version has been measured yet.");
  const tasks = [...new Set(versions.toReversed().flatMap(({ probes }) => probes.tasks))];
  const rows = versions.map(({ version, probes }) => {
    const verdict = probes.decision.verdict;
    const word = { promote: null, refuse: " refused", hold: " held" }[verdict];
    const name = h("th", { scope: "row" }, `version ${version}`, word && h("span", { class: "hint" }, word));
    const values = tasks.map((task) => probes.accuracy[probes.tasks.indexOf(task)]);
    return h("tr", {}, name, values.map((value) => heat(value)), h("td", { class: "average" }, cell(mean(probes.accuracy))));
  });
  return [headings(["version", ...tasks, "average"]), h("tbody", {}, rows)];
}

function heat(value, isOwn = false, isAhead = false) {
  if (value === null || value === undefined) {
    return h("td", { class: "unknown" }, h("span", { "aria-hidden": "true" }, "·"), spoken("not measured"));
  }
  const kind = ["heat", isOwn ? "is-own" : "", isAhead ? "is-ahead" : ""].join(" ").trim();
  return h("td", { class: kind, "--heat": value, title: percent(value, 2) }, cell(value));
}

/** The tasks with what the champion knows of each now, and the way to end one. */
export function showTasks({ status, matrix }, close) {
  if (!status) return;
  const all = status.tasks.map((task) => ({ ...task, forgotten: matrix.forgetting[matrix.tasks.indexOf(task.task)] }));
  renderOnce(at("tasks"), all, () => (all.length ? tasks(all, close) : nothing("No task has begun.")));
}

function tasks(all, close) {
  const row = (task) => h("tr", {}, h("th", { scope: "row" }, task.task),
    h("td", { class: "state" }, task.state === "open" ? closing(task, close) : "ended"),
    [count(task.trained), count(task.probes), cell(task.accuracy), cell(task.best_accuracy), cell(task.forgotten)]
      .map((figure) => h("td", { class: "figure" }, figure)));
  const names = ["task", "state", "trained", "probes", "now", "best", "forgotten"];
  return [headings(names), h("tbody", {}, all.map(row))];
}

/** A task can end once something of it is learned; its first events may all have become probes. */
function closing({ task, trained }, close) {
  if (!trained) return h("span", { class: "hint" }, "nothing learned yet");
  const does = { "aria-label": `Close task ${task}`, onclick: () => close(task) };
  return h("button", { type: "button", class: "small", ...does }, "Close task");
}
