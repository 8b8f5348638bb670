// From an input to an answer: asks a moment after the last change, shows what came, and why it did not.
import { json, patient } from "./api.js";
import { showAnswer, showBusy, showNothing, showPixels, showProblem, showUntrained } from "./answer.js";
import { Unfinished } from "./fields.js";
import { at } from "./dom.js";

const PAUSE_MS = 300;

/** Asks one model; dispatches `answered` and `cleared`, and keeps what was asked last as `last`. */
export class Asking extends EventTarget {
  constructor(store, input) {
    super();
    Object.assign(this, { store, input, last: null, turn: 0 });
  }

  changed() {
    clearTimeout(this.timer);
    this.turn += 1;
    showPixels(this.input.pixels?.() || null);
    showBusy(true);
    this.timer = setTimeout(() => this.ask(), PAUSE_MS);
  }

  /** Nothing that was asked is shown any more: another model has the page. */
  close() {
    clearTimeout(this.timer);
    this.turn += 1;
    showBusy(false);
  }

  /** The instance, or null with the reason shown. */
  instance() {
    try {
      const instance = this.input.read();
      if (instance === null) showNothing();
      return instance;
    } catch (fault) {
      if (!(fault instanceof Unfinished)) throw fault;
      showNothing(fault.message);
      return null;
    }
  }

  async ask() {
    clearTimeout(this.timer);
    const instance = this.instance();
    this.last = null;
    this.dispatchEvent(new Event("cleared"));
    this.turn += 1;
    const turn = this.turn;
    showBusy(instance !== null);
    if (instance === null) return;
    const answer = await this.predict(instance, turn).catch((problem) => ({ problem }));
    if (turn !== this.turn) return;
    this.show(instance, answer);
    showBusy(false);
  }

  body(instance) {
    const task = at("ask-task").value.trim();
    return { instances: [instance], scores: true, ...(task ? { task } : {}) };
  }

  async predict(instance, turn) {
    const path = `${this.store.base}/predict`;
    const body = this.body(instance);
    const answer = await patient(path, { method: "POST", body }, (problem, seconds) => {
      if (turn === this.turn) showProblem(problem, null, seconds);
    });
    return { version: answer.version, path, body, ...answer.predictions[0] };
  }

  show(instance, answer) {
    const { problem } = answer;
    if (problem && problem.code !== "untrained") {
      showProblem(problem, () => this.ask());
      return;
    }
    this.last = { instance, pixels: this.input.pixels?.() || null, ...(problem ? {} : answer) };
    if (problem) showUntrained();
    else showAnswer(this.last);
    this.dispatchEvent(new Event("answered"));
  }

  /** Takes the answer of a newer version to what was asked last, if that is still what is shown. */
  renewed(asked, answer) {
    if (asked !== this.last) return;
    this.last = { ...this.last, ...answer };
    showAnswer(this.last);
    this.dispatchEvent(new Event("answered"));
  }

  /** How the model weighs the parts of what was asked last. */
  explain(method) {
    const { instance, label, version } = this.last;
    const task = at("ask-task").value.trim();
    const body = { instance, method, target: label, version, ...(task ? { task } : {}) };
    return json(`${this.store.base}/explain`, { method: "POST", body });
  }
}
