// The answer: label, version, probabilities as bars, and the input as the model sees it.
import { curl } from "./api.js";
import { copyButton } from "./copy.js";
import { announce, at, h } from "./dom.js";
import { percent, plural } from "./format.js";
import { paint } from "./pixels.js";

const MOST_BARS = 10;

export function showAnswer(answer) {
  const { label, probability, version, path, body } = answer;
  at("answer").replaceChildren(
    h("p", { class: "verdict" }, h("span", { class: "spoken" }, "The answer is "), h("strong", { class: "label", id: "label" }, label),
      h("span", { class: "sure" }, `${percent(probability)} sure`, h("span", { class: "hint" }, `said version ${version}`))),
    bars(answer),
  );
  at("answer-tools").replaceChildren(copyButton("Copy as curl", () => curl(path, body)));
  announce(`${label}, ${percent(probability)}, by version ${version}`);
}

function bars({ scores, label, probability }) {
  const all = Object.entries(scores || { [label]: probability }).sort(([, a], [, b]) => b - a);
  const items = all.slice(0, MOST_BARS).map(([name, share]) => h("li", { class: name === label ? "bar is-first" : "bar" },
    h("span", { class: "bar-name" }, name), h("span", { class: "bar-track", "--share": Math.max(0, Math.min(1, share)) }),
    h("span", { class: "bar-value" }, percent(share))));
  const more = all.length - items.length;
  return h("div", {}, h("h3", { class: "spoken" }, "Probabilities"), h("ol", { class: "bars", id: "bars" }, items),
    more > 0 && h("p", { class: "hint" }, `and ${plural(more, "more label")}`));
}

/** Whether what stands there is about to change: a question is on its way. */
export function showBusy(isBusy) {
  at("answer").ariaBusy = String(isBusy);
}

export function showPixels(planes) {
  at("seen").hidden = !planes;
  at("seen-why").hidden = true;
  if (planes) paint(at("seen-pixels"), planes);
}

export function showNothing(reason = "Whatever you give is answered at once, with how sure the model is of each label.") {
  at("answer").replaceChildren(h("p", { class: "empty" }, reason));
  at("answer-tools").replaceChildren();
}

export function showUntrained() {
  at("answer").replaceChildren(h("div", { class: "empty", id: "untrained" },
    h("p", {}, h("strong", {}, "It has learned nothing yet.")),
    h("p", {}, "It knows no label, so it cannot answer. Say what this is, and a first version is made from that.")));
  at("answer-tools").replaceChildren();
}

export function showProblem(problem, again, waits = null) {
  at("answer").replaceChildren(problemBox(problem, again, waits));
  at("answer-tools").replaceChildren();
}

/** A refusal in words, with a way to try again where that may help. */
export function problemBox(problem, again, waits = null) {
  const box = h("div", { class: "problem", role: "alert" }, h("p", {}, h("strong", {}, problem.title)), h("p", {}, problem.message));
  if (waits) box.append(h("p", { class: "hint" }, `Trying again in ${waits} s …`));
  else if (again && problem.isPassing) box.append(h("button", { type: "button", onclick: again }, "Try again"));
  return box;
}
