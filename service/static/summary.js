// The first thing to read: who serves, how much is remembered, and the four numbers behind it.
import { at, h, renderOnce } from "./dom.js";
import { count, mean, percent, plural, points } from "./format.js";

export function showSummary({ status, matrix }) {
  if (!status) return;
  const { version, labels, tasks, replicas, average_accuracy: average } = status;
  const now = mean(tasks.map(({ accuracy }) => accuracy));
  const known = labels.length ? version : 0;
  renderOnce(at("headline"), [known, now], () => headline(known, now));
  renderOnce(at("subline"), [status.trainer, labels, tasks.length, replicas, status.capacity.total], () => subline(status));
  const measured = [average, status.backward_transfer, status.forward_transfer, status.forgetting, matrix.tasks];
  renderOnce(at("status"), measured, () => tiles(status, matrix.tasks));
}

function headline(version, now) {
  const first = "Send feedback first: the first correction makes the first version.";
  if (!version) return [h("span", {}, "Nothing has been learned yet. "), h("span", { class: "soft" }, first)];
  const served = [h("strong", {}, `Version ${version}`), " is served"];
  if (now === null) return [...served, ". ", h("span", { class: "soft" }, "Nothing is measured yet: it needs more feedback.")];
  return [...served, ", and right now it still knows ", h("strong", {}, percent(now)), " of what it was taught."];
}

function subline({ labels, tasks, replicas, capacity, device }) {
  const all = replicas.serving + replicas.behind;
  const facts = [plural(tasks.length, "task"), plural(labels.length, "label"), plural(capacity.total, "parameter"),
    all ? `${replicas.serving} of ${plural(all, "replica")} up to date` : "", device ? `trained on ${device}` : ""];
  return facts.filter((fact) => fact && !fact.startsWith("0 ")).join(" · ");
}

function tiles({ average_accuracy: average, backward_transfer: backward, forward_transfer: forward, forgetting }, tasks) {
  const worst = forgetting.length ? Math.max(...forgetting.filter((value) => value !== null), 0) : null;
  const task = worst ? tasks[forgetting.indexOf(worst)] : null;
  return [
    tile("Average accuracy", percent(average), "when the last task ended; the line above is of now"),
    tile("Forgetting", percent(mean(forgetting.slice(0, -1))),
      worst ? `on average; the most on ${task}: ${percent(worst)}` : "of the best that each task had"),
    tile("Backward transfer", points(backward), "points since each task was learned; below 0 is forgetting"),
    tile("Forward transfer", points(forward), "points on tasks before they were learned"),
  ];
}

const tile = (name, value, meaning) => h("div", { class: "tile" }, h("dt", {}, name),
  h("dd", {}, h("span", { class: "number" }, value), h("span", { class: "hint" }, meaning)));

/** Where every event is: a sum that anybody can add up. */
export function showLedger({ status }) {
  if (!status) return;
  renderOnce(at("ledger"), status.ledger, () => ledger(status.ledger));
}

const KINDS = {
  trained: "learned from", probe: "kept for measuring, never learned", duplicate: "known already by their id",
  late: "came after their task ended", quarantined: "broke a step, learned no more",
  dead: "not readable, with the reason", pending: "wait to be learned",
};

function ledger(counts) {
  const kinds = Object.keys(KINDS);
  const sum = kinds.reduce((total, kind) => total + counts[kind], 0);
  const term = (sign, name, value, meaning) => h("li", { class: value ? "term" : "term is-none" },
    h("span", { class: "sign", "aria-hidden": "true" }, sign),
    h("span", { class: "number" }, count(value)), h("span", { class: "term-name" }, name), h("span", { class: "hint" }, meaning));
  const written = kinds.filter((kind) => counts[kind]).map((kind) => count(counts[kind])).join(" + ");
  const share = (kind) => h("span", { class: `part is-${kind}`, "--share": counts[kind] });
  const verdict = sum === counts.received
    ? h("p", { class: "sum is-good" }, `✓ ${written} = ${count(counts.received)}. Nothing was lost, nothing was counted twice.`)
    : h("p", { class: "sum is-bad" }, `✗ The parts add up to ${count(sum)}, but ${count(counts.received)} were received.`);
  return [
    counts.received ? h("div", { class: "parts", "aria-hidden": "true" }, kinds.filter((kind) => counts[kind]).map(share)) : null,
    h("ul", { class: "terms" }, term("", "received", counts.received, "in all"),
      kinds.map((kind, index) => term(index ? "+" : "=", kind, counts[kind], KINDS[kind]))),
    counts.received ? verdict : h("p", { class: "empty" }, "No event has come yet."),
  ];
}
