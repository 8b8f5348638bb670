// What the page knows of one model, and when it last heard it.
import { json } from "./api.js";
import { Follower } from "./stream.js";

const PAGE = 30;
const REFRESH_MS = 4000;
const SOON_MS = 80;

/** One model's status, matrix and versions; dispatches `change`, and `news` with each event of its stream. */
export class Store extends EventTarget {
  constructor(model) {
    super();
    Object.assign(this, { model, base: `v1/models/${encodeURIComponent(model)}`, status: null, matrix: null });
    Object.assign(this, { versions: [], nextPage: null, heardAt: null, connection: "connecting", problem: null });
    this.follower = new Follower(`${this.base}/stream`, {
      onNews: (news) => { this.emit("news", news); this.refreshSoon(); },
      onState: (state) => this.connected(state),
    });
    this.timer = setInterval(() => { if (!document.hidden) this.refresh(); }, REFRESH_MS);
    this.refresh();
  }

  close() {
    this.isClosed = true;
    this.follower.stop();
    clearInterval(this.timer);
    clearTimeout(this.soon);
  }

  emit(name, detail) {
    if (!this.isClosed) this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  connected(state) {
    const wasLive = this.connection === "live";
    this.connection = state;
    if (state === "live" && !wasLive) this.refresh();
    this.emit("change");
  }

  refreshSoon() {
    this.soon = this.soon || setTimeout(() => { this.soon = null; this.refresh(); }, SOON_MS);
  }

  /** Asks anew; of several calls at a time the last waits for the first. */
  refresh() {
    this.isAskedAgain = Boolean(this.refreshing);
    this.refreshing = this.refreshing || this.load().finally(() => {
      this.refreshing = null;
      if (this.isAskedAgain) this.refreshSoon();
    });
    return this.refreshing;
  }

  async load() {
    try {
      const [status, matrix] = await Promise.all([json(this.base), json(`${this.base}/matrix`)]);
      await this.loadVersions(status);
      Object.assign(this, { status, matrix, heardAt: Date.now() / 1000, problem: null });
    } catch (problem) {
      this.problem = problem;
    }
    this.emit("change");
  }

  async loadVersions(status) {
    const key = JSON.stringify([status.generation, status.gate, status.version]);
    const isWhole = !status.version || this.versions.some(({ version }) => version === status.version);
    if (key === this.versionsKey && isWhole) return;
    const wanted = Math.min(1000, Math.max(PAGE, this.versions.length + 1));
    const page = await json(`${this.base}/versions?max_results=${wanted}`);
    Object.assign(this, { versions: page.versions, nextPage: page.next_page_token, versionsKey: key });
  }

  async loadOlder() {
    const page = await json(`${this.base}/versions?max_results=${PAGE}&page_token=${this.nextPage}`);
    this.versions = [...this.versions, ...page.versions];
    this.nextPage = page.next_page_token;
    this.emit("change");
  }

  /** The input and labels that the model was configured with, where the service says so. */
  get specification() {
    const given = this.status?.specification;
    return given?.input ? given : null;
  }
}
