// What becomes of one correction, from its acceptance to the version that learned it, and the same question again.
import { json } from "./api.js";
import { announce, h } from "./dom.js";
import { count, duration, list, percent, plural } from "./format.js";

const LOOK_MS = 250;
const LATE_NEWS_MS = 2000;
const PATIENCE_MS = 600000;
const STEPS = {
  accepted: "Accepted", task: "In a task", learned: "Learned", judged: "Judged", promoted: "Promoted", served: "Served",
  again: "Asked again",
};
const VERDICTS = { promote: "the gate lets it pass", refuse: "the gate refuses it", hold: "the gate waits for more" };
/** What ends a trail early, because nothing is trained on it: in short, and in full. */
const FATES = {
  probe: ["kept as a probe", "it measures every version from now on and is never trained on"],
  duplicate: ["known already", "an event is learned once"],
  quarantined: ["put in quarantine", "alone it broke a step of training"],
  dead: ["not learnable", "it lies with the dead letters, with its reason"],
};

/** The trail of one event; it looks at the service until the event is served or known to wait. */
export class Trail {
  constructor(store, asking, facts) {
    Object.assign(this, { store, asking, ...facts, position: facts.receipt.position, state: {}, rounds: [], judged: new Set() });
    this.list = h("ol", { class: "trail" });
    this.summary = h("summary", {});
    this.element = h("details", { class: "event", open: true }, this.summary, this.list);
    this.onNews = ({ detail }) => this.hear(detail);
    this.onChange = () => this.look();
    store.addEventListener("news", this.onNews);
    store.addEventListener("change", this.onChange);
    this.timer = setInterval(() => this.tick(), LOOK_MS);
    this.mark("accepted", "done", `on disk at position ${count(this.position)}`);
    this.look();
  }

  mark(step, state, text) {
    this.state[step] = { state, text };
    this.render();
  }

  has(step) {
    return ["done", "refused", "skipped"].includes(this.state[step]?.state);
  }

  tick() {
    const age = performance.now() - this.startedAt;
    if (age > PATIENCE_MS || !this.element.isConnected) this.close();
    else if (age < 20000 || Math.random() < 0.1) this.store.refresh();
  }

  close() {
    clearInterval(this.timer);
    setTimeout(() => this.store.removeEventListener("news", this.onNews), LATE_NEWS_MS);
    this.store.removeEventListener("change", this.onChange);
  }

  hear(news) {
    if (news.kind === "round") this.learnedIn(news.data);
    if (this.has("served")) return;
    if (news.kind === "training" && !this.has("learned")) this.mark("learned", "now", "in training");
    if (news.kind === "decision") this.judge(news.data);
  }

  /** The news of the round may come after the status that counts the event. */
  learnedIn(round) {
    this.rounds.push(round);
    const isToldLate = this.state.learned?.state === "done" && this.rounds.length === 1;
    if (isToldLate) this.mark("learned", "done", roundSentence(round));
  }

  look() {
    const { status } = this.store;
    if (!status || this.has("served")) return;
    if (!this.has("learned") && status.processed_through >= this.position) this.account(status);
    if (this.fate) return;
    if (this.has("learned")) this.findVersion();
    if (status.served_through < this.position) return;
    this.servedAt = this.servedAt || performance.now();
    // Replicas serve a version a moment before the trainer's report and the list of versions tell of it.
    const isTold = this.store.versions.some(({ version }) => version === status.version);
    if (isTold && this.has("learned")) this.serve(status);
  }

  account(status) {
    const task = this.body.events[0].task || status.tasks.find(({ state }) => state === "open")?.task;
    this.mark("task", "done", task || "one that has ended");
    this.fate = this.fateIn(status.ledger);
    if (this.fate) {
      this.end(status.version);
      return;
    }
    const round = this.rounds.at(-1);
    this.mark("learned", "done", round ? roundSentence(round) : "accounted for by the trainer");
    this.mark("judged", "now", "measured on every probe set");
  }

  /** Where the event went if it is not trained on; known only while nobody else teaches. */
  fateIn(ledger) {
    const before = this.before?.ledger;
    if (!before || ledger.received - before.received !== 1 || before.pending) return null;
    return FATES[Object.keys(FATES).find((name) => ledger[name] > before[name])] || null;
  }

