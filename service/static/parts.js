// The two halves of the service as they are now: who learns, who serves, and how long things take.
import { at, h, renderOnce } from "./dom.js";
import { clock, count, DASH, duration, plural } from "./format.js";

export function showParts({ status }) {
  if (!status) return;
  const { trainer, device, seconds, gate, guards, replicas, promoted_at: promotedAt, lag } = status;
  const facts = {
    Trainer: trainerState(trainer, device),
    Replicas: replicasSentence(replicas, status.version),
    "Learned up to": `position ${count(status.processed_through)}${lag ? `, ${count(lag)} waiting` : ""}`,
    "Served up to": `position ${count(status.served_through)}`,
    "From event to served": duration(seconds.event_to_served),
    "A round takes": seconds.round === null ? DASH : `${duration(seconds.round)}, a step ${duration(seconds.train_step)}`,
    "A decision takes": duration(seconds.decision),
    "The gate so far": gateSentence(gate),
    Guards: guardSentence(guards),
    "Last promotion": promotedAt ? `at ${clock(promotedAt)}` : "none yet",
  };
  const places = [status.version, status.processed_through, status.served_through];
  renderOnce(at("parts"), [trainer, device, seconds, gate, guards, replicas, promotedAt, lag, places], () =>
    Object.entries(facts).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
}

function trainerState(trainer, device) {
  if (trainer !== "running") return h("span", { class: "state-warn" }, "silent");
  return h("span", { class: "state-good" }, device ? `running on ${device}` : "running");
}

function replicasSentence({ serving, behind }, version) {
  if (!serving && !behind) return "none has reported";
  if (!version) return `${plural(serving + behind, "replica")}, no version yet`;
  return `${serving} of ${serving + behind} serve version ${version}`;
}

function gateSentence({ promote = 0, refuse = 0, hold = 0 }) {
  return promote + refuse + hold ? `${count(promote)} promoted, ${count(refuse)} refused, ${count(hold)} held back` : "no decision yet";
}

function guardSentence({ skipped_steps: skipped, restored_rounds: restored, quarantined_rows: rows }) {
  if (!skipped && !restored && !rows) return "every step was finite";
  return `${plural(skipped, "step")} skipped, ${plural(restored, "round")} undone, ${plural(rows, "row")} in quarantine`;
}
