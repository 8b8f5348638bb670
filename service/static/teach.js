// Correcting an answer: one click on a known label, or a new one typed; then the trail of that very event.
import { curl, patient } from "./api.js";
import { problemBox } from "./answer.js";
import { copyButton } from "./copy.js";
import { announce, at, h, renderOnce } from "./dom.js";
import { Trail } from "./trail.js";

const MOST_CHIPS = 24;
const MOST_TRAILS = 6;

function freshId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return `console-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}

/** The card that teaches; it is closed until there is something to correct. */
export class Teaching {
  constructor(store, asking) {
    Object.assign(this, { store, asking, sent: null, isBusy: false });
    this.onSubmit = (event) => { event.preventDefault(); this.teachNew(); };
    at("teach-form").addEventListener("submit", this.onSubmit);
    this.onStore = () => this.update();
    store.addEventListener("change", this.onStore);
    for (const name of ["answered", "cleared"]) asking.addEventListener(name, this.onStore);
    at("trails").replaceChildren();
    at("promise").hidden = false;
    at("teach-fault").replaceChildren();
    this.update();
  }

  close() {
    at("teach-form").removeEventListener("submit", this.onSubmit);
  }

  update() {
    const { last } = this.asking;
    const labels = this.labels();
    const spec = this.store.specification?.labels;
    const isClosed = Boolean(spec?.names) && !spec.open;
    at("teach-question").textContent = question(last);
    at("teach-form").hidden = isClosed;
    at("new-label").disabled = !last;
    at("teach-button").disabled = !last;
    renderOnce(at("chips"), [labels, last?.label, Boolean(last)], () => labels.slice(0, MOST_CHIPS).map((label) => this.chip(label, last)));
    renderOnce(at("known-labels"), labels, () => labels.map((label) => h("option", { value: label })));
    renderOnce(at("teach-tools"), [Boolean(last)], () => (last ? copyButton("Copy as curl", () => this.command()) : ""));
  }

  labels() {
    const known = [...(this.store.specification?.labels.names || []), ...(this.store.status?.labels || [])];
    const byName = (a, b) => a.localeCompare(b, "en", { numeric: true });
    return [...new Set(known)].sort(byName);
  }

  chip(label, last) {
    const isAnswer = label === last?.label;
    const name = isAnswer ? `${label}, the answer is right` : `It is ${label}`;
    const does = { disabled: !last, "aria-label": name, onclick: () => this.teach(label) };
    return h("button", { type: "button", class: isAnswer ? "chip is-answer" : "chip", ...does }, label);
  }

  teachNew() {
    const label = at("new-label").value.trim();
    if (!label) return;
    this.teach(label).then((isSent) => { if (isSent) at("new-label").value = ""; });
  }

  event(label) {
    const { last } = this.asking;
    const task = at("teach-task").value.trim() || at("ask-task").value.trim();
    const what = last.prediction_id ? { prediction_id: last.prediction_id } : { instance: last.instance };
    return { event_id: freshId(), ...what, label, ...(task ? { task } : {}) };
  }

  command() {
    const label = at("new-label").value.trim() || this.asking.last.label || "the right label";
    return curl(`${this.store.base}/feedback`, this.sent || { events: [this.event(label)] });
  }

  async teach(label) {
    const { last } = this.asking;
    if (!last || this.isBusy) return false;
    this.isBusy = true;
    const body = { events: [this.event(label)] };
    const before = this.store.status;
    const startedAt = performance.now();
    try {
      // The event has an id, so that a second try never teaches it twice.
      const path = `${this.store.base}/feedback`;
      const receipt = await patient(path, { method: "POST", body }, (problem, seconds) => this.fault(problem, null, seconds));
      at("teach-fault").replaceChildren();
      this.follow(new Trail(this.store, this.asking, { label, last, receipt, before, startedAt, body }));
      announce(`Accepted: it is ${label}.`);
      return true;
    } catch (problem) {
      this.fault(problem, () => this.teach(label));
      return false;
    } finally {
      this.isBusy = false;
    }
  }

  fault(problem, again, seconds) {
    at("teach-fault").replaceChildren(problemBox(problem, again, seconds));
  }

  follow(trail) {
    for (const older of at("trails").querySelectorAll("details")) older.open = false;
    at("promise").hidden = true;
    at("trails").prepend(trail.element);
    while (at("trails").children.length > MOST_TRAILS) at("trails").lastElementChild.remove();
  }
}

function question(last) {
  if (!last) return "Ask something first; then say here what it really is.";
  if (!last.label) return "Say what it is; that is how the first version comes about.";
  return `Is it “${last.label}”? Confirm it, or say what it is.`;
}
