// What happens, as sentences.
import { at, h } from "./dom.js";
import { clock, count, duration, plural } from "./format.js";

const MOST = 60;
const ENDS = { asked: "as asked", "other tasks": "because others had gone on for long", idle: "because nothing came for it any more" };
const VERDICTS = { promote: "passes", refuse: "refuses", hold: "holds back" };
const SENTENCES = {
  events: ({ received, pending }) =>
    `${plural(received, "event")} received in all, ${pending ? count(pending) : "none"} waiting.`,
  round: roundSentence,
  training: ({ step, steps }) => `In training${step ? `: step ${count(step)} of ${count(steps)}` : ""}.`,
  task: ({ task, state, reason }) =>
    (state === "closed" ? `Task ${task} ended ${ENDS[reason] || ""}; it is measured for ever.` : `Task ${task} is ${state}.`),
  decision: ({ verdict, version, reasons }) =>
    `The gate ${VERDICTS[verdict] || verdict} ${version ? `version ${version}` : "the candidate"}: ${reasons.join("; ")}.`,
  promotion: ({ version }) => `Version ${version} is the champion.`,
  erasure: ({ examples, withdrawn, version }) => `A subject is forgotten: ${plural(examples, "event")} erased, `
    + `${withdrawn.length ? plural(withdrawn.length, "version") : "no version"} withdrawn${version ? `; version ${version} was made without` : ""}.`,
  rollback: ({ version }) => `Rolled back to version ${version}, learner and all.`,
};

function roundSentence({ round, steps, seconds, loss, skipped, restored, quarantined }) {
  const parts = [`Round ${count(round)}: ${plural(steps, "step")} in ${duration(seconds)}`];
  if (Number.isFinite(loss)) parts.push(`loss ${loss.toPrecision(2)}`);
  if (skipped) parts.push(`${plural(skipped, "step")} skipped`);
  if (restored) parts.push("the network was left as it was");
  if (quarantined?.length) parts.push(`${plural(quarantined.length, "event")} put in quarantine`);
  return `${parts.join(", ")}.`;
}

export function clearNews() {
  at("news").replaceChildren();
  at("news-empty").hidden = false;
}

/** Adds a sentence on top; counts of events that follow each other are one line that moves on. */
export function tell({ kind, time, data }) {
  const sentence = (SENTENCES[kind] || (() => `${kind}.`))(data);
  const item = h("li", { class: `is-${kind} is-${data.verdict || "told"}`, "data-kind": kind },
    h("time", { datetime: new Date(1000 * time).toISOString() }, clock(time)), h("span", {}, sentence));
  const first = at("news").firstElementChild;
  if (kind === "events" && first?.dataset.kind === "events") first.replaceWith(item);
  else at("news").prepend(item);
  while (at("news").children.length > MOST) at("news").lastElementChild.remove();
  at("news-empty").hidden = true;
}