  /** The event changes no weights: there is nothing to judge and nothing to serve. */
  end(version) {
    const [name, meaning] = this.fate;
    this.mark("learned", "skipped", `${name}: ${meaning}`);
    for (const step of ["judged", "promoted"]) this.mark(step, "skipped", "nothing in the weights changed");
    this.mark("served", "skipped", `version ${version} goes on`);
    this.mark("again", "skipped", "the answer is the same");
    announce(`${name}: ${meaning}.`);
    this.close();
  }

  /** The verdict on the version whose lineage reaches this event. */
  findVersion() {
    const reached = this.store.versions.filter(({ lineage }) => lineage.processed_through >= this.position);
    for (const { version, probes } of reached.reverse()) this.judged.has(version) || this.verdict(version, probes.decision);
  }

  judge({ verdict, version, reasons }) {
    if (version === null || version === undefined) {
      if (this.has("learned") && !this.has("judged")) this.mark("judged", "waiting", `${VERDICTS[verdict]}: ${reasons.join("; ")}`);
    } else this.store.refresh();
  }

  verdict(version, { verdict, reasons }) {
    this.judged.add(version);
    if (this.has("promoted")) return;
    const why = `version ${version}, ${VERDICTS[verdict]}: ${reasons.join("; ")}`;
    if (verdict === "promote") {
      this.mark("judged", "done", why);
      this.mark("promoted", "done", `version ${version} is the champion`);
      this.mark("served", "now", "replicas load it");
    } else {
      this.mark("judged", verdict === "refuse" ? "refused" : "waiting", `${why}; what was served stays`);
      announce(`Version ${version}: ${VERDICTS[verdict]}.`);
    }
  }

  serve(status) {
    const replicas = status.replicas.serving + status.replicas.behind;
    if (!this.has("judged")) this.mark("judged", "skipped", "nothing in the weights changed");
    if (!this.has("promoted")) this.mark("promoted", "skipped", `version ${status.version} goes on`);
    const seconds = (this.servedAt - this.startedAt) / 1000;
    this.seconds = seconds;
    const by = replicas === 1 ? "the one replica" : `all ${replicas} replicas`;
    this.mark("served", "done", `by ${by}, ${duration(seconds)} after you said so`);
    this.close();
    this.askAgain();
  }

  async askAgain() {
    this.mark("again", "now", "the same question");
    try {
      const path = `${this.store.base}/predict`;
      const body = this.asking.body(this.last.instance);
      const { predictions: [now], version } = await json(path, { method: "POST", body });
      const { label: was, probability } = this.last;
      const before = was ? `${was}, ${percent(probability, 0)}` : "no answer";
      this.mark("again", now.label === this.label ? "done" : "waiting", "");
      this.change = h("span", { class: "change" }, h("span", { class: "was" }, before), " → ",
        h("strong", {}, `${now.label}, ${percent(now.probability, 0)}`));
      this.render();
      announce(`Served after ${duration(this.seconds)}. Version ${version} now answers ${now.label}, ${percent(now.probability, 0)}.`);
      this.asking.renewed(this.last, { version, path, body, ...now });
    } catch (problem) {
      this.mark("again", "waiting", problem.message);
    }
  }

  outcome() {
    if (this.state.served?.state === "done") return ["is-good", `served after ${duration(this.seconds)}`];
    if (this.fate) return ["is-good", this.fate[0]];
    if (this.state.judged?.state === "refused") return ["is-bad", "refused by the gate"];
    if (this.state.judged?.state === "waiting") return ["is-warn", "held back by the gate"];
    return ["", "on its way"];
  }

  render() {
    const [kind, words] = this.outcome();
    this.summary.replaceChildren(h("span", {}, "It is ", h("strong", {}, this.label)), h("span", { class: `badge ${kind}` }, words));
    this.list.replaceChildren(...Object.entries(STEPS).map(([step, name]) => {
      const { state, text } = this.state[step] || { state: "later", text: "" };
      const what = h("span", { class: "what" }, step === "again" && this.change ? this.change : text);
      return h("li", { class: `is-${state}` }, h("strong", {}, name), what);
    }));
  }
}

function roundSentence({ round, steps, loss, seconds }) {
  const facts = [`round ${count(round)}`, plural(steps, "step")];
  if (Number.isFinite(loss)) facts.push(`loss ${loss.toPrecision(2)}`);
  return `${list(facts)}, in ${duration(seconds)}`;
}
