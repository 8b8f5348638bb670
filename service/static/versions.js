// The versions with their verdicts, reasons and origin, and the way back to each of them.
import { at, h, headings, renderOnce } from "./dom.js";
import { cell, count, list, mean, moment, percent, plural } from "./format.js";

const NEWEST = 8;
const EMPTY = "There is no version yet: send feedback first. Each one will stand here with what it learned and why it is served or not.";
const WITHDRAWN = ["withdrawn", "is-bad"];
const VERDICTS = { promote: ["promoted", "is-good"], refuse: ["refused", "is-bad"], hold: ["held back", "is-warn"] };

export function showVersions(store, rollBack) {
  const { versions, status } = store;
  const items = at("versions");
  const known = new Map([...items.children].map((item) => [item.dataset.version, item]));
  renderOnce(at("versions-empty"), versions.length || !status, () => (versions.length || !status ? "" : h("p", { class: "empty" }, EMPTY)));
  const isWhole = at("all-versions").getAttribute("aria-expanded") === "true";
  showFolding(store, isWhole);
  const wanted = shown(store, isWhole).map((record) => itemOf(record, known.get(String(record.version)), status, rollBack));
  const isSame = wanted.length === items.children.length && wanted.every((item, index) => item === items.children[index]);
  if (!isSame) items.replaceChildren(...wanted);
}

/** The versions to show: all of them, or the newest and the one served. */
function shown({ versions, status }, isWhole) {
  return isWhole ? versions : versions.filter(({ version }, index) => index < NEWEST || version === status?.version);
}

/** The buttons that lead to the versions that are not shown, and back. */
function showFolding(store, isWhole) {
  const { versions, nextPage } = store;
  const button = at("all-versions");
  button.hidden = shown(store, false).length === versions.length && !nextPage;
  const all = nextPage ? `Show ${count(versions.length)} and older` : `Show all ${count(versions.length)}`;
  button.textContent = isWhole ? `Show the newest ${NEWEST}` : all;
  at("older").hidden = !isWhole || !nextPage;
}

/** Shows all versions if few were shown, and few if all were. */
export function unfoldVersions() {
  const button = at("all-versions");
  button.setAttribute("aria-expanded", button.getAttribute("aria-expanded") !== "true");
}

function itemOf(record, existing, status, rollBack) {
  const item = existing || h("li", { class: "version", "data-version": record.version });
  const isServed = record.version === status?.version;
  const head = item.querySelector(".version-head") || h("div", { class: "version-head" });
  renderOnce(head, [record.aliases, isServed, record.probes.decision.verdict, record.withdrawn], () => headOf(record, isServed, rollBack));
  if (!existing) item.append(head, details(record));
  return item;
}

function headOf({ version, probes, lineage, aliases, withdrawn }, isServed, rollBack) {
  const verdict = withdrawn ? WITHDRAWN : VERDICTS[probes.decision.verdict];
  const badge = isServed ? ["served now", "is-served"] : verdict;
  const other = aliases.filter((alias) => alias !== "champion").map((alias) => h("span", { class: "badge" }, alias));
  const canReturn = !isServed && !withdrawn && probes.decision.verdict === "promote";
  return [
    h("h3", { class: "version-name" }, `Version ${version}`),
    h("span", { class: "badges" }, h("span", { class: `badge ${badge[1]}` }, badge[0]), other),
    h("span", { class: "measured" }, h("span", { class: "strip", "aria-hidden": "true" }, probes.accuracy.map((value, index) =>
      h("span", { class: "square heat", "--heat": value, title: `${probes.tasks[index]}: ${percent(value)}` }))),
      h("span", { class: "version-accuracy" }, probes.accuracy.length ? percent(mean(probes.accuracy)) : "")),
    h("time", { class: "hint", datetime: lineage.created_at }, moment(lineage.created_at)),
    canReturn && returning(version, rollBack),
  ];
}

function returning(version, rollBack) {
  const does = { "aria-label": `Roll back to version ${version}`, onclick: () => rollBack(version) };
  return h("button", { type: "button", class: "small", ...does }, "Roll back");
}

function details(record) {
  const { decision } = record.probes;
  return h("details", {}, h("summary", {}, h("span", { class: "reason" }, decision.reasons[0] || "Why, and from what")),
    h("h4", {}, "Reasons"), h("ul", { class: "reasons" }, decision.reasons.map((reason) => h("li", {}, reason))),
    decision.tasks.length ? comparison(decision.tasks) : null, h("h4", {}, "Where it came from"), origin(record.lineage));
}

function comparison(tasks) {
  const columns = ["task", "rows", "before", "after", "gained", "lost", "verdict"];
  const figures = ({ rows, before, after, gained, lost, verdict }) =>
    [count(rows), cell(before), cell(after), count(gained), count(lost), verdict];
  const row = (task) => h("tr", {}, h("th", { scope: "row" }, task.task), figures(task).map((value) => h("td", {}, value)));
  return h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Comparison with the version before, task by task" },
    h("table", { class: "plain" }, headings(columns), h("tbody", {}, tasks.map(row))));
}

function origin(lineage) {
  const { parent, round, events, strategies, seed, threads, code_version: code, sha256 } = lineage;
  const facts = {
    Parent: parent === null ? "none" : `version ${parent}`,
    Events: eventsSentence(events),
    "Up to": `round ${count(round)}, position ${count(lineage.processed_through)}`,
    Strategies: strategies.length ? list(strategies.map(strategy)) : "none",
    Seed: `${seed}, with ${plural(threads, "thread")}, code ${code}`,
    Weights: h("code", { title: sha256["weights.safetensors"] }, `sha256 ${(sha256["weights.safetensors"] || "").slice(0, 16)}…`),
  };
  return h("dl", { class: "facts" }, Object.entries(facts).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

function eventsSentence({ count: number, first_sequence: first, last_sequence: last }) {
  if (!number) return "none since its parent";
  return `${plural(number, "example")} learned since its parent, among ${count(first)} to ${count(last)}`;
}

function strategy({ kind, ...settings }) {
  const given = Object.entries(settings).filter(([, value]) => typeof value !== "object").map(([name, value]) => `${name} ${value}`);
  return given.length ? `${kind} (${given.join(", ")})` : kind;
}
